"""Choose the device a run trains on, and move a batch of any nesting to it."""

from __future__ import annotations

import copy
import dataclasses
import operator
from collections.abc import Mapping
from typing import Any

import torch

from jade.errors import ConfigError


def choose(name: str | None, where: str = "--device") -> torch.device:
    """Return the device called `name`, or the best there is: cuda, else mps, else cpu.

    Args:
        name: such as "cuda:1"; None for the best.
        where: who asks for it, for errors.

    Raises:
        ConfigError: if the device is not on this machine; the message lists those that are.
    """
    present = available()
    if name is None:
        best = next(kind for kind in ("cuda", "mps", "cpu") if any(n.startswith(kind) for n in present))
        return torch.device(best)
    if name in present or name in {n.partition(":")[0] for n in present}:
        return torch.device(name)
    raise ConfigError(
        f"The device {name!r} is not on this machine.", where=where, hint=f"known: {', '.join(present)}"
    )


def available() -> list[str]:
    """Return the names of the devices on this machine, such as `["cpu", "cuda:0"]`."""
    found = ["cpu"]
    found += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def move(batch: Any, device: torch.device) -> Any:  # noqa: ANN401 - a batch is whatever the dataset gives
    """Return `batch` with every tensor in it on `device`; the nesting and its types are kept.

    Tuples, named tuples, lists, dictionaries, dataclasses and whatever has a `to` method are moved; anything
    else, and a plain tuple, list or dictionary in which nothing has to move, is handed back as it is.
    """
    if device.type == "cpu" and _lies_on_cpu(batch):
        return batch
    if isinstance(batch, torch.Tensor):
        return batch if batch.device == device else batch.to(device, non_blocking=True)
    if type(batch) is dict:
        moved = {key: move(value, device) for key, value in batch.items()}
        return batch if all(map(operator.is_, moved.values(), batch.values())) else moved
    if type(batch) is list or type(batch) is tuple:
        items = [move(item, device) for item in batch]
        return batch if all(map(operator.is_, items, batch)) else type(batch)(items)
    return _move_other(batch, device)


def _lies_on_cpu(batch: Any) -> bool:  # noqa: ANN401 - as above
    """Say whether a batch is of the usual kind, and of CPU tensors only: a step on a CPU pays for no more."""
    if type(batch) is not dict and type(batch) is not list and type(batch) is not tuple:
        return False
    for item in batch.values() if type(batch) is dict else batch:
        if type(item) is not torch.Tensor or not item.is_cpu:
            return False
    return True


def _move_other(batch: Any, device: torch.device) -> Any:  # noqa: ANN401 - as above
    """Move what is neither a tensor nor a plain container."""
    if hasattr(batch, "to") and not isinstance(batch, type):  # torch's own PackedSequence is a named tuple
        return batch.to(device)
    if isinstance(batch, Mapping):
        return _moved_mapping(batch, device)
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return _moved_dataclass(batch, device)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(move(item, device) for item in batch))
    if isinstance(batch, list | tuple):
        return _moved_sequence(batch, device)
    return batch


def _moved_dataclass(batch: Any, device: torch.device) -> Any:  # noqa: ANN401 - keeps the type
    same = copy.copy(batch)
    for field in dataclasses.fields(batch):
        # Not setattr, which a frozen dataclass refuses.
        object.__setattr__(same, field.name, move(getattr(batch, field.name), device))
    return same


def _moved_mapping(batch: Mapping[Any, Any], device: torch.device) -> Any:  # noqa: ANN401 - keeps the type
    moved = {key: move(value, device) for key, value in batch.items()}
    try:
        same: Any = copy.copy(
            batch
        )  # keeps what a subclass holds besides its items, such as a default factory
        for key, value in moved.items():
            same[key] = value
    except TypeError:  # a mapping that cannot be copied or written to
        return moved
    return same


def _moved_sequence(batch: list[Any] | tuple[Any, ...], device: torch.device) -> Any:  # noqa: ANN401 - keeps the type
    items = [move(item, device) for item in batch]
    try:
        return type(batch)(items)
    except TypeError:  # a subclass whose constructor takes something else
        return items if isinstance(batch, list) else tuple(items)


def full_name(device: torch.device) -> str:
    """Return the name of the device's model, such as "NVIDIA H200", or its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
