"""The contract with the user's algorithm: what a Trainer offers and what it must define.

The loop (`loop`) drives a Trainer; `experiment` builds it. Neither is known here.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

import torch
from torch import nn
from torch.utils.data import Dataset

from jade.batches import length_of, several_in
from jade.calls import place_of
from jade.errors import ContractError, JadeError, nearest
from jade.signals import Stop
from jade.state import Storing

# A loss that is logged every few hours must not keep a tensor for each step until then.
LOSSES_KEPT = 1000
# Longer lists and dictionaries hold data, not networks; looking through them at each epoch would cost.
LARGEST_CONTAINER = 1000
_COUNTERS = ("iterations", "epochs")


class ArchitectureSource(Protocol):
    """Builds the classes of the architecture file by name."""

    def create(self, name: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any object
        """Return the instance of `name`, given `params`."""


class Trainer(Storing, nn.Module):
    """A training algorithm: which networks it needs, which loader, and what one step does.

    Write a subclass into `modules/models/`, name it in the model file, and define `initialize` and
    `train_step`. Do not override `__init__`.

    Attributes:
        datasets: the datasets of the data file by name, built on first use.
        train_loader: set by `initialize`; its batches are what `train_step` gets.
        iterations: training steps done so far.
        epochs: passes over `train_loader` done so far.
        device: where the run trains; `get_device()` is its `torch.device`.
        has_ended: whether `end_training` was called.
    """

    train_loader: Any

    def __init__(
        self, *, datasets: Mapping[str, Any], architecture: ArchitectureSource, device: torch.device
    ) -> None:
        super().__init__()
        self.datasets = datasets
        self.device: torch.device | str = device
        self.iterations = 0
        self.epochs = 0
        self._architecture = architecture
        self._stored: list[str] = []
        self._losses: dict[str, _RunningMean] = {}
        self.has_ended = False
        self._jade_stop = Stop()
        self.taken_names: frozenset[str] = frozenset()  # names that a loss item may not have

    # What a user overrides.

    def initialize(self) -> None:
        """Override. Builds networks, optimizers and `train_loader`.

        Called once, with the `params` of the model file as keyword arguments.
        """

    def train_step(self, data: Any) -> None:  # noqa: ANN401 - a batch is whatever the dataset gives
        """Override. Makes one training step on one batch.

        Called with a batch of `train_loader` that is on the device already, every network in train mode. A
        part that is to stay in evaluation mode is set to it here: `self.backbone.eval()`.
        """
        raise ContractError(f"{type(self).__name__} defines no train_step(self, data).")

    def on_start(self) -> None:
        """Override. Called once in every process, after `initialize` and before the first step.

        A run that is continued is another process: what is stored has its old state only after this.
        """

    def on_iteration_end(self) -> None:
        """Override. Called after each training step; there is no need to count `iterations`."""
        self.iterations += 1

    def on_epoch_end(self) -> None:
        """Override. Called after each pass over `train_loader`; there is no need to count `epochs`."""
        self.epochs += 1

    # What a user calls.

    def instantiate_architecture(self, name: str, /, **params: Any) -> Any:  # noqa: ANN401 - any object
        """Return an instance of the class `name` of the architecture file, placed on the device.

        Raises:
            PluginError: if the file has no such class, or it takes other parameters.
        """
        instance = self._architecture.create(name, params)
        return instance.to(self.get_device()) if isinstance(instance, nn.Module) else instance

    def add_loss_item(self, name: str, value: float | torch.Tensor) -> None:
        """Add one value to the running mean of `name`, which is logged every `--log-loss-every` iterations.

        Args:
            name: under which the mean is logged.
            value: a number, or a tensor without dimensions; it stays on its device until it is logged, so
                there is no need for `.item()`, which would make a GPU wait.

        Raises:
            ContractError: if `value` is anything else.
        """
        if isinstance(value, torch.Tensor):
            if value.dim() or value.is_complex():
                raise ContractError(
                    f"The loss item {name!r} is a tensor of shape {list(value.shape)} and type {value.dtype};"
                    " a single real number is expected.",
                    hint=f"self.add_loss_item({name!r}, value.mean())",
                )
            # A CPU has nothing to wait for. Elsewhere a copy is kept: users hold running totals in one tensor
            # and change it in place.
            value = value.item() if value.is_cpu else value.detach().clone()
        elif not _is_number(value):
            raise ContractError(f"The loss item {name!r} is {value!r}; a number is expected.")
        mean = self._losses.get(name)
        if mean is None:
            mean = self._new_mean(name)
        mean.waiting.append(value)
        if len(mean.waiting) >= LOSSES_KEPT:
            mean.collect()

    def _new_mean(self, name: str) -> _RunningMean:
        if not isinstance(name, str):
            raise ContractError(
                f"The name of a loss item is text; {name!r} was given.", where=place_of(type(self))
            )
        if name in self.taken_names:
            raise ContractError(
                f"{name!r} is the name of a loss item, but also of an evaluation or a counter.",
                where=place_of(type(self)),
                hint="Rename the loss item.",
            )
        self._losses[name] = _RunningMean()
        return self._losses[name]

    def get_device(self) -> torch.device:
        """Return the device the run trains on; answers in `initialize`, too."""
        return torch.device(self.device)

    def end_training(self) -> None:
        """End the run after the present step, as finished."""
        self.has_ended = True

    # What JADE asks.

    def take_losses(self) -> dict[str, float]:
        """Return the mean of each loss item since the last call, and start anew."""
        losses, self._losses = self._losses, {}
        return {name: mean.read() for name, mean in losses.items()}

    @property
    def waiting_losses(self) -> dict[str, list[float]]:
        """Sum and number of the values of each loss item since they were taken last; can be set."""
        return {name: mean.sum_and_count() for name, mean in self._losses.items()}

    @waiting_losses.setter
    def waiting_losses(self, found: Mapping[str, list[float]]) -> None:
        self._losses = {name: _RunningMean(*pair) for name, pair in found.items()}

    def faults(self) -> Iterator[JadeError]:
        """Yield what `initialize` should have done and did not."""
        name, where = type(self).__name__, place_of(type(self))
        if type(self).train_step is Trainer.train_step:
            yield ContractError(
                f"{name} defines no train_step.", where=where, hint="def train_step(self, data): …"
            )
        yield from self._loader_faults(name, where)
        if self.iterations or self.epochs:
            yield ContractError(
                f"{name} sets self.iterations or self.epochs, which count what JADE has done.",
                where=where,
                hint="How long a run trains is set by --epochs; call a parameter of your own something else.",
            )
        yield from self.absent()

    def absent(self) -> Iterator[JadeError]:
        """Yield the attributes that are to be stored and that `initialize` did not set."""
        for attribute in self._stored:
            if not hasattr(self, attribute):
                near = nearest(attribute, [key for key in self._own_names() if not key.startswith("_")])
                yield ContractError(
                    f"{type(self).__name__} stores the attribute {attribute!r}, which it does not have.",
                    where=place_of(type(self)),
                    hint=f"did you mean: {near}" if near else f"initialize must set self.{attribute}",
                )

    def _loader_faults(self, name: str, where: str) -> Iterator[JadeError]:
        loader = getattr(self, "train_loader", None)
        several = several_in(loader) if loader is not None else None
        if several == {}:
            yield ContractError(f"The train_loader of {name} holds no loaders.", where=where)
        for key, part in (several or {None: loader}).items():
            what = "train_loader" if several is None else f"train_loader[{key!r}]"
            yield from _faults_of_one(part, what, name, where)

    def _own_names(self) -> list[str]:
        return [*vars(self), *self._modules, *self._parameters, *self._buffers]

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any attribute
        # The counters change at each step; nn.Module would first look for six other kinds of members.
        if name in _COUNTERS:
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # Networks kept in plain lists and dictionaries get mode and device like all others.

    def train(self, mode: bool = True) -> Self:
        """Set every network, also those in plain lists and dictionaries, to train or evaluation mode."""
        super().train(mode)
        for module in self._loose_modules():
            module.train(mode)
        return self

    def all_modules(self) -> Iterator[nn.Module]:
        """Yield every network of the trainer, also those in plain lists and dictionaries."""
        yield from self.modules()
        for module in self._loose_modules():
            yield from module.modules()

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch's own has no annotations
        for module in self._loose_modules():
            module._apply(fn)  # type: ignore[no-untyped-call]
        return self

    def _loose_modules(self) -> Iterator[nn.Module]:
        for name, value in vars(self).items():
            if name not in ("_modules", "_parameters", "_buffers", "_losses", "_stored"):
                yield from _modules_in(value)


class _Nothing:
    """An architecture file without classes."""

    def create(self, name: str, params: Mapping[str, Any]) -> Any:  # noqa: ANN401 - never called
        raise KeyError(name)


# What every trainer has before its user adds to it, and the loader, which has its own way to be continued.
OWN_NAMES = frozenset(
    {*vars(Trainer(datasets={}, architecture=_Nothing(), device=torch.device("cpu"))), "train_loader"}
)


def _faults_of_one(loader: Any, what: str, name: str, where: str) -> Iterator[JadeError]:  # noqa: ANN401
    hint = "self.train_loader = DataLoader(self.datasets['train'], batch_size=…, shuffle=True)"
    if loader is None:
        yield ContractError(f"{name} sets no {what} in initialize.", where=where, hint=hint)
    elif isinstance(loader, Dataset) or not hasattr(loader, "__iter__"):
        yield ContractError(
            f"The {what} of {name} is a {type(loader).__name__}, which gives no batches.",
            where=where,
            hint=hint,
        )
    elif hasattr(loader, "__len__") and length_of(loader) == 0:
        yield ContractError(
            f"The {what} of {name} has no batches.",
            where=where,
            hint="Is the dataset empty, or drop_last set with fewer items than batch_size?",
        )


def _is_number(value: object) -> bool:
    return isinstance(value, float | numbers.Real)


def _modules_in(value: object) -> Iterator[nn.Module]:
    if not isinstance(value, list | tuple | dict) or len(value) > LARGEST_CONTAINER:
        return
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, nn.Module):
            yield item
        else:
            yield from _modules_in(item)


class _RunningMean:
    """A mean whose values stay on their device until it is read."""

    def __init__(self, total: float = 0.0, count: float = 0) -> None:
        self.waiting: list[Any] = []
        self._sum = total
        self._count = int(count)

    def read(self) -> float:
        self.collect()
        return self._sum / self._count

    def sum_and_count(self) -> list[float]:
        self.collect()
        return [self._sum, self._count]

    def collect(self) -> None:
        tensors = [value for value in self.waiting if isinstance(value, torch.Tensor)]
        # One transfer for all of them: an .item() for each would make the device wait each time.
        read = iter(torch.stack(tensors).cpu().tolist() if tensors else ())
        # One after the other, so that the sum does not depend on when it was collected in between.
        for value in self.waiting:
            self._sum += next(read) if isinstance(value, torch.Tensor) else float(value)
        self._count += len(self.waiting)
        self.waiting.clear()
