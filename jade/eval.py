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

from jade import devices, entries
from jade.batches import Batches, batches_of
from jade.errors import ContractError
from jade.seeding import Stream
from jade.state import Storing
from jade.trainer import Trainer


class Evaluation(Storing):
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
        self._stored: list[str] = []
        self._in_run = _InRun(0, type(self).__name__)

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

    def batches(self, loader: Any) -> Iterator[Any]:  # noqa: ANN401 - any iterable of batches
        """Yield the batches of `loader`, each on the device.

        Unlike a plain loop over `loader`, this gives the same batches in a run that was continued whatever
        the loader draws in its workers, and ends where the run is asked to stop.
        """
        yield from _batches(self, loader)


def seed(evaluation: Evaluation) -> None:
    """Seed everything random for an evaluation at this iteration, so that it depends on no other."""
    run, trainer = evaluation._in_run, evaluation.trainer
    roots = {
        key: value for key, value in vars(evaluation).items() if key not in ("trainer", "datasets", "_in_run")
    }
    Stream(run.seed, f"evaluation {run.name}", trainer.get_device(), roots).start(trainer.iterations)


def belong(evaluation: Evaluation, seed: int, name: str) -> None:
    """Say which run, by its seed, an evaluation is of, and which name it has there."""
    evaluation._in_run = _InRun(seed, name)


def close(evaluation: Evaluation) -> None:
    """End what an evaluation keeps running between its calls."""
    evaluation._in_run.close()


class _InRun:
    """What an evaluation draws from: the run's seed, its own name, and its loaders."""

    def __init__(self, seed: int, name: str) -> None:
        self.seed = seed
        self.name = name
        self._known: dict[int, tuple[Any, Batches]] = {}

    def batches_of(self, loader: Any, device: torch.device) -> Batches:  # noqa: ANN401 - any iterable
        known = self._known.get(id(loader))
        if known is None or known[0] is not loader:
            # Kept, for the workers that a loader keeps.
            known = loader, batches_of(loader, self.seed, f"evaluation {self.name}", device)
            self._known[id(loader)] = known
        return known[1]

    def close(self) -> None:
        for _, drawn in self._known.values():
            drawn.close()


def _batches(evaluation: Evaluation, loader: Any) -> Iterator[Any]:  # noqa: ANN401 - any iterable of batches
    trainer = evaluation.trainer
    device = trainer.get_device()
    for data in evaluation._in_run.batches_of(loader, device).epoch(trainer.iterations):
        trainer._jade_stop.check()
        yield devices.move(data, device)


# What every evaluation has before its user adds to it.
OWN_NAMES = frozenset({"datasets", "trainer", "_stored", "_in_run", "data_loader"})


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
        means: list[Any] = []
        lengths: list[int] = []
        for data in _batches(self, self.data_loader):
            means.append(self.evaluate_batch(data))
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
    """Run a block in evaluation mode without gradients; the mode of each network is put back after it."""
    modes = [(module, module.training) for module in trainer.all_modules()]
    trainer.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
