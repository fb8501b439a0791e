"""Small trainers for the unit tests, and the way to make one without a configuration."""

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


class Counting(IterableDataset):
    """An iterable dataset, which does not know its length."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)
