"""Layers that architecture files share: dense stacks, reshaping, and layers with distributions.

Nothing here knows a data set or a loss. Architecture files import from this module; trainers never
do.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal
from torch.nn.functional import softplus

# softplus underflows to exactly 0 for very negative inputs, and a Normal of scale 0 has no density.
# The floor also bounds the KL divergence to the prior: a confident encoder cannot push it to
# infinity.
MIN_SCALE = 1e-4


def make_stack(widths: Sequence[int]) -> list[nn.Module]:
    """Return fully connected layers, each followed by a ReLU.

    Args:
        widths: the input features, then the features after each layer. One width alone gives an
            empty stack, so that `layers: []` in a configuration leaves only the layer that the
            architecture adds after it.

    Returns:
        `2 * (len(widths) - 1)` modules, to be unpacked into an `nn.Sequential`.
    """
    stack: list[nn.Module] = []
    for n_inputs, n_outputs in zip(widths[:-1], widths[1:], strict=True):
        # Not in place: the first layer of a stack must leave the batch, which an evaluation may
        # still draw, as it is.
        stack += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
    return stack


class Flatten(nn.Module):
    """Lays out each item of a batch as one vector: `[batch, ...]` to `[batch, features]`."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` as a matrix with one row per item."""
        return x.flatten(start_dim=1)


class Reshape(nn.Module):
    """Gives each item of a batch a shape: `[batch, features]` to `[batch, *shape]`."""

    def __init__(self, *shape: int) -> None:
        """Remember the shape of one item, without the batch."""
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with every row arranged in the shape."""
        return x.reshape(len(x), *self.shape)


def factorized_normal(parameters: Tensor) -> Distribution:
    """Return independent Normals from `[batch, 2 * n]` numbers: the means, then the raw scales."""
    mean, scale = parameters.chunk(2, dim=-1)
    return Independent(Normal(mean, softplus(scale) + MIN_SCALE), 1)


def factorized_bernoulli(parameters: Tensor) -> Distribution:
    """Return independent Bernoullis from `[batch, n]` logits."""
    return Independent(Bernoulli(logits=parameters), 1)


def categorical(parameters: Tensor) -> Distribution:
    """Return one Categorical over `n` classes per item, from `[batch, n]` logits."""
    return Categorical(logits=parameters)


# For each name: how many numbers the linear layer computes per output, and what makes a
# distribution of them.
DISTRIBUTIONS: dict[str, tuple[int, Callable[[Tensor], Distribution]]] = {
    "Normal": (2, factorized_normal),
    "Bernoulli": (1, factorized_bernoulli),
    "Categorical": (1, categorical),
}


class StochasticLinear(nn.Module):
    """A linear layer whose output is a distribution instead of a vector.

    Independent dimensions are summed: `log_prob` of a batch has the shape `[batch]`, whatever the
    number of outputs.

    The checks that torch makes when a distribution is built are left on. They cost tens of
    microseconds a step (on a GPU also a wait), and turn a diverged network, whose outputs are NaN,
    into an error at that very step.
    `torch.distributions.Distribution.set_default_validate_args(False)` switches them off where each
    step counts.
    """

    def __init__(self, n_inputs: int, n_outputs: int, distribution: str) -> None:
        """Create the layer.

        Args:
            n_inputs: features of the input, `[batch, n_inputs]`.
            n_outputs: dimensions of a 'Normal' or 'Bernoulli' sample, classes of a 'Categorical'
                one.
            distribution: a key of `DISTRIBUTIONS`.

        Raises:
            ValueError: if the distribution is unknown.
        """
        super().__init__()
        if distribution not in DISTRIBUTIONS:
            raise ValueError(f"Unknown distribution {distribution!r}. Known: {', '.join(DISTRIBUTIONS)}")
        n_parameters, self.make_distribution = DISTRIBUTIONS[distribution]
        self.linear = nn.Linear(n_inputs, n_parameters * n_outputs)

    def forward(self, x: Tensor) -> Distribution:
        """Return one distribution per item of `x`, `[batch, n_inputs]`."""
        return self.make_distribution(self.linear(x))


class StandardNormal(nn.Module):
    """A factorized Normal of mean 0 and variance 1, without parameters to learn."""

    def __init__(self, n_dimensions: int) -> None:
        """Create the distribution of vectors with `n_dimensions` entries."""
        super().__init__()
        # Buffers follow the module to its device; plain tensors would stay on the CPU.
        self.register_buffer("mean", Tensor([0.0]).repeat(n_dimensions))
        self.register_buffer("scale", Tensor([1.0]).repeat(n_dimensions))

    def forward(self) -> Distribution:
        """Return the distribution; its samples have the shape `[n_dimensions]`."""
        return Independent(Normal(self.mean, self.scale), 1)
