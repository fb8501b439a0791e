"""Pictures of what a generative trainer has learned: reconstructions, samples, latent walks.

These evaluations talk to the networks themselves. Any trainer serves that has an `encoder`
(pictures to a distribution), a `decoder` (representations to a distribution) and a `prior` (no
argument to a distribution), as far as they are used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from jade.errors import ContractError
from jade.eval import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURE_INCHES = 0.8
MARGIN_INCHES = 0.15
NAMES_INCHES = 0.9
GAP = 0.08  # between pictures, as a share of their height


def check_networks(evaluation: Evaluation, *names: str) -> None:
    """Raise a `ContractError` if the evaluation needs networks that its trainer lacks."""
    missing = [name for name in names if not hasattr(evaluation.trainer, name)]
    if missing:
        raise ContractError(
            f"{type(evaluation).__name__} needs the trainer's {' and '.join(names)};"
            f" {type(evaluation.trainer).__name__} has no {' and no '.join(missing)}.",
            hint="Create them under these names in the trainer's initialize().",
        )


def first_pictures(evaluation: Evaluation, evaluate_on: str, n_pictures: int) -> Tensor:
    """Return the first pictures, `[n, channels, height, width]`; all if there are fewer."""
    dataset = evaluation.datasets[evaluate_on]
    return torch.stack([dataset[i]["x"] for i in range(min(n_pictures, len(dataset)))])


def pictures_from(distribution: Distribution, sample: bool) -> Tensor:
    """Return the mean of a distribution, or one draw from it."""
    return distribution.sample() if sample else distribution.mean


def draw_grid(pictures: Tensor, row_names: Sequence[str] = (), column_names: Sequence[str] = ()) -> "Figure":
    """Return a figure of pictures in rows and columns.

    Args:
        pictures: `[rows, columns, channels, height, width]`, one or three channels; values are cut
            to [0, 1].
        row_names: what to write at the left of each row; nothing if empty.
        column_names: what to write below each column; nothing if empty.
    """
    # Imported here because it takes half a second, which a run without pictures should not pay.
    # And not pyplot: it keeps every figure alive until it is closed, and may look for a screen.
    from matplotlib.figure import Figure

    rows, columns, channels, height, width = pictures.shape
    # All pictures become one large one with white gaps; an axis for each would be slow to draw.
    gap = max(1, round(GAP * height))
    sheet = torch.ones(rows, columns, channels, height + gap, width + gap)
    sheet[..., :height, :width] = pictures.detach().cpu().clamp(0, 1)
    sheet = sheet.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)[:-gap, :-gap]

    # Placed by hand, in inches: the automatic layouts leave wide margins around a fixed aspect.
    sheet_width = sheet.shape[1] / height * PICTURE_INCHES
    sheet_height = sheet.shape[0] / height * PICTURE_INCHES
    left = NAMES_INCHES if row_names else MARGIN_INCHES
    bottom = 2 * MARGIN_INCHES if column_names else MARGIN_INCHES
    figure_width = left + sheet_width + MARGIN_INCHES
    figure_height = bottom + sheet_height + MARGIN_INCHES
    figure = Figure(figsize=(figure_width, figure_height))
    axes = figure.add_axes(
        (
            left / figure_width,
            bottom / figure_height,
            sheet_width / figure_width,
            sheet_height / figure_height,
        )
    )
    axes.imshow(sheet.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_frame_on(False)
    axes.tick_params(length=0)
    axes.set_yticks([(height + gap) * row + height / 2 for row in range(len(row_names))], row_names)
    axes.set_xticks([(width + gap) * column + width / 2 for column in range(len(column_names))], column_names)
    return figure


class ReconstructionEvaluation(Evaluation):
    """Pictures of a data set, and below each what remains of it after encoding and decoding."""

    def initialize(self, evaluate_on: str, n_pictures: int = 10, sample_images: bool = False) -> None:
        """Take the pictures; they stay the same during training, so that progress shows.

        Args:
            evaluate_on: name of the data set, a key of the data configuration.
            n_pictures: how many, from the beginning of the data set.
            sample_images: draw the representation and the pixels at random, instead of showing the
                mean of both.

        Raises:
            ContractError: if the trainer lacks an encoder or a decoder.
        """
        check_networks(self, "encoder", "decoder")
        self.x = first_pictures(self, evaluate_on, n_pictures)
        self.sample_images = sample_images

    def evaluate(self) -> dict[str, Any]:
        """Return a figure with the originals above their reconstructions."""
        x = self.x.to(self.trainer.get_device())
        z = pictures_from(self.trainer.encoder(x), self.sample_images)
        reconstructions = pictures_from(self.trainer.decoder(z), self.sample_images)
        figure = draw_grid(torch.stack([x, reconstructions]), ["original", "decoded"])
        return {"type": "figure", "value": figure}


class SampleEvaluation(Evaluation):
    """Pictures that the decoder makes of representations drawn from the prior."""

    def initialize(self, n_rows: int = 4, n_columns: int = 10, sample_images: bool = False) -> None:
        """Draw the representations; they stay the same during training, so that progress shows.

        Args:
            n_rows: rows of the grid.
            n_columns: pictures in a row.
            sample_images: draw the pixels at random as well, instead of showing their mean.

        Raises:
            ContractError: if the trainer lacks a prior or a decoder.
        """
        check_networks(self, "prior", "decoder")
        self.z = self.trainer.prior().sample((n_rows * n_columns,))
        self.n_rows = n_rows
        self.sample_images = sample_images

    def evaluate(self) -> dict[str, Any]:
        """Return a figure with the decoded representations."""
        z = self.z.to(self.trainer.get_device())
        pictures = pictures_from(self.trainer.decoder(z), self.sample_images)
        return {"type": "figure", "value": draw_grid(pictures.unflatten(0, (self.n_rows, -1)))}


class LatentTraversalEvaluation(Evaluation):
    """What each latent dimension does: a picture, decoded while one number of its code changes."""

    def initialize(
        self,
        evaluate_on: str,
        picture: int = 0,
        n_dimensions: int = 8,
        n_steps: int = 13,
        reach: float = 3.0,
    ) -> None:
        """Take the picture whose code is varied.

        Args:
            evaluate_on: name of the data set, a key of the data configuration.
            picture: position of the picture in the data set.
            n_dimensions: rows: the dimensions that carry most information about the picture, most
                first.
            n_steps: columns: values from `-reach` to `reach`.
            reach: largest value, in standard deviations of a standard Normal prior.

        Raises:
            ContractError: if the trainer lacks an encoder, a decoder or a prior.
        """
        check_networks(self, "encoder", "decoder", "prior")
        self.x = self.datasets[evaluate_on][picture]["x"].unsqueeze(0)
        self.n_dimensions = n_dimensions
        self.values = torch.linspace(-reach, reach, n_steps)

    def evaluate(self) -> dict[str, Any]:
        """Return a figure with one dimension in each row, its value growing to the right."""
        device = self.trainer.get_device()
        q_z_given_x = self.trainer.encoder(self.x.to(device))
        # A dimension that follows the prior tells nothing about the picture, and its row would show
        # one picture n times.
        nats = kl_divergence(q_z_given_x.base_dist, self.trainer.prior().base_dist)[0]
        dimensions = nats.argsort(descending=True)[: self.n_dimensions]

        codes = q_z_given_x.mean.repeat(len(dimensions), len(self.values), 1)
        for row, dimension in enumerate(dimensions):
            codes[row, :, dimension] = self.values.to(device)
        pictures = self.trainer.decoder(codes.flatten(0, 1)).mean
        row_names = [f"z[{dimension}]" for dimension in dimensions.tolist()]
        grid = pictures.unflatten(0, (len(dimensions), -1))
        column_names = [f"{value:g}" for value in self.values.tolist()]
        return {"type": "figure", "value": draw_grid(grid, row_names, column_names)}
