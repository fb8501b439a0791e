"""What a loader's workers run: batches drawn under seeds of their own, in whichever process fetches them.

`batches` puts these in the place of a loader's dataset. Everything here can be pickled where the user's
dataset can.
"""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import get_worker_info

from jade import signals
from jade.generators import owned
from jade.seeding import Stream


@dataclass(frozen=True)
class Ticket:
    """Which batch a worker is to fetch."""

    epoch: int
    number: int
    indices: Any


class Drawing:
    """The stream of the process that fetches, made there: a worker has copies of everything."""

    def __init__(
        self, seed: int, purpose: str, device: torch.device | None, roots: Mapping[str, object]
    ) -> None:
        self._seed = seed
        self._purpose = purpose
        self._device = device
        self._roots = roots
        self._made_for: tuple[int, str] | None = None
        self.stream: Stream

    def enter(self, part: str) -> bool:
        """Have the stream of `part`; return whether it was made just now."""
        if self._made_for == (os.getpid(), part):
            return False
        self._made_for = (os.getpid(), part)
        # A worker that was forked cannot touch the GPU, and one that fetches does not need it.
        device = self._device if get_worker_info() is None else None
        self.stream = Stream(self._seed, f"{self._purpose}, {part}", device, self._roots)
        return True

    def start(self, counter: int) -> None:
        """Put every generator of this process where the batch `counter` begins."""
        number = self.stream.start(counter)
        info = get_worker_info()
        if info is not None:
            # Frozen, but what users seed from this is to be the same whichever worker it is.
            object.__setattr__(info, "seed", number)

    def look_again(self) -> bool:
        """Find the generators anew; return whether some were made since."""
        known = {id(one.generator) for one in self.stream.owned}
        self.stream.owned = owned(self._roots)
        return any(id(one.generator) not in known for one in self.stream.owned)


class SeededItems:
    """A map-style dataset, each of whose batches is fetched and collated under its own seed.

    The loader asks it for a ticket and gets the ticket: fetching is done where it collates.
    """

    def __init__(self, loader: Any, drawing: Drawing) -> None:  # noqa: ANN401 - a DataLoader
        self.dataset = loader.dataset
        self._collate = loader.collate_fn
        self._batched = loader.batch_sampler is not None
        self._drawing = drawing

    def __getitems__(self, ticket: Ticket) -> Ticket:
        return ticket

    def __getitem__(self, ticket: Ticket) -> Ticket:
        return ticket

    def __len__(self) -> int:
        return len(self.dataset)

    def collate(self, ticket: Ticket) -> Any:  # noqa: ANN401 - whatever the user's function makes
        """Return the batch of a ticket."""
        drawing = self._drawing
        is_first = drawing.enter(f"epoch {ticket.epoch}")
        drawing.start(ticket.number)
        batch = self._collate(self._items(ticket.indices))
        if is_first and drawing.look_again():
            # Generators made on first use could not be seeded before it. Which batch is a process's first one
            # depends on where the run was continued: it is drawn again, as it will be everywhere.
            drawing.start(ticket.number)
            batch = self._collate(self._items(ticket.indices))
        return batch

    def _items(self, indices: Any) -> Any:  # noqa: ANN401 - whatever the dataset gives
        if not self._batched:
            return self.dataset[indices]
        many = getattr(self.dataset, "__getitems__", None)
        return many(indices) if many else [self.dataset[index] for index in indices]


