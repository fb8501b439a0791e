"""The contract with the user's metrics: what an Evaluation offers and what it must define.

When an evaluation runs is the loop's affair; what it may return is checked by `entries`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader

from jade import devices, entries, seeding
from jade.errors import ContractError
from jade.trainer import Trainer


class Evaluation:
    """A metric, figure or other quantity computed from a trainer now and then.

    Write a subclass into `modules/eval/`, name it in the evaluation file, and define `evaluate` and, if it
    has params, `initialize`. Do not override `__init__`.

    Attributes:
        datasets: the datasets of the data file by name, built on first use.
        trainer: the trainer of the run.
    """

    def __init__(self, *, datasets: Mapping[str, Any], trainer: Trainer) -> None:
        self.datasets = datasets
        self.trainer: Any = trainer

    def initialize(self) -> None:
        """Override. Called once, with the params of the evaluation file as keyword arguments.

        `evaluate_every` is taken out first, unless `initialize` asks for it.
        """

    def evaluate(self) -> dict[str, Any]:
        """Override. Returns one entry, `{"type": …, "value": …}` with an optional `iteration`.

        Called with every network in evaluation mode and without gradients; the modes are put back after it.
        The types are scalar, scalars, figure, image, images, histogram, table and text.
        """
        raise ContractError(f"{type(self).__name__} defines no evaluate(self).")


class DatasetEvaluation(Evaluation):
    """The mean of something over a dataset: define `evaluate_batch` only."""

    def initialize(  # type: ignore[override]  # each evaluation has params of its own
        self,
        evaluate_on: str,
        batch_size: int = 256,
        n_samples: int | None = None,
        resample: bool = False,
        num_workers: int = 0,
    ) -> None:
        """Set what the mean is taken over.

        Args:
            evaluate_on: name of a dataset of the data file.
            batch_size: items in a batch.
            n_samples: stop after the batch in which so many items were seen; None for all.
            resample: draw the items anew each time; else the first ones, in order.
            num_workers: processes that load data.
        """
        for name, value in (("batch_size", batch_size), ("n_samples", n_samples)):
            if value is not None and not (isinstance(value, int) and value > 0):
                raise ContractError(
                    f"{name} of {type(self).__name__} is {value!r}; it must be a whole number above 0."
                )
        self.n_samples = n_samples
        self.data_loader: DataLoader[Any] = DataLoader(
            self.datasets[evaluate_on], batch_size=batch_size, shuffle=resample, num_workers=num_workers
        )

    def evaluate_batch(self, data: Any) -> Any:  # noqa: ANN401 - a batch, and a number or dict of numbers
        """Override. Returns the mean over one batch, which is on the device already.

        A number or a tensor without dimensions is logged as a scalar, a dictionary of these as scalars.
        """
        raise ContractError(f"{type(self).__name__} defines no evaluate_batch(self, data).")

    def evaluate(self) -> dict[str, Any]:
        """Return the mean over the dataset, each batch weighted by its length."""
        device = self.trainer.get_device()
        means: list[Any] = []
        lengths: list[int] = []
        for data in self.data_loader:
            means.append(self.evaluate_batch(devices.move(data, device)))
            lengths.append(batch_length(data))
            if self.n_samples is not None and sum(lengths) >= self.n_samples:
                break
        if not means:
            raise ContractError(f"{type(self).__name__} was given a dataset without items.")
        if not isinstance(means[0], Mapping):
            return {"type": "scalar", "value": _weighted(type(self).__name__, means, lengths)}
        names = list(means[0])
        if any(not isinstance(mean, Mapping) or set(mean) != set(names) for mean in means):
            raise ContractError(
                f"evaluate_batch of {type(self).__name__} must return the same names each time."
            )
        by_name = {name: _weighted(f"{name!r}", [mean[name] for mean in means], lengths) for name in names}
        return {"type": "scalars", "value": by_name}


def _weighted(what: str, means: list[Any], lengths: list[int]) -> float:
    values = [entries.number(mean) for mean in means]
    for value, mean in zip(values, means, strict=True):
        if value is None:
            shape = f" of shape {list(mean.shape)}" if hasattr(mean, "shape") else ""
            raise ContractError(
                f"evaluate_batch returned a {type(mean).__name__}{shape} for {what};"
                " the mean over the batch is expected."
            )
    return math.fsum(v * n for v, n in zip(values, lengths, strict=True) if v is not None) / sum(lengths)


def batch_length(batch: Any) -> int:  # noqa: ANN401 - a batch is whatever the dataset gives
    """Return how many items a batch holds: the first dimension of the first tensor in it.

    Raises:
        ContractError: if there is nothing in it that has a length.
    """
    for part in _parts(batch):
        if isinstance(part, torch.Tensor) and part.dim():
            return int(part.shape[0])
    for part in _parts(batch):
        if isinstance(part, list) and part:
            return len(part)
    raise ContractError(f"How many items a batch of type {type(batch).__name__} holds is not clear.")


def _parts(batch: Any) -> Iterator[Any]:  # noqa: ANN401 - a batch is whatever the dataset gives
    yield batch
    inner = batch.values() if isinstance(batch, Mapping) else batch
    if isinstance(batch, Mapping | list | tuple):
        for item in inner:
            yield from _parts(item)


@contextmanager
def evaluating(trainer: Trainer) -> Iterator[None]:
    """Run a block in evaluation mode without gradients; modes and generators are put back after it.

    So an evaluation that is added to a run, or is made more often, does not change the training.
    """
    modes = [(module, module.training) for module in trainer.all_modules()]
    trainer.eval()
    try:
        with torch.no_grad(), seeding.preserved(trainer.get_device()):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
