import random

import numpy as np
import torch
from torch.utils.data import Dataset, IterableDataset, get_worker_info

CENTERS = torch.tensor([[2.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, -1.0], [0.0, 0.0, 2.0, 0.0]])


def points(n, seed):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(3, (n,), generator=generator)
    return CENTERS[y] + 0.5 * torch.randn(n, 4, generator=generator), y


class Jitter:
    """Draws from everything a transform may draw from, a generator of its own among it."""

    def __init__(self):
        self.rng = np.random.default_rng(7)
        self.lazy = None

    def __call__(self, x):
        if self.lazy is None:
            self.lazy = torch.Generator()
        own = torch.from_numpy(self.rng.normal(0, 0.05, x.shape).astype(np.float32))
        lazy = 0.05 * torch.randn(x.shape, generator=self.lazy)
        return (x + own + lazy) * np.float32(np.random.uniform(0.9, 1.1)) + random.gauss(0.0, 0.05)


class Points(Dataset):
    def __init__(self, n=96, seed=0, augment=False):
        self.x, self.y = points(n, seed)
        self.transform = Jitter() if augment else None

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        x = self.x[index]
        return {"x": self.transform(x) if self.transform else x, "y": self.y[index]}


class PointStream(IterableDataset):
    def __init__(self, n=96, seed=0):
        self.n, self.seed = n, seed

    def __len__(self):
        return self.n

    def __iter__(self):
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        x, y = points(self.n, self.seed)
        for index in range(worker, self.n, workers):
            yield {"x": x[index] + 0.1 * torch.randn(4) + np.float32(np.random.normal(0, 0.1)), "y": y[index]}