class SeededStream:
    """An iterable dataset, each of whose batches is drawn under its own seed.

    Where the dataset has a `state_dict`, each batch travels with it, and a worker can begin where another
    ended.
    """

    def __init__(
        self,
        dataset: Any,  # noqa: ANN401 - any dataset
        batch_size: int,
        drawing: Drawing,
        collate: Callable[[Any], Any],
    ) -> None:
        self.dataset = dataset
        self.keeps_state = hasattr(dataset, "state_dict") and hasattr(dataset, "load_state_dict")
        self.epoch = 0
        self.states: list[dict[str, Any] | None] = []
        self.idle = 0  # so many workers pass their first turn
        self._batch_size = batch_size
        self._drawing = drawing
        self._collate = collate
        self._passes = 0
        self._drawn = 0
        self._ended = False

    def begin(self, epoch: int) -> None:
        """Say which epoch comes next; workers that stay from one to the next have another copy of this."""
        self.epoch, self._passes = epoch, 0

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        worker = info.id if info else 0
        # A persistent worker is not told which epoch it is, but asked once for each.
        epoch, self._passes = self.epoch + self._passes, self._passes + 1
        self._drawing.enter(f"epoch {epoch}, worker {worker}")
        state = self.states[worker] if worker < len(self.states) else None
        if epoch > self.epoch:
            state = None
        elif worker < self.idle:
            yield PASS
        self._ended = bool(state and state["ended"])
        if self._ended:  # it may begin anew if it is asked
            return
        self._drawn = state["batches"] if state else 0
        yield from self._batch_by_batch(self._opened(state))

    def _opened(self, state: dict[str, Any] | None) -> Iterator[Any]:
        """Return the items from `state` on; the first one is drawn already, under the seed of its batch."""
        for _ in range(2):
            self._drawing.start(0)
            if state:
                self.dataset.load_state_dict(state["dataset"])
            items = iter(self.dataset)
            self._drawing.start(self._drawn + 1)
            first = list(itertools.islice(items, 1))
            # Generators made on first use could not be seeded before it: it is begun once more.
            if not self._drawing.look_again():
                break
        return itertools.chain(first, items)

    def _batch_by_batch(self, items: Iterator[Any]) -> Iterator[Any]:
        is_first = True
        while True:
            self._drawn += 1
            if not is_first:
                self._drawing.start(self._drawn)
            is_first = False
            for _ in range(self._batch_size):
                try:
                    item = next(items)
                except StopIteration:
                    self._ended = True
                    return
                yield item

    def __len__(self) -> int:
        return len(self.dataset)

    def collate(self, items: Any) -> Any:  # noqa: ANN401 - whatever the dataset gives
        """Return a batch as the user's function makes it, with the state it leaves the dataset in."""
        info = get_worker_info()
        worker = info.id if info else 0
        if items is PASS or (isinstance(items, list) and items and items[0] is PASS):
            return Stated(worker, None, None)
        data = self._collate(items)
        # A copy: it is sent later, by another thread, when the dataset has gone on.
        state = copy.deepcopy(self.dataset.state_dict())
        return Stated(worker, data, {"batches": self._drawn, "dataset": state, "ended": self._ended})


class Pass:
    """In place of an item: this worker's turn was before the run was continued."""


PASS = Pass()


@dataclass
class Stated:
    """A batch, the worker it is from, and the state that this worker's dataset was left in."""

    worker: int
    data: Any
    state: dict[str, Any] | None

    def pin_memory(self, device: object = None) -> Stated:
        """Return the same with its data in pinned memory, as loaders ask of what they do not know."""
        from torch.utils.data._utils.pin_memory import pin_memory  # only loaders that pin call this

        self.data = pin_memory(self.data, device)  # type: ignore[no-untyped-call]  # torch's own
        return self


class WorkerStart:
    """Begins a worker: the user's own function sees the user's own dataset."""

    def __init__(self, dataset: object, users: Callable[[int], object] | None) -> None:
        self._dataset = dataset
        self._users = users

    def __call__(self, worker: int) -> None:
        """Set up the worker of this number, in the worker's process."""
        signals.outlive_the_parents_signals()
        # Frozen, but users find the dataset there that they gave, and may set it up in their function.
        object.__setattr__(get_worker_info(), "dataset", self._dataset)
        if self._users is not None:
            self._users(worker)


def copied(loader: Any, dataset: object, sampler: object, **others: object) -> Any:  # noqa: ANN401 - a DataLoader
    """Return a loader like `loader` over other data; the user's stays as it is, for whoever else uses it."""
    copied = copy.copy(loader)
    batched = loader.batch_sampler is not None
    # DataLoader forbids to set these, as its own workers would not see it; the copy has no workers yet.
    vars(copied).update(
        dataset=dataset,
        batch_sampler=sampler if batched else None,
        sampler=loader.sampler if batched else sampler,
        worker_init_fn=WorkerStart(loader.dataset, loader.worker_init_fn),
        _iterator=None,
        in_order=True,  # else the order is the workers' speed
        **others,
    )
    return copied
