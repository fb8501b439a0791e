"""Do the tensors of a checkpoint fit those of a network, a parameter or a tensor, and put there what does.

Names and shapes only: whose checkpoint it is, and which attributes are wanted, is `warm`'s affair.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from jade import state
from jade.errors import CheckpointError, first_line

# Parts of a name that only wrappers add: torch.compile's anywhere, those of data parallelism in front.
_COMPILED, _PARALLEL = "_orig_mod", "module."


@dataclass(frozen=True)
class Part:
    """One attribute: the tensors it has, and those of the checkpoint that fit.

    Attributes:
        name: of the attribute.
        present: the attribute.
        own: its tensors by their names; that of a tensor has none.
        taken: what is put there, under the same names.
        left: a line for each that does not fit.
        converted: a line for each that is of another type.
    """

    name: str
    present: Any
    own: Mapping[str, Any]
    taken: OrderedDict[str, Any] = field(default_factory=OrderedDict)
    left: list[str] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, name: str, present: Any, states: Mapping[str, Any]) -> Part:  # noqa: ANN401 - any attribute
        """Return what of an attribute the states of a checkpoint fit."""
        is_network = isinstance(present, nn.Module)
        part = cls(name, present, present.state_dict() if is_network else {"": present})
        value = states.get(name)
        if name not in states:
            part.left.append(f"missing in the checkpoint: {name}")
        elif is_network != isinstance(value, Mapping) or not isinstance(value, Mapping | torch.Tensor):
            part.left.append(f"{name} is {_sort(present)}, in the checkpoint {_sort(value)}")
        else:
            part._compare(_renamed(value, part.own) if isinstance(value, Mapping) else {"": value})
        return part

    def full(self, key: str) -> str:
        """Return the name of a tensor with that of the attribute."""
        return f"{self.name}.{key}" if key else self.name

    def _compare(self, found: Mapping[str, Any]) -> None:
        self.left.extend(
            f"missing in the checkpoint: {self.full(key)}" for key in self.own if key not in found
        )
        self.left.extend(f"only in the checkpoint: {self.full(key)}" for key in found if key not in self.own)
        for key in [key for key in self.own if key in found]:
            own, value = self.own[key], found[key]
            wrong = _misfit(self.full(key), own, value)
            if wrong:
                self.left.append(wrong)
                continue
            self.taken[key] = value
            if isinstance(own, torch.Tensor) and own.dtype != value.dtype and not state.is_lazy(own):
                self.converted.append(f"{self.full(key)}: {_named(value)} to {_named(own)}")
        if hasattr(found, "_metadata"):  # by which torch's modules tell an old state from a new one
            self.taken._metadata = found._metadata  # type: ignore[attr-defined]  # torch's own way

    def put(self, label: str) -> None:
        """Fill the tensors that are there, which an optimizer holds as well."""
        if not self.taken:
            return
        if not isinstance(self.present, nn.Module):
            with torch.no_grad():
                self.present.copy_(self.taken[""])
            return
        try:
            if self.left:
                self.present.load_state_dict(self.taken, strict=False)
            else:  # as a class of the user's may take it
                self.present.load_state_dict(self.taken)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"{self.name} does not take the weights of {label}.",
                hint=f"{type(error).__name__}: {first_line(error)}",
            ) from error


def _misfit(name: str, own: object, found: object) -> str | None:
    if isinstance(own, torch.Tensor) != isinstance(found, torch.Tensor):
        return f"{name} is {_sort(own)}, in the checkpoint {_sort(found)}"
    if not isinstance(own, torch.Tensor) or not isinstance(found, torch.Tensor):
        return None
    if state.is_lazy(found):  # the run had not made its first step
        return f"{name} has no shape yet in the checkpoint"
    if not state.is_lazy(own) and _kind(own) != _kind(found):
        return f"{name} is of the type {_named(own)}, in the checkpoint {_named(found)}"
    return state.misshapen(name, own, found)


def _sort(value: object) -> str:
    if isinstance(value, nn.Module | Mapping):  # as a network's state is one
        return "a network"
    return "a tensor" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"


def _kind(tensor: torch.Tensor) -> tuple[bool, bool, bool]:
    """Return what a conversion must not change: else it would cut off what cannot be said."""
    return tensor.is_floating_point(), tensor.is_complex(), tensor.dtype == torch.bool


def _named(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _renamed(found: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a network's state under the names that the present one has, which may be wrapped otherwise."""
    if set(found) == set(own):
        return found
    ours, theirs = _bare(own), _bare(found)
    if len(ours) < len(own) or len(theirs) < len(found):  # names that are told apart by a wrapper only
        return found
    renamed = OrderedDict((ours.get(bare, key), found[key]) for bare, key in theirs.items())
    if hasattr(own, "_metadata"):
        renamed._metadata = own._metadata  # type: ignore[attr-defined]  # torch's own way
    return renamed


def _bare(names: Mapping[str, Any]) -> dict[str, str]:
    """Return each name by what it is without the parts of wrappers."""
    bare = {".".join(part for part in name.split(".") if part != _COMPILED): name for name in names}
    is_parallel = bool(bare) and all(name.startswith(_PARALLEL) for name in bare)
    return {name.removeprefix(_PARALLEL) if is_parallel else name: whole for name, whole in bare.items()}


def untied(parts: Sequence[Part]) -> list[str]:
    """Take out what is one tensor here and several in the checkpoint; return a line for each."""
    first: dict[tuple[Any, ...], tuple[str, torch.Tensor]] = {}
    lines = []
    for part, key in _strided(parts):
        own, value = part.own[key], part.taken[key]
        place = (own.device, own.data_ptr(), own.shape, own.stride())
        name, other = first.setdefault(place, (part.full(key), value))
        if other is not value and not torch.equal(value.to(own.dtype), other.to(own.dtype)):
            lines.append(
                f"{name} and {part.full(key)} are one tensor here, in the checkpoint two that differ"
            )
            del part.taken[key]
    return lines


def _strided(parts: Sequence[Part]) -> Iterator[tuple[Part, str]]:
    for part in parts:
        for key in list(part.taken):
            own = part.own[key]
            has_place = isinstance(own, torch.Tensor) and not state.is_lazy(own) and not own.is_meta
            if has_place and own.layout == torch.strided and own.numel():
                yield part, key
