import copy
import random
from collections import deque

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from jade.trainer import Trainer


class PointTrainer(Trainer):
    """Dropout, workers and augmentation; draws from everything in its step."""

    def initialize(self, batch_size=8, num_workers=0, persistent_workers=False, lr=1e-2, shuffle=True):
        self.net = self.instantiate_architecture("Net", n_inputs=4)
        self.noise = self.instantiate_architecture("Noise", n_inputs=4)
        self.opt = torch.optim.Adam(self.net.parameters(), lr=lr)
        self.recent = deque(maxlen=3)
        self.average = np.zeros(3, dtype=np.float32)
        self.add_attribute_to_store("net")
        self.add_attribute_to_store("opt")
        self.add_attribute_to_store("recent")
        self.add_attribute_to_store("average")
        self.train_loader = DataLoader(
            self.datasets["train"],
            batch_size=batch_size,
            shuffle=shuffle or None,
            num_workers=num_workers,
            persistent_workers=persistent_workers,
        )

    def train_step(self, data):
        x = data["x"] + 0.01 * self.noise(torch.randn_like(data["x"])) * np.random.uniform()
        loss = nn.functional.cross_entropy(self.net(x), data["y"]) * random.uniform(0.9, 1.1)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.recent.append(loss.item())
        self.average = np.float32(0.9) * self.average + np.float32(0.1) * np.float32(loss.item())
        self.add_loss_item("Loss", loss)


class Distilled(PointTrainer):
    """Stays near the network that it began with, of which it makes a copy that no checkpoint has."""

    def on_start(self):
        self.teacher = copy.deepcopy(self.net).requires_grad_(False)

    def train_step(self, data):
        super().train_step(data)
        loss = nn.functional.mse_loss(self.net(data["x"]), self.teacher(data["x"]))
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.add_loss_item("Distance", loss)


class TwoOptimizers(Trainer):
    """Two networks in turn, a scheduler for one of them, and two loaders side by side."""

    def initialize(self, batch_size=8, lr=1e-2):
        self.one = self.instantiate_architecture("Net", n_inputs=4)
        self.two = self.instantiate_architecture("Net", n_inputs=4, p=0.5)
        self.opt_one = torch.optim.SGD(self.one.parameters(), lr=lr, momentum=0.9)
        self.opt_two = torch.optim.AdamW(self.two.parameters(), lr=lr)
        self.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(self.opt_one, T_max=20)
        self.best = float("inf")
        for name in ("one", "two", "opt_one", "opt_two", "scheduler", "best"):
            self.add_attribute_to_store(name)
        self.train_loader = {
            "labeled": DataLoader(self.datasets["train"], batch_size=batch_size, shuffle=True),
            "other": DataLoader(self.datasets["test"], batch_size=batch_size, shuffle=True, drop_last=True),
        }

    def train_step(self, data):
        first = nn.functional.cross_entropy(self.one(data["labeled"]["x"]), data["labeled"]["y"])
        second = nn.functional.mse_loss(self.two(data["other"]["x"]), self.one(data["other"]["x"]).detach())
        for loss, optimizer in ((first, self.opt_one), (second, self.opt_two)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.best = min(self.best, first.item())
        self.add_loss_item("First", first)
        self.add_loss_item("Second", second)

    def on_epoch_end(self):
        self.scheduler.step()

    @property
    def net(self):
        return self.one
