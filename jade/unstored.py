"""What a run would lose when it is continued: attributes that learn or change, but are in no checkpoint.

Asked once, at the first checkpoint, by `loop`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from jade.state import Storing, is_lazy

# Longer lists hold data, and so do larger tensors: whether they changed is not looked at.
LARGEST_CONTAINER = 1000
LARGEST_TENSOR = 16 * 1024 * 1024  # bytes


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

    def names(self) -> list[str]:
        """Return the attributes that would be lost, sorted."""
        kept = _parts_of(list(self._owner.stored.values()))
        return sorted(name for name, value in self._others() if self._is_lost(name, value, kept))

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


def _fingerprint(value: Any) -> object:  # noqa: ANN401 - any attribute
    """Return what tells two states of an attribute apart, or None for what holds none that is known."""
    if isinstance(value, nn.Module):
        return [_fingerprint(tensor) for tensor in [*value.parameters(), *value.buffers()]]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return _digest(value)
    if isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, dict | list | tuple | deque | set):
        items = list(value.items()) if isinstance(value, dict) else list(value)
        return [_fingerprint(item) for item in items] if len(items) <= LARGEST_CONTAINER else None
    if hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
        return _fingerprint(value.state_dict())
    return None


def _digest(value: Any) -> str | None:  # noqa: ANN401 - a tensor, an array or a number of numpy's
    if isinstance(value, torch.Tensor) and (is_lazy(value) or value.layout != torch.strided or value.is_meta):
        return None
    if value.nbytes > LARGEST_TENSOR:
        return None
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(value.tobytes()).hexdigest() if value.dtype != object else None
