"""The state of a trainer or an evaluation: which attributes it is, as what it is written, how it is put back.

What is written can be read without executing anything; the files are `checkpoint`'s.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from jade.calls import place_of
from jade.errors import CheckpointError, ContractError, JadeError, first_line

# A dictionary with this key stands for something that torch does not read back safely.
_TAG = "jade.type"
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    torch.Tensor,
    nn.Parameter,
    UninitializedParameter,
    UninitializedBuffer,
    torch.dtype,
    torch.device,
    torch.Size,
)
_MAPPINGS = ("dict", "OrderedDict", "Counter")


class Storing:
    """Something whose attributes can be put into the checkpoints of a run."""

    _stored: list[str]

    def add_attribute_to_store(self, name: str) -> None:
        """Make `self.<name>` part of every checkpoint.

        Networks, optimizers and whatever else has a `state_dict` are stored by it; tensors, arrays,
        numbers, text, and lists, dictionaries or deques of these as they are.
        """
        if not isinstance(name, str):
            raise ContractError(
                f"add_attribute_to_store takes the name of an attribute; {type(name).__name__} was given.",
                hint="self.add_attribute_to_store('encoder')",
            )
        if name not in self._stored:
            self._stored.append(name)

    @property
    def stored(self) -> dict[str, Any]:
        """The attributes to store, by name."""
        return {name: getattr(self, name) for name in self._stored}


def faults(owner: Storing) -> Iterator[JadeError]:
    """Yield an error for each attribute to store whose type cannot be read back safely."""
    for name in owner._stored:
        if hasattr(owner, name):
            wrong = _unstorable(_state(getattr(owner, name)), name)
            if wrong:
                yield _not_storable(owner, name, wrong)


def of(owner: Storing) -> dict[str, Any]:
    """Return the state of each attribute to store, by name.

    Raises:
        ContractError: if an attribute has become something that could not be read back.
    """
    states = {name: _state(value) for name, value in owner.stored.items()}
    for name, value in states.items():
        if wrong := _unstorable(value, name):
            raise _not_storable(owner, name, wrong)
    return states


def put_back(owner: Storing, states: Mapping[str, Any], what: str) -> None:
    """Give each attribute to store the state it had.

    Raises:
        CheckpointError: if an attribute is in one of the two only, or does not take the state; nothing is
            changed where names or shapes do not fit.
    """
    stored, found = set(owner.stored), set(states)
    if stored != found:
        raise CheckpointError(
            f"The checkpoint does not fit {what}.",
            hint=f"missing in the checkpoint: {_names(stored - found)}\n"
            f"only in the checkpoint: {_names(found - stored)}",
        )
    decoded = {name: read_back(value) for name, value in states.items()}
    unfit = [line for name, value in decoded.items() for line in _misfits(name, getattr(owner, name), value)]
    if unfit:
        raise CheckpointError(f"The checkpoint does not fit {what}.", hint="\n".join(unfit))
    for name, value in decoded.items():
        _put_back(owner, name, value, what)


def _put_back(owner: Storing, name: str, value: Any, what: str) -> None:  # noqa: ANN401 - any state
    present = getattr(owner, name)
    if hasattr(present, "load_state_dict"):
        try:
            present.load_state_dict(value)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f"The checkpoint does not fit {what}: {name} does not take its state.",
                hint=f"{type(error).__name__}: {first_line(error)}\n"
                "What was added to it during training has to be there after initialize.",
            ) from error
    else:
        setattr(owner, name, _refilled(present, value))


def _refilled(present: Any, value: Any) -> Any:  # noqa: ANN401 - any two states
    """Return `value` in the objects that are there, which an optimizer or a dataset may hold as well."""
    if _alike(present, value) and not present.is_inference():
        with torch.no_grad():
            present.copy_(value)
        return present
    if isinstance(present, np.ndarray) and _alike_arrays(present, value):
        present[...] = value
        return present
    if type(present) is not type(value):
        return value
    if type(present) is list:
        present[:] = [*map(_refilled, present, value), *value[len(present) :]]
    elif type(present) in (dict, OrderedDict):
        filled = {key: _refilled(present.get(key), item) for key, item in value.items()}
        present.clear()
        present.update(filled)
    elif type(present) is deque and present.maxlen == value.maxlen:
        present.clear()
        present.extend(value)
    else:
        return value
    return present


def _alike_arrays(one: Any, other: Any) -> bool:  # noqa: ANN401 - the first is an array
    return (
        isinstance(other, np.ndarray)
        and (one.shape, one.dtype) == (other.shape, other.dtype)
        and bool(one.flags.writeable)
    )


def modules_of(owner: Storing) -> dict[str, nn.Module]:
    """Return the networks among the attributes to store."""
    return {name: value for name, value in owner.stored.items() if isinstance(value, nn.Module)}


def unapplied(owner: Storing) -> dict[str, Any]:
    """Return what belongs to the parameters of stored networks, but to no `state_dict`.

    That is which of them learn, and the gradients that may be accumulating over several steps.
    """
    found: dict[str, Any] = {}
    for name, module in modules_of(owner).items():
        parameters = dict(module.named_parameters())
        found[name] = {
            "learning": {key: parameter.requires_grad for key, parameter in parameters.items()},
            "gradients": {
                key: parameter.grad
                for key, parameter in parameters.items()
                if parameter.grad is not None and parameter.grad.layout == torch.strided
            },
        }
    return found


def reapply(owner: Storing, found: Mapping[str, Any]) -> None:
    """Put back what `unapplied` returned, where there still is such a parameter."""
    for name, module in modules_of(owner).items():
        known = found.get(name, {"learning": {}, "gradients": {}})
        for key, parameter in module.named_parameters():
            parameter.requires_grad_(known["learning"].get(key, parameter.requires_grad))
            gradient = known["gradients"].get(key)
            if gradient is not None and gradient.shape == parameter.shape:
                parameter.grad = gradient.to(parameter.device)


def _alike(one: object, other: object) -> bool:
    return (
        isinstance(one, torch.Tensor)
        and isinstance(other, torch.Tensor)
        and (one.shape, one.dtype) == (other.shape, other.dtype)
    )


def is_lazy(tensor: object) -> bool:
    """Say whether a parameter has no shape before its first use, as those of `nn.LazyLinear`."""
    return isinstance(tensor, UninitializedBuffer | UninitializedParameter)


def _misfits(name: str, present: object, value: Any) -> Iterator[str]:  # noqa: ANN401 - any state
    """Yield what of a network's or a parameter's state is missing, too much or of another shape."""
    if isinstance(present, nn.Parameter) and not _alike(present, value):
        # Another one would be learned by nobody: the optimizer has the present one.
        found = list(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        yield f"{name} has the shape {list(present.shape)}, in the checkpoint {found}"
    if not isinstance(present, nn.Module) or not isinstance(value, Mapping):
        return
    own = present.state_dict()
    if any(is_lazy(tensor) for tensor in own.values()):  # it takes whatever shapes there are
        return
    yield from (f"missing in the checkpoint: {name}.{key}" for key in own if key not in value)
    yield from (f"only in the checkpoint: {name}.{key}" for key in value if key not in own)
    for key in [key for key in own if key in value]:
        if wrong := misshapen(f"{name}.{key}", own[key], value[key]):
            yield wrong


def misshapen(name: str, own: object, found: object) -> str | None:
    """Return the line that says that a tensor of a checkpoint has another shape than the one it is for.

    One that has no shape yet takes any.
    """
    if not (isinstance(own, torch.Tensor) and isinstance(found, torch.Tensor)) or is_lazy(own):
        return None
    if is_lazy(found):
        return f"{name} has the shape {list(own.shape)}, in the checkpoint none yet"
    if own.shape == found.shape:
        return None
    return f"{name} has the shape {list(own.shape)}, in the checkpoint {list(found.shape)}"


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _not_storable(owner: Storing, name: str, wrong: str) -> ContractError:
    return ContractError(
        f"The attribute {name!r} of {type(owner).__name__} cannot be stored: {wrong}.",
        where=place_of(type(owner)),
        hint="Storable are networks, optimizers and whatever has a state_dict; tensors, arrays, numbers,"
        " text, and lists, dictionaries or deques of these.\n"
        "Several networks go into an nn.ModuleList; a class of your own can define state_dict() and"
        " load_state_dict(state).",
    )


def _state(value: Any) -> Any:  # noqa: ANN401 - any attribute
    return _encoded(value.state_dict() if hasattr(value, "state_dict") else value)


def _encoded(value: Any) -> Any:  # noqa: ANN401 - any attribute
    """Return `value` with what torch does not read back safely put as what it does."""
    if isinstance(value, np.generic | np.ndarray):
        return _encoded_array(value)
    if isinstance(value, deque):
        return {_TAG: "deque", "maxlen": value.maxlen, "items": [_encoded(item) for item in value]}
    if type(value) in (list, tuple):
        return type(value)(_encoded(item) for item in value)
    if type(value) is dict and _TAG in value:  # the user's own use of this key
        return {_TAG: "dictionary", "items": [(key, _encoded(item)) for key, item in value.items()]}
    if type(value) in (dict, OrderedDict):
        return _mapped(value, _encoded)
    return value


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - a dictionary, and one of its kind
    changed = type(value)((key, change(item)) for key, item in value.items())
    if hasattr(value, "_metadata"):  # by which torch's modules tell an old state from a new one
        changed._metadata = value._metadata
    return changed


def _encoded_array(value: Any) -> Any:  # noqa: ANN401 - a numpy array or number, or what stands for it
    try:
        # A copy, in this machine's order of bytes: not every array can be shared.
        tensor = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
    except TypeError:  # of texts, or of objects
        return value
    kind = "array" if isinstance(value, np.ndarray) else "number"
    return {_TAG: f"numpy {kind}", "value": tensor}


def read_back(value: Any) -> Any:  # noqa: ANN401 - any state
    """Return what a state was before it was put as what torch reads back safely."""
    if type(value) in (dict, OrderedDict):
        if _TAG in value:
            return _DECODERS[value[_TAG]](value)
        return _mapped(value, read_back)
    if type(value) in (list, tuple):
        return type(value)(read_back(item) for item in value)
    return value


_DECODERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dictionary": lambda value: {key: read_back(item) for key, item in value["items"]},
    "deque": lambda value: deque((read_back(item) for item in value["items"]), value["maxlen"]),
    "numpy array": lambda value: value["value"].cpu().numpy(),
    "numpy number": lambda value: value["value"].cpu().numpy()[()],
}


def _is_key(key: object) -> bool:
    # Not isinstance: what only derives from these, as numpy's numbers and enumerations do, is not read back.
    if type(key) is tuple:
        return all(_is_key(part) for part in key)
    return type(key) in (str, int, float, bool, type(None))


def _unstorable(value: object, path: str) -> str | None:
    if type(value) in _PLAIN:
        return None
    if isinstance(value, Mapping) and type(value).__name__ in _MAPPINGS:
        inner = [(f"{path}[{key!r}]", item) for key, item in value.items()]
        if not all(_is_key(key) for key in value):
            return f"{path} has keys that are neither text nor numbers"
    elif type(value) in (list, tuple):
        inner = [(f"{path}[{index}]", item) for index, item in enumerate(list(value))]  # type: ignore[call-overload]
    else:
        return f"{path} is a {type(value).__module__}.{type(value).__qualname__}"
    return next((wrong for name, item in inner if (wrong := _unstorable(item, name))), None)
