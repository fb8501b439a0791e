"""The batches of a loader, epoch after epoch, drawn from counters so that any of them can be drawn again.

Takes a plain `torch.utils.data.DataLoader` as users write it, a dictionary or tuple of these, or anything
that can be iterated. The order of an epoch comes from (seed, epoch), each batch from (seed, epoch, batch)
in the process that fetches it. So an epoch can be begun at any batch: without reading what comes before
where the data is map-style, else by replaying it or through the data's own `state_dict`.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Mapping
from multiprocessing import util
from typing import Any, Protocol

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from jade import signals
from jade.errors import CheckpointError
from jade.seeding import Stream
from jade.workers import PASS, Drawing, SeededItems, SeededStream, Ticket, copied

# Their own graph of datasets is told apart by torch itself.
_PIPES = tuple(
    getattr(torch.utils.data, name)
    for name in ("IterDataPipe", "MapDataPipe")
    if hasattr(torch.utils.data, name)
)
# These draw a whole epoch at their first item, or from a generator that nothing else draws from meanwhile.
_DRAW_AT_ONCE = (
    SequentialSampler,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    DistributedSampler,
)


class Batches(Protocol):
    """The batches of one loader."""

    def epoch(self, number: int, skip: int = 0, state: Any = None) -> Iterator[Any]:  # noqa: ANN401 - see below
        """Yield the batches of one epoch.

        Args:
            number: of the epoch, from 0.
            skip: how many batches at its beginning are left out.
            state: what `state` gave after these.

        Raises:
            CheckpointError: if there are fewer than `skip`.
        """

    def state(self) -> Any:  # noqa: ANN401 - whatever the data's own state_dict gives
        """Return what the data itself knows of its position after the batch yielded last, or None."""

    def close(self) -> None:
        """End the workers that stay from one epoch to the next."""


def batches_of(loader: Any, seed: int, purpose: str, device: torch.device | None = None) -> Batches:  # noqa: ANN401
    """Return the batches of `loader`.

    Args:
        loader: a DataLoader, anything else that can be iterated again and again, or several of these in a
            dictionary or a tuple: a batch is then a dictionary or tuple of their batches, and the shortest
            ends the epoch.
        seed: the run's.
        purpose: what the batches are for; each purpose draws other numbers.
        device: whose generators are seeded where batches are fetched in this process.
    """
    several = several_in(loader)
    if several is not None:
        parts = {key: batches_of(part, seed, f"{purpose}[{key!r}]", device) for key, part in several.items()}
        return _Several(parts, None if isinstance(loader, Mapping) else type(loader))
    if not _is_plain(loader):
        return _Replayed(loader, seed, purpose, device)
    if isinstance(loader.dataset, IterableDataset):
        return _Streamed(loader, seed, purpose, device)
    return _Indexed(loader, seed, purpose, device)


def several_in(loader: object) -> dict[Any, Any] | None:
    """Return the loaders that `loader` is made of, by key, or None if it is a single one."""
    if isinstance(loader, Mapping):
        return dict(loader)
    # A list of tensors is a loader, too: its items are the batches.
    if isinstance(loader, tuple | list) and any(isinstance(part, DataLoader) for part in loader):
        return dict(enumerate(loader))
    return None


def length_of(loader: Any) -> int | None:  # noqa: ANN401 - any iterable of batches
    """Return how many batches a loader gives, or None if it does not know."""
    several = several_in(loader)
    if several is not None:
        known = [length_of(part) for part in several.values()]
        return min((length for length in known if length is not None), default=None)
    try:
        return len(loader)
    except (TypeError, NotImplementedError):  # as a DataLoader over an iterable dataset does
        return None


def _is_plain(loader: object) -> bool:
    # A subclass with an iteration of its own does what only it knows.
    kind = type(loader)
    return (
        isinstance(loader, DataLoader)
        and not isinstance(loader.dataset, _PIPES)
        and getattr(kind, "__iter__", None) is DataLoader.__iter__
        and getattr(kind, "_get_iterator", None) is DataLoader._get_iterator
    )


class _Order:
    """Which items each batch of an epoch holds; what a worker is told."""

    def __init__(self, sampler: Any, seed: int, purpose: str, generator: object) -> None:  # noqa: ANN401
        self._sampler = sampler
        self._seed = seed
        self._purpose = purpose
        self._roots = {"sampler": sampler, "generator": generator}
        inner = sampler.sampler if type(sampler) is BatchSampler else sampler
        # A generator that was given may be somebody else's as well.
        self._draws_at_once = type(inner) in _DRAW_AT_ONCE and getattr(inner, "generator", None) is None
        self._epoch = self._skip = 0

    def prepare(self, epoch: int, skip: int) -> None:
        """Begin an epoch: the next iteration is of it, and of the batches from `skip` on."""
        self._epoch, self._skip = epoch, skip
        for sampler in (self._sampler, getattr(self._sampler, "sampler", None)):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)  # type: ignore[union-attr]  # it was just asked for
        # What the loader itself draws, the seeds its workers begin with, comes before the order.
        self._stream().start(0)

    def _stream(self) -> Stream:
        return Stream(self._seed, f"{self._purpose}, order of epoch {self._epoch}", None, self._roots)

    def __iter__(self) -> Iterator[Ticket]:
        epoch, skip, stream = self._epoch, self._skip, self._stream()
        stream.start(0)
        indices = iter(self._sampler)
        for number in itertools.count():
            if number and not self._draws_at_once:
                # Between two draws of a lazy sampler the training draws as well.
                stream.start(number)
            try:
                batch = next(indices)
            except StopIteration:
                break
            if number >= skip:
                yield Ticket(epoch, number, batch)
        if number < skip:
            raise _too_few(number, skip)


def _begun(loader: Any) -> Iterator[Any]:  # noqa: ANN401 - a DataLoader
    if not loader.num_workers:
        yield from loader
        return
    # A worker that a signal ends before it has begun would end this process in the middle of a step.
    with signals.held():
        iterator: Any = iter(loader)
    _workers.update(iterator._workers)
    yield from iterator


# A worker outlives a SIGTERM for a while; where this process ends without having closed a loader, as after an
# exception, it would wait for that.
_workers: weakref.WeakSet[Any] = weakref.WeakSet()


def _kill_workers() -> None:
    for worker in list(_workers):
        if worker.is_alive():
            worker.kill()


util.Finalize(None, _kill_workers, exitpriority=100)


class _Indexed:
    """The batches of a DataLoader over a map-style dataset."""

    def __init__(self, loader: Any, seed: int, purpose: str, device: torch.device | None) -> None:  # noqa: ANN401
        roots = {"dataset": loader.dataset, "collate_fn": loader.collate_fn}
        items = SeededItems(loader, Drawing(seed, purpose, device, roots))
        sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        self._order = _Order(sampler, seed, purpose, loader.generator)
        self._loader = copied(loader, items, self._order, collate_fn=items.collate)

    def epoch(self, number: int, skip: int = 0, state: Any = None) -> Iterator[Any]:  # noqa: ANN401
        self._order.prepare(number, skip)
        yield from _begun(self._loader)

    def state(self) -> None:
        return None

    def close(self) -> None:
        self._loader._iterator = None


class _Turns:
    """What a worker of an iterable dataset is asked for: so many items each time, a single one to pass."""

    def __init__(self, sampler: Any) -> None:  # noqa: ANN401 - torch's own, endless
        self._sampler = sampler
        self.idle = 0

    def __iter__(self) -> Iterator[Any]:
        turns = iter(self._sampler)
        for turn in itertools.count():
            asked = next(turns)
            yield asked[:1] if turn < self.idle and isinstance(asked, list) else asked


class _Streamed:
    """The batches of a DataLoader over an iterable dataset."""

    def __init__(self, loader: Any, seed: int, purpose: str, device: torch.device | None) -> None:  # noqa: ANN401
        self._workers = loader.num_workers
        roots = {"dataset": loader.dataset, "collate_fn": loader.collate_fn}
        drawing = Drawing(seed, purpose, device, roots)
        self._dataset = SeededStream(loader.dataset, loader.batch_size or 1, drawing, loader.collate_fn)
        self._stream = Stream(seed, f"{purpose}, workers", None, {"generator": loader.generator})
        sampler = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        self._turns = _Turns(sampler)
        others: dict[str, Any] = {"collate_fn": self._dataset.collate} if self._dataset.keeps_state else {}
        # torch counts the batches to warn of wrong lengths; passed turns would be counted, too.
        others["_IterableDataset_len_called"] = None
        self._loader = copied(loader, self._dataset, self._turns, **others)
        self._states: list[dict[str, Any] | None] = []
        self._next = 0
        self._last = -2

    def epoch(self, number: int, skip: int = 0, state: Any = None) -> Iterator[Any]:  # noqa: ANN401
        data = self._dataset
        data.begin(number)
        if number != self._last + 1:
            self._loader._iterator = None  # workers that stay count the epochs by themselves
        self._last = number
        known = state if isinstance(state, dict) and len(state["workers"]) == max(1, self._workers) else None
        if known and data.keeps_state:
            self._states, self._next, skip = list(known["workers"]), known["next"], 0
        else:
            self._states, self._next = [None] * max(1, self._workers), 0
        data.states = list(self._states)
        data.idle = self._turns.idle = self._next
        self._stream.start(number)
        batches = self._data(_begun(self._loader))
        for passed in range(skip):
            if next(batches, PASS) is PASS:
                raise _too_few(passed, skip)
        yield from batches

    def _data(self, batches: Iterator[Any]) -> Iterator[Any]:
        if not self._dataset.keeps_state:
            yield from batches
            return
        for stated in batches:
            if stated.state is None:
                continue
            self._states[stated.worker] = stated.state
            self._next = (stated.worker + 1) % len(self._states)
            yield stated.data

    def state(self) -> Any:  # noqa: ANN401 - whatever the data's own state_dict gives
        return {"workers": list(self._states), "next": self._next} if self._dataset.keeps_state else None

    def close(self) -> None:
        self._loader._iterator = None


class _Replayed:
    """The batches of any other iterable: what was passed is drawn again, unless it knows its own position."""

    def __init__(self, loader: Any, seed: int, purpose: str, device: torch.device | None) -> None:  # noqa: ANN401
        self._loader = loader
        self._drawing = Drawing(seed, purpose, device, {"loader": loader})
        self._keeps_state = hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")

    def epoch(self, number: int, skip: int = 0, state: Any = None) -> Iterator[Any]:  # noqa: ANN401
        if type(self._loader) in (list, tuple):  # batches that lie ready: nothing is drawn
            if len(self._loader) < skip:
                raise _too_few(len(self._loader), skip)
            yield from itertools.islice(self._loader, skip, None)
            return
        knows = self._keeps_state and state is not None
        first, drawn = skip if knows else 0, -1
        for drawn, data in self._drawn(number, first, state if knows else None):
            if drawn >= skip:
                yield data
        if max(drawn + 1, first) < skip:
            raise _too_few(drawn + 1, skip)

    def _drawn(self, epoch: int, first: int, state: Any) -> Iterator[tuple[int, Any]]:  # noqa: ANN401
        drawing, loader = self._drawing, self._loader
        drawing.enter(f"epoch {epoch}")
        for _ in range(2):
            drawing.start(0)
            if state is not None:
                loader.load_state_dict(state)
            batches = iter(loader)
            drawing.start(first + 1)
            begun = list(itertools.islice(batches, 1))
            # Generators made on first use could not be seeded before it: it is begun once more.
            if not drawing.look_again():
                break
        yield from ((first, data) for data in begun)
        for number in itertools.count(first + 1):
            drawing.start(number + 1)
            try:
                data = next(batches)
            except StopIteration:
                return
            yield number, data

    def state(self) -> Any:  # noqa: ANN401 - whatever its own state_dict gives
        return self._loader.state_dict() if self._keeps_state else None

    def close(self) -> None:
        """Do nothing: they are the loader's own."""


class _Several:
    """The batches of several loaders, side by side."""

    def __init__(self, parts: Mapping[Any, Batches], kind: type | None) -> None:
        self._parts = parts
        self._kind = kind  # of the sequence, or None for a dictionary

    def epoch(self, number: int, skip: int = 0, state: Any = None) -> Iterator[Any]:  # noqa: ANN401
        states = state or {}
        iterators = {key: part.epoch(number, skip, states.get(key)) for key, part in self._parts.items()}
        while True:
            data = {}
            for key, iterator in iterators.items():
                try:
                    data[key] = next(iterator)
                except StopIteration:
                    return
            make = getattr(self._kind, "_make", self._kind)  # as a named tuple has it
            yield data if make is None else make(data.values())

    def state(self) -> Any:  # noqa: ANN401 - whatever the parts give
        states = {key: part.state() for key, part in self._parts.items()}
        return states if any(state is not None for state in states.values()) else None

    def close(self) -> None:
        for part in self._parts.values():
            part.close()


def _too_few(found: int, wanted: int) -> CheckpointError:
    return CheckpointError(
        f"The run was stopped after {wanted} batches of an epoch; the train_loader gives only {found} now.",
        hint="Is the data, or the batch size, another one than it was?",
    )
