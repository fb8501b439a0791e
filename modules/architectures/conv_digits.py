"""Convolutional networks for the digits of scikit-learn: a second choice for `--arch_impl`.

Names and arguments are those of `simple_digits.py`, so a sweep can choose between the two files;
see `sweeps/digits_architectures_grid.yml`. Only what looks at a picture differs. The rest is taken
from the other file: what is imported here counts as defined here.
"""

from torch import Tensor, nn
from torch.distributions import Distribution

from modules.architectures.layers import Flatten, StochasticLinear, make_stack
from modules.architectures.simple_digits import N_CLASSES, Decoder, LabelClassifier, Prior

__all__ = ["Classifier", "Decoder", "Encoder", "LabelClassifier", "Prior"]

N_FEATURES = 32 * 4 * 4  # what picture_features returns: channels, height, width


def picture_features() -> list[nn.Module]:
    """Return the layers from a picture `[batch, 1, 8, 8]` to a vector `[batch, N_FEATURES]`."""
    return [
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        # A stride halves the resolution and, unlike pooling, learns what to keep.
        nn.Conv2d(16, 32, kernel_size=3, padding=1, stride=2),
        nn.ReLU(),
        Flatten(),
    ]


class Encoder(nn.Module):
    """q(Z|X): a picture to a factorized Normal over representations."""

    def __init__(self, z_dim: int, layers: list[int]) -> None:
        """Create the network; `layers` are the widths of the layers after the convolutions."""
        super().__init__()
        widths = [N_FEATURES, *layers]
        self.net = nn.Sequential(
            *picture_features(), *make_stack(widths), StochasticLinear(widths[-1], z_dim, "Normal")
        )

    def forward(self, x: Tensor) -> Distribution:
        """Return the distribution of Z for each picture."""
        return self.net(x)


class Classifier(nn.Module):
    """p(Y|X): a picture to a distribution over classes, without a detour."""

    def __init__(self, layers: list[int]) -> None:
        """Create the network; `layers` are the widths of the layers after the convolutions."""
        super().__init__()
        widths = [N_FEATURES, *layers]
        self.net = nn.Sequential(
            *picture_features(),
            *make_stack(widths),
            StochasticLinear(widths[-1], N_CLASSES, "Categorical"),
        )

    def forward(self, x: Tensor) -> Distribution:
        """Return the distribution of Y for each picture."""
        return self.net(x)
