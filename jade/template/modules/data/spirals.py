"""Two spirals that wind around each other: made in a moment, and no straight line parts them."""

import math

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Spirals(Dataset):
    """Points in the plane as items `{'x': point, 'y': spiral}`."""

    def __init__(self, n_points: int, noise: float = 0.05, seed: int = 0) -> None:
        """Make the points.

        Args:
            n_points: how many, half of them on each spiral.
            noise: standard deviation of their distance from it.
            seed: of the points, so that training and test points differ while a run's seed does not matter.
        """
        generator = torch.Generator().manual_seed(seed)
        self.y = torch.arange(n_points) % 2
        radius = torch.rand(n_points, generator=generator).sqrt()
        angle = 3 * math.pi * radius + math.pi * self.y
        points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
        self.x = points + noise * torch.randn(n_points, 2, generator=generator)

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.y)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        """Return a point, `[2]`, and the spiral it lies on, 0 or 1."""
        return {"x": self.x[item], "y": self.y[item]}
