"""Small trainers for the unit tests, and the way to make one without a configuration."""

import random
from collections import deque

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from jade.trainer import Trainer

BATCHES = 4


class Networks:
    """Stands for the architecture file: `nn` classes by name."""

    def create(self, name, params):
        return getattr(nn, name)(**params)


def made(kind, datasets=None, device="cpu", **params):
    """Return a trainer of the class `kind`, initialized."""
    trainer = kind(datasets=datasets or {}, architecture=Networks(), device=torch.device(device))
    trainer.initialize(**params)
    return trainer


class Toy(Trainer):
    """Learns a line; four batches of three items an epoch."""

    def initialize(self, lr=0.1):
        points = torch.linspace(-1.0, 1.0, 3 * BATCHES).reshape(-1, 1)
        self.train_loader = DataLoader(list(points), batch_size=3)
        self.net = self.instantiate_architecture("Linear", in_features=1, out_features=1)
        self.opt = torch.optim.Adam(self.net.parameters(), lr=lr)
        self.add_attribute_to_store("net")
        self.add_attribute_to_store("opt")

    def train_step(self, data):
        loss = (self.net(data) - 2.0 * data).square().mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()


class Noisy(Toy):
    """Draws from every generator there is, stores state of every kind, and asks for a stop where it is told to."""

    stop_at = None  # so many iterations
    stop_at_epoch = None
    end_at = None

    def initialize(self):
        super().initialize()
        self.train_loader = DataLoader(self.train_loader.dataset, batch_size=3, shuffle=True)
        self.net = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.3), nn.Linear(8, 1))
        self.opt = torch.optim.Adam(self.net.parameters(), lr=0.1)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.opt, 0.7)
        self.generator = torch.Generator()
        self.history, self.best = deque([], 5), np.float32(np.inf)
        for name in ("scheduler", "history", "best"):
            self.add_attribute_to_store(name)

    def train_step(self, data):
        noise = torch.randn(data.shape) + np.random.randn() + random.gauss(0.0, 1.0)
        noise = noise * torch.rand((), generator=self.generator)
        loss = (self.net(data + 0.1 * noise) - 2.0 * data).square().mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()
        self.add_loss_item("loss", loss)
        self.history.append(loss.item())
        self.best = min(self.best, np.float32(loss.item()))

    def on_iteration_end(self):
        super().on_iteration_end()
        if self.iterations == self.end_at:
            self.end_training()
        if self.iterations == self.stop_at:
            self._jade_stop.request(15)

    def on_epoch_end(self):
        super().on_epoch_end()
        self.scheduler.step()
        with torch.no_grad():
            self.net[0].bias += 0.01 * torch.randn(8)
        if self.epochs == self.stop_at_epoch:
            self._jade_stop.request(15)


class Counting(IterableDataset):
    """An iterable dataset, which does not know its length."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def bits(value):
    """Return `value` with each tensor as its bits, so that `==` compares every bit of two states."""
    if isinstance(value, torch.Tensor):
        flat = value.detach().contiguous().reshape(-1).view(torch.uint8)
        return (str(value.dtype), tuple(value.shape), value.requires_grad, bytes(flat.tolist()))
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(bits(item) for item in value)
    return value
