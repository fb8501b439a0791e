"""Fully connected networks for the digits of scikit-learn: `[batch, 1, 8, 8]`, ten classes.

The same networks as in `simple_MNIST.py` for smaller pictures. Each is written out again: an
architecture file is meant to be read and changed alone.
"""

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from modules.architectures.layers import (
    Flatten,
    Reshape,
    StandardNormal,
    StochasticLinear,
    make_stack,
)

PICTURE = (1, 8, 8)  # channels, height, width
N_INPUT = 8 * 8
N_CLASSES = 10


class Encoder(nn.Module):
    """q(Z|X): a picture to a factorized Normal over representations."""

    def __init__(self, z_dim: int, layers: list[int]) -> None:
        """Create the network with hidden layers of the given widths."""
        super().__init__()
        widths = [N_INPUT, *layers]
        self.net = nn.Sequential(
            Flatten(), *make_stack(widths), StochasticLinear(widths[-1], z_dim, "Normal")
        )

    def forward(self, x: Tensor) -> Distribution:
        """Return the distribution of Z for each picture."""
        return self.net(x)


class Decoder(nn.Module):
    """p(X|Z): a representation to a factorized Normal over pictures, with a fixed scale."""

    def __init__(self, z_dim: int, layers: list[int], sigma: float) -> None:
        """Create the network; `sigma` is in units of pixel values, which lie in [0, 1]."""
        super().__init__()
        self.sigma = sigma
        widths = [z_dim, *layers]
        self.net = nn.Sequential(
            *make_stack(widths),
            nn.Linear(widths[-1], N_INPUT),
            nn.Sigmoid(),
            Reshape(*PICTURE),
        )

    def forward(self, z: Tensor) -> Distribution:
        """Return the distribution of X for each representation; a whole picture is one event."""
        return Independent(Normal(self.net(z), self.sigma), len(PICTURE))


class Prior(StandardNormal):
    """p(Z): the distribution that representations are drawn towards. Called without arguments."""

    def __init__(self, z_dim: int) -> None:
        """Create the prior of `z_dim` dimensions."""
        super().__init__(z_dim)


class LabelClassifier(nn.Module):
    """p(Y|Z): a representation to a distribution over classes."""

    def __init__(self, z_dim: int, layers: list[int]) -> None:
        """Create the network; an empty list of `layers` makes it linear."""
        super().__init__()
        widths = [z_dim, *layers]
        self.net = nn.Sequential(*make_stack(widths), StochasticLinear(widths[-1], N_CLASSES, "Categorical"))

    def forward(self, z: Tensor) -> Distribution:
        """Return the distribution of Y for each representation."""
        return self.net(z)


class Classifier(nn.Module):
    """p(Y|X): a picture to a distribution over classes, without a detour."""

    def __init__(self, layers: list[int]) -> None:
        """Create the network with hidden layers of the given widths."""
        super().__init__()
        widths = [N_INPUT, *layers]
        self.net = nn.Sequential(
            Flatten(), *make_stack(widths), StochasticLinear(widths[-1], N_CLASSES, "Categorical")
        )

    def forward(self, x: Tensor) -> Distribution:
        """Return the distribution of Y for each picture."""
        return self.net(x)
