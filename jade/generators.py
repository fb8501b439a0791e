"""Generator objects that user code holds: find them, and put each where a seed says.

A dataset, transform or sampler may draw from a generator of its own, which no global seed reaches. Who is
looked through, and with which seeds, is said by `seeding` and `batches`.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import types
import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

# Longer lists and dictionaries hold data; a generator for each item would be odd.
LARGEST_CONTAINER = 1000
# An object may lead to half of the program, through a logger or a window.
MOST_OBJECTS = 20_000
KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
# numpy's and Python's hidden global generators are seeded with everything global.
_GLOBAL = (random.seed.__self__, np.random.mtrand._rand)  # type: ignore[attr-defined]  # a bound method
_LEAVES = (
    str,
    bytes,
    int,
    float,
    complex,
    bool,
    type(None),
    type,
    torch.Tensor,
    torch.device,
    torch.dtype,
    np.ndarray,
    np.generic,
    types.ModuleType,
    types.BuiltinFunctionType,
)


class Owned:
    """One generator that somebody holds.

    Attributes:
        path: how it was reached; the same in every process that runs the same code.
        generator: the object itself.
    """

    def __init__(self, path: str, generator: Any) -> None:  # noqa: ANN401 - one of KINDS
        self.path = path
        self.generator = generator
        self._offset = zlib.crc32(path.encode())

    def seed(self, number: int) -> None:
        """Put the generator where `number` (32 bits) says; two generators of one owner get other streams."""
        number = (number ^ self._offset) & 0xFFFFFFFF
        generator = self.generator
        if isinstance(generator, torch.Generator):
            generator.manual_seed(number)
        elif isinstance(generator, np.random.Generator):
            bits = generator.bit_generator
            # With the seed sequence that `spawn` draws from, which setting `state` would leave as it is.
            bits.__setstate__(type(bits)(number).__getstate__())  # type: ignore[attr-defined]
        else:
            generator.seed(number)


def owned(roots: Mapping[str, object]) -> list[Owned]:
    """Return the generators that objects hold, each once: in attributes, containers, functions and classes.

    A generator at the top level of the file that defines the class of an object is found, too. One that
    exists only as a local variable of a running function is not.

    Args:
        roots: the objects by the names that paths begin with.
    """
    seen: set[int] = {id(one) for one in _GLOBAL}
    return [found for name, root in roots.items() for found in _within(root, name, seen)]


def _within(root: object, name: str, seen: set[int]) -> Iterator[Owned]:
    # What is near comes first, and nothing is called: a lazy container would build what it is asked for.
    waiting: deque[tuple[object, str]] = deque([(root, name)])
    looked_at = 0
    modules: set[str] = set()
    while waiting and looked_at < MOST_OBJECTS:
        value, path = waiting.popleft()
        if isinstance(value, _LEAVES) or id(value) in seen:
            continue
        seen.add(id(value))
        looked_at += 1
        if isinstance(value, KINDS):
            yield Owned(path, value)
            continue
        waiting.extend(_parts(value, path))
        for module in _homes(value) - modules:
            modules.add(module)
            waiting.extend(_top_level(module))


def _parts(value: object, path: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, dict):
        yield from _items(dict.items(value), path, dict.__len__(value))
    elif isinstance(value, list | tuple | deque):
        kind: Any = next(base for base in (list, tuple, deque) if isinstance(value, base))
        yield from _items(enumerate(kind.__iter__(value)), path, kind.__len__(value))
    elif isinstance(value, functools.partial):
        parts = (value.func, *value.args, *value.keywords.values())
        yield from _items(enumerate(parts), path, len(parts))
    elif isinstance(value, types.MethodType):
        yield value.__self__, f"{path}.self"
        yield value.__func__, path
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value, path)
    yield from _of_object(value, path)


def _items(items: Iterable[tuple[object, object]], path: str, length: int) -> Iterator[tuple[object, str]]:
    if length > LARGEST_CONTAINER:
        return
    for index, (key, item) in enumerate(list(items)):
        # Not every key's text is the same in each process.
        yield item, f"{path}[{key!r}]" if isinstance(key, str | int) else f"{path}[#{index}]"


def _of_function(function: types.FunctionType, path: str) -> Iterator[tuple[object, str]]:
    # What it names from the top level of its file: other functions, and objects with generators of their own.
    for name in function.__code__.co_names:
        if not _is_library(function.__module__) and name in function.__globals__:
            yield function.__globals__[name], f"{function.__module__}:{name}"
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    yield from ((cell.cell_contents, f"{path}.{name}") for name, cell in cells if _is_filled(cell))
    yield from _items(enumerate(function.__defaults__ or ()), f"{path}.defaults", 0)
    yield from _items((function.__kwdefaults__ or {}).items(), f"{path}.defaults", 0)


def _of_object(value: object, path: str) -> Iterator[tuple[object, str]]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    if isinstance(own, dict):
        yield from ((item, f"{path}.{key}") for key, item in list(own.items()))
    for base in type(value).__mro__:
        if _is_library(base.__module__):
            continue
        for key, item in list(vars(base).items()):
            if isinstance(item, (*KINDS, types.FunctionType)):
                yield item, f"{base.__qualname__}.{key}"
            elif isinstance(item, types.MemberDescriptorType):  # of __slots__
                with contextlib.suppress(AttributeError):
                    yield item.__get__(value), f"{path}.{key}"


def _homes(value: object) -> set[str]:
    """Return the modules whose code makes up an object, without those of libraries."""
    homes = {base.__module__ for base in type(value).__mro__}
    if isinstance(value, types.FunctionType):
        named = [value.__globals__.get(name) for name in value.__code__.co_names]
        homes |= {value.__module__, *(one.__name__ for one in named if isinstance(one, types.ModuleType))}
    return {home for home in homes if not _is_library(home)}


def _is_library(module: str | None) -> bool:
    return (module or "builtins").partition(".")[0] in ("torch", "numpy", "builtins", "random", "jade")


def _top_level(module: str) -> Iterator[tuple[object, str]]:
    names = vars(sys.modules[module]) if module in sys.modules else {}
    yield from ((item, f"{module}:{key}") for key, item in list(names.items()) if isinstance(item, KINDS))


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:  # a variable that was never set
        return False
