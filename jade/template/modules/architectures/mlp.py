"""Networks for points in the plane. Another file like this one, another architecture: `--arch_impl`."""

from torch import Tensor, nn


class Classifier(nn.Module):
    """Fully connected layers from a point in the plane to a score for each of the two classes."""

    def __init__(self, layers: list[int]) -> None:
        """Create the network; `layers` are the widths of its hidden layers."""
        super().__init__()
        widths = [2, *layers]
        stack: list[nn.Module] = []
        for n_inputs, n_outputs in zip(widths[:-1], widths[1:], strict=True):
            stack += [nn.Linear(n_inputs, n_outputs), nn.ReLU()]
        self.net = nn.Sequential(*stack, nn.Linear(widths[-1], 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return scores `[batch, 2]` for points `[batch, 2]`."""
        return self.net(x)
