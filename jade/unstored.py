"""What a run would lose when it is continued: attributes that learn or change, but are in no checkpoint.

Asked once, at the first checkpoint, by `loop`.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from jade.state import Storing, is_lazy, modules_of

# Longer lists hold data, and so do larger tensors: whether they changed is not looked at.
LARGEST_CONTAINER = 1000
LARGEST_TENSOR = 16 * 1024 * 1024  # bytes
DEEPEST = 6

_log = logging.getLogger(__name__)


class Unstored:
    """Finds what of an owner changes or learns, but is in no checkpoint.

    Args:
        owner: initialized, before the first step.
        known: attributes that are somebody else's.
    """

    def __init__(self, owner: Storing, known: frozenset[str]) -> None:
        self._owner = owner
        self._known = known
        self._before = {name: _fingerprint(value) for name, value in self._others()}
        self._plain = self._plain_values()
        self._told: set[str] = set()

    def names(self) -> list[str]:
        """Return the attributes that would be lost and were not named before, sorted."""
        kept = _parts_of(list(self._owner.stored.values()))
        lost = {name for name, value in self._others() if self._is_lost(name, value, kept)}
        # Of a network, what no state_dict has: a rate of dropout that a schedule changes.
        now = self._plain_values()
        lost |= {name for name, value in now.items() if self._plain.get(name, value) != value}
        new = sorted(lost - self._told)
        self._told |= lost
        return new

    def _plain_values(self) -> dict[str, str]:
        return {
            ".".join(part for part in (name, inner, key) if part): repr(value)
            for name, network in modules_of(self._owner).items()
            for inner, module in network.named_modules()
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str) and key != "training" and not key.startswith("_")
        }

    def _others(self) -> Iterator[tuple[str, Any]]:
        members = {**vars(self._owner), **vars(self._owner).get("_modules", {})}
        members |= {**vars(self._owner).get("_parameters", {}), **vars(self._owner).get("_buffers", {})}
        hidden = self._known | set(self._owner._stored)
        return ((name, value) for name, value in members.items() if name not in hidden)

    def _is_lost(self, name: str, value: Any, kept: set[int]) -> bool:  # noqa: ANN401 - any attribute
        parts = _parts_of(value)
        if parts and parts <= kept:  # a second name for what is stored
            return False
        if _learns(value):
            return True
        return self._before.get(name) != _fingerprint(value)


def warn_of(found: Mapping[str, Unstored]) -> None:
    """Warn of what is stored nowhere, for each owner under the name that a user knows it by."""
    for whose, unstored in found.items():
        names = unstored.names()
        if names:
            _log.warning(
                "%s: %s learns or changes, but is in no checkpoint: a continued run begins with it anew."
                " self.add_attribute_to_store(name) puts it there.",
                whose,
                ", ".join(names),
            )


def _learns(value: Any) -> bool:  # noqa: ANN401 - any attribute
    parts = (
        list(value.values())
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else [value]
    )
    if len(parts) > LARGEST_CONTAINER:
        return False
    return any(
        (isinstance(part, nn.Module) and any(tensor.requires_grad for tensor in part.parameters()))
        or isinstance(part, nn.Parameter | torch.optim.Optimizer)
        for part in parts
    )


def _parts_of(value: Any) -> set[int]:  # noqa: ANN401 - any attribute
    """Return what tells the tensors and optimizers of an attribute from others."""
    if isinstance(value, torch.Tensor | torch.optim.Optimizer):
        return {id(value)}
    if isinstance(value, nn.Module):
        return {id(tensor) for tensor in [*value.parameters(), *value.buffers()]}
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return set().union(*(_parts_of(part) for part in list(parts)[:LARGEST_CONTAINER]))


def _fingerprint(value: Any, depth: int = 0) -> object:  # noqa: ANN401 - any attribute
    """Return what tells two states of an attribute apart, or None for what holds none that is known."""
    if depth > DEEPEST or isinstance(value, Dataset | DataLoader):
        return None
    if isinstance(value, nn.Module):
        return [_fingerprint(tensor) for tensor in [*value.parameters(), *value.buffers()]]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _digest(value)
    if isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, dict | list | tuple | deque | set):
        items = list(value.items()) if isinstance(value, dict) else list(value)
        return [_fingerprint(item, depth + 1) for item in items] if len(items) <= LARGEST_CONTAINER else None
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return _fingerprint(value.state_dict(), depth + 1)
    if type(value).__module__.partition(".")[0] in ("modules", "__main__") and hasattr(value, "__dict__"):
        return [_fingerprint(item, depth + 1) for item in vars(value).values()]  # the user's own class
    return None


def _digest(value: Any) -> str | None:  # noqa: ANN401 - a tensor, an array or a number of numpy's
    if isinstance(value, torch.Tensor) and (is_lazy(value) or value.layout != torch.strided or value.is_meta):
        return None
    if value.nbytes > LARGEST_TENSOR:
        return None
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(value.tobytes()).hexdigest() if value.dtype != object else None
