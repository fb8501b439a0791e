"""What to look at while a classifier learns: a number and a picture."""

from typing import Any

import torch
from torch import Tensor

from jade.eval import DatasetEvaluation, Evaluation


class Accuracy(DatasetEvaluation):
    """Share of the items of a dataset that are classified rightly, from 0 to 1."""

    def evaluate_batch(self, data: dict[str, Tensor]) -> Tensor:
        """Return the share for one batch; JADE takes the mean over the dataset."""
        return (self.trainer.network(data["x"]).argmax(dim=1) == data["y"]).float().mean()


class DecisionBoundary(Evaluation):
    """A picture of the plane: how probable each class is where, and the points of a dataset."""

    def initialize(self, evaluate_on: str, n_points: int = 500, resolution: int = 120) -> None:
        """Remember what to draw; the arguments are `params` in configurations/eval."""
        self.dataset = self.datasets[evaluate_on]
        self.n_points = n_points
        self.resolution = resolution

    def evaluate(self) -> dict[str, Any]:
        """Return the picture."""
        # Slow to import; and not pyplot, which keeps every figure until it is closed.
        from matplotlib.figure import Figure

        line = torch.linspace(-1.2, 1.2, self.resolution)
        grid = torch.cartesian_prod(line, line).to(self.trainer.get_device())
        probability = self.trainer.network(grid).softmax(dim=1)[:, 1].cpu()

        figure = Figure(figsize=(4, 4))
        axes = figure.subplots()
        axes.contourf(
            line, line, probability.reshape(self.resolution, -1).T, levels=20, cmap="RdBu_r", alpha=0.6
        )
        points, classes = self.dataset.x[: self.n_points], self.dataset.y[: self.n_points]
        axes.scatter(
            points[:, 0], points[:, 1], c=classes, cmap="RdBu_r", s=8, edgecolors="black", linewidths=0.3
        )
        axes.set_axis_off()
        return {"type": "figure", "value": figure}
