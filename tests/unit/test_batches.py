"""Batches that are drawn again: in a fresh loader, from any batch on, in whichever process.

What is compared are values, bit by bit, while a "training" draws from the same global generators between
two batches, each time another number of times.
"""

import itertools
import multiprocessing
import os
import random
import time
from collections import namedtuple
from functools import partial

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
)
from torch.utils.data.datapipes.iter import IterableWrapper

from jade.batches import batches_of, length_of
from jade.errors import CheckpointError

SEED = 42
ITEMS = 23
KINDS = ("torch", "numpy", "legacy numpy", "python")

# The number of cores of the machine is none of this file's business.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

_disturbances = itertools.cycle([3, 0, 1, 7, 2])


@pytest.fixture(autouse=True)
def put_generators_back():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    yield
    random.setstate(states[0])
    np.random.set_state(states[1])
    torch.set_rng_state(states[2])


# --- what draws ------------------------------------------------------------------------------------------


def drawn() -> list[float]:
    """Numbers of every global generator, also of those that keep a second one for later."""
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.normal(),
        torch.rand(()).item(),
        torch.randn(()).item(),
    ]


def disturb() -> None:
    """Draw as a training does: another number of times whenever it is called."""
    for _ in range(next(_disturbances)):
        drawn()


def new(kind: str, seeded: bool = False):
    """Return a generator of a user, with or without a seed of its own."""
    if kind == "torch":
        generator = torch.Generator()
        generator.manual_seed(3) if seeded else generator.seed()
        return generator
    make = {"numpy": np.random.default_rng, "legacy numpy": np.random.RandomState, "python": random.Random}
    return make[kind](3) if seeded else make[kind]()


def draw(generator) -> list[float]:
    if isinstance(generator, torch.Generator):
        return [torch.rand((), generator=generator).item(), torch.randn((), generator=generator).item()]
    if isinstance(generator, random.Random):
        return [generator.random(), generator.gauss(0, 1)]
    return [float(generator.random()), float(generator.normal())]


def item(index: int, *numbers: float) -> torch.Tensor:
    return torch.tensor([index, *numbers], dtype=torch.float64)


class Points(Dataset):
    """Items with noise from every global generator, which count how often each was read."""

    def __init__(self, items: int = ITEMS) -> None:
        self.reads = torch.zeros(items, dtype=torch.int64).share_memory_()

    def __len__(self):
        return len(self.reads)

    def __getitem__(self, index):
        self.reads[index] += 1
        return item(index, *drawn())


class ManyAtOnce(Points):
    def __getitems__(self, indices):
        together = drawn()
        return [item(index, *together, *drawn()) for index in indices]


class Owning(Points):
    """Draws from a generator of its own, made at once."""

    def __init__(self, kind: str, seeded: bool = False) -> None:
        super().__init__()
        self.generator = new(kind, seeded)

    def __getitem__(self, index):
        return item(index, *draw(self.generator), *drawn())


class Lazy(Points):
    """Draws from a generator of its own, made when it is first used."""

    def __init__(self, kind: str, seeded: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.seeded = seeded
        self.generator = None

    def __getitem__(self, index):
        if self.generator is None:
            self.generator = new(self.kind, self.seeded)
        return item(index, *draw(self.generator), *drawn())


class Noise:
    """A transform with a generator of its own."""

    def __init__(self, kind: str) -> None:
        self.generator = new(kind)

    def __call__(self, value):
        return value + draw(self.generator)[0]


class Transformed(Points):
    def __init__(self, *transforms) -> None:
        super().__init__()
        self.transforms = transforms

    def __getitem__(self, index):
        value = super().__getitem__(index)
        for transform in self.transforms:
            value = transform(value)
        return value


_TOP_LEVEL = np.random.default_rng()


class FromTopLevel(Points):
    def __getitem__(self, index):
        return item(index, _TOP_LEVEL.random())


class FromItsClass(Points):
    generator = np.random.default_rng()

    def __getitem__(self, index):
        return item(index, self.generator.random())


class Spawning(Points):
    """Gives each item a child of its generator, as numpy's manual says."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(5)

    def __getitem__(self, index):
        return item(index, self.generator.spawn(1)[0].random())


class FromTheWorkersSeed(Points):
    def __getitem__(self, index):
        return item(index, random.Random(get_worker_info().seed).random())


class Slow(Points):
    """The items of one worker come late."""

    def __getitem__(self, index):
        if get_worker_info().id == 0:
            time.sleep(0.05)
        return super().__getitem__(index)


class LazySampler(Sampler):
    """Draws each index when it is asked for, from every global generator, or from one of its own."""

    def __init__(self, items: int, kind: str | None = None) -> None:
        self.items = items
        self.generator = new(kind) if kind else None

    def __iter__(self):
        for _ in range(self.items):
            numbers = draw(self.generator) if self.generator is not None else drawn()
            yield int(1e6 * sum(abs(number) for number in numbers)) % ITEMS

    def __len__(self):
        return self.items


class GrowingBatches(Sampler):
    """A batch sampler of the user's own: batches of drawn lengths."""

    def __iter__(self):
        left = np.random.permutation(ITEMS).tolist()
        while left:
            length = random.randint(1, 6)
            yield left[:length]
            left = left[length:]


def noisy_collate(items):
    return {"x": default_collate(items), "noise": (torch.tensor(drawn()), np.random.rand(2))}


class OwningCollate:
    def __init__(self, kind: str) -> None:
        self.generator = new(kind)

    def __call__(self, items):
        return default_collate(items), torch.tensor(draw(self.generator))


class LazyCollate(OwningCollate):
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.generator = None

    def __call__(self, items):
        if self.generator is None:
            self.generator = new(self.kind)
        return super().__call__(items)


def set_up_the_worker(worker: int) -> None:
    info = get_worker_info()
    assert isinstance(info.dataset, Points)
    info.dataset.generator = np.random.default_rng(info.seed)  # as many a user writes it
    np.random.seed(torch.initial_seed() % 2**32)


class Shards(IterableDataset):
    """Each worker reads a part, and the parts are of different lengths."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths
        self.reads = torch.zeros(len(lengths), max(lengths), dtype=torch.int64).share_memory_()

    def mine(self):
        info = get_worker_info()
        parts = range(len(self.lengths))[info.id :: info.num_workers] if info else range(len(self.lengths))
        return [(part, number) for part in parts for number in range(self.lengths[part])]

    def read(self, where):
        self.reads[where] += 1
        return item(100 * where[0] + where[1], *drawn())

    def __iter__(self):
        for where in self.mine():
            yield self.read(where)


class ShuffledShards(Shards):
    def mine(self):
        return random.sample(super().mine(), len(super().mine()))


class OwningShards(Shards):
    def __init__(self, *lengths: int) -> None:
        super().__init__(*lengths)
        self.generator = np.random.default_rng()

    def read(self, where):
        return super().read(where) + draw(self.generator)[0]


class LazyShards(Shards):
    """Makes its generator anew for each epoch."""

    def __iter__(self):
        self.generator = np.random.default_rng()
        for where in self.mine():
            yield self.read(where) + draw(self.generator)[0]


class SeededByItsWorker(Shards):
    """The generator of an epoch lives in a local variable, and is seeded as torch's manual says."""

    def __iter__(self):
        generator = random.Random(get_worker_info().seed)
        for where in self.mine():
            yield self.read(where) + generator.random()


class Resumable(Shards):
    """Knows its own position."""

    position = 0

    def __iter__(self):
        left = self.mine()[self.position :]
        for where in left:
            self.position += 1
            yield self.read(where)
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class OwningResumable(Resumable):
    def __init__(self, *lengths: int) -> None:
        super().__init__(*lengths)
        self.generator = random.Random()

    def read(self, where):
        return super().read(where) + self.generator.gauss(0, 1)


class LiveState(Resumable):
    """Its state is the very list that it goes on changing, as that of a buffer is."""

    def __init__(self, *lengths: int) -> None:
        super().__init__(*lengths)
        self.seen = []

    def __iter__(self):
        for where in self.mine()[len(self.seen) :]:
            self.seen.append(torch.zeros(2000))
            yield self.read(where)
        self.seen = []

    def state_dict(self):
        return {"seen": self.seen}

    def load_state_dict(self, state):
        self.seen = list(state["seen"])


class OwnIterable:
    """Batches of a class of the user's own."""

    def __init__(self, kind: str | None = None) -> None:
        self.generator = new(kind) if kind else None

    def __iter__(self):
        order = np.random.permutation(9)
        for number in order:
            numbers = draw(self.generator) if self.generator is not None else []
            yield item(int(number), *numbers, *drawn())


class LazyIterable(OwnIterable):
    def __iter__(self):
        if self.generator is None:
            self.generator = random.Random(3)
        return super().__iter__()


class OwnLoader(DataLoader):
    """A subclass with an iteration of its own."""

    def __iter__(self):
        for batch in super().__iter__():
            yield batch, torch.tensor(drawn())


class KnowsItsPosition:
    """An iterable that is no DataLoader and has a `state_dict`."""

    def __init__(self) -> None:
        self.position = 0
        self.reads = 0

    def __iter__(self):
        while self.position < 9:
            self.position += 1
            self.reads += 1
            yield item(self.position, *drawn())
        self.position = 0

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


# --- what compares ---------------------------------------------------------------------------------------


def bits(data):
    """Return a batch as something that is equal only where every bit is."""
    if isinstance(data, torch.Tensor):
        return str(data.dtype), tuple(data.shape), data.numpy().tobytes()
    if isinstance(data, np.ndarray):
        return str(data.dtype), data.shape, data.tobytes()
    if isinstance(data, dict):
        return {key: bits(part) for key, part in data.items()}
    if isinstance(data, list | tuple):
        return type(data), [bits(part) for part in data]
    return data


def taken(batches, epoch: int = 0, skip: int = 0, state=None):
    """Return the batches of an epoch, while a training draws from every global generator."""
    found = []
    disturb()
    for batch in batches.epoch(epoch, skip, state):
        found.append(bits(batch))
        disturb()
    return found


def of(loader, seed: int = SEED, purpose: str = "training"):
    return batches_of(loader, seed, purpose)


def check_every_rest(make, epochs: int = 2, skips=None):
    """Compare whatever is left of an epoch in a fresh loader with the epoch in one that made all epochs."""
    undisturbed = of(make())
    whole = [taken(undisturbed, epoch) for epoch in range(epochs)]
    undisturbed.close()
    assert all(len(epoch) > 2 for epoch in whole)
    if skips is None:
        assert taken(of(make())) == whole[0], "the first epoch of a second run"
    last = epochs - 1
    for skip in range(len(whole[last]) + 1) if skips is None else skips:
        continued = of(make())
        assert taken(continued, last, skip) == whole[last][skip:], f"continued after batch {skip}"
        continued.close()


WORKERS = [pytest.param(0, id="0 workers"), pytest.param(2, id="2 workers")]

# Each makes a loader, given how many workers it has.
MAP_STYLE = {
    "in order": lambda **others: DataLoader(Points(), 4, **others),
    "shuffled": lambda **others: DataLoader(Points(), 4, shuffle=True, **others),
    "shuffled, last one dropped": lambda **others: DataLoader(
        Points(), 4, shuffle=True, drop_last=True, **others
    ),
    "weighted": lambda **others: DataLoader(
        Points(), 4, sampler=WeightedRandomSampler(torch.arange(ITEMS) + 1.0, 20), **others
    ),
    "with replacement, more than there are": lambda **others: DataLoader(
        Points(), 9, sampler=RandomSampler(range(ITEMS), replacement=True, num_samples=80), **others
    ),
    "without replacement, more than there are": lambda **others: DataLoader(
        Points(), 9, sampler=RandomSampler(range(ITEMS), num_samples=60), **others
    ),
    "a sampler with a generator of its own, drawn from now and then": lambda **others: DataLoader(
        Points(),
        9,
        sampler=RandomSampler(range(ITEMS), replacement=True, num_samples=80, generator=torch.Generator()),
        **others,
    ),
    "a subset": lambda **others: DataLoader(Points(), 3, sampler=SubsetRandomSampler(range(3, 20)), **others),
    "a list as the sampler": lambda **others: DataLoader(Points(), 2, sampler=[5, 3, 8, 3, 1], **others),
    "a lazy sampler": lambda **others: DataLoader(Points(), 4, sampler=LazySampler(17), **others),
    "a lazy sampler, last one dropped": lambda **others: DataLoader(
        Points(), 4, sampler=LazySampler(17), drop_last=True, **others
    ),
    "a lazy sampler with numpy's generator": lambda **others: DataLoader(
        Points(), 4, sampler=LazySampler(17, "numpy"), **others
    ),
    "a lazy sampler with python's generator": lambda **others: DataLoader(
        Points(), 4, sampler=LazySampler(17, "python"), **others
    ),
    "a batch sampler": lambda **others: DataLoader(Points(), batch_sampler=GrowingBatches(), **others),
    "torch's batch sampler around a lazy one": lambda **others: DataLoader(
        Points(), batch_sampler=BatchSampler(LazySampler(17), 5, drop_last=False), **others
    ),
    "no batches": lambda **others: DataLoader(
        Points(), batch_size=None, sampler=SubsetRandomSampler(range(8)), **others
    ),
    "no batches, lists as indices": lambda **others: DataLoader(
        TensorDataset(torch.arange(ITEMS)),
        batch_size=None,
        sampler=BatchSampler(LazySampler(17), 5, drop_last=False),
        **others,
    ),
    "a collate_fn that draws": lambda **others: DataLoader(
        Points(), 4, shuffle=True, collate_fn=noisy_collate, **others
    ),
    "a generator of the loader": lambda **others: DataLoader(
        Points(), 4, shuffle=True, generator=torch.Generator().manual_seed(1), **others
    ),
    "the loader's generator, unseeded": lambda **others: DataLoader(
        Points(), 4, shuffle=True, generator=new("torch"), **others
    ),
    "many at once": lambda **others: DataLoader(ManyAtOnce(), 4, shuffle=True, **others),
    "nested": lambda **others: DataLoader(
        ConcatDataset(
            [Subset(Transformed(Noise("numpy"), Noise("torch")), range(3, 15)), Transformed(Noise("python"))]
        ),
        4,
        shuffle=True,
        **others,
    ),
    "a generator at the top level of the module": lambda **others: DataLoader(FromTopLevel(), 4, **others),
    "a distributed sampler": lambda **others: DataLoader(
        Points(), 3, sampler=DistributedSampler(range(ITEMS), num_replicas=2, rank=1), **others
    ),
    "a list of tensors": lambda **others: DataLoader(
        [torch.tensor(i) for i in range(9)], 2, shuffle=True, **others
    ),
    **{
        f"the dataset's own generator, {kind}": partial(
            lambda kind, **others: DataLoader(Owning(kind), 4, shuffle=True, **others), kind
        )
        for kind in KINDS
    },
    **{
        f"a generator made on first use, {kind}, {'seeded' if seeded else 'unseeded'}": partial(
            lambda kind, seeded, **others: DataLoader(Lazy(kind, seeded), 4, shuffle=True, **others),
            kind,
            seeded,
        )
        for kind in KINDS
        for seeded in (False, True)
    },
    **{
        f"a collate_fn with a generator, {kind}": partial(
            lambda kind, **others: DataLoader(Points(), 4, collate_fn=OwningCollate(kind), **others), kind
        )
        for kind in KINDS
    },
}
# Found while looking for what is not exact.
HARDER = {
    "a collate_fn that makes its generator on first use": lambda **others: DataLoader(
        Points(), 4, collate_fn=LazyCollate("numpy"), **others
    ),
    "a generator of the dataset's class": lambda **others: DataLoader(FromItsClass(), 4, **others),
    "children of a generator": lambda **others: DataLoader(Spawning(), 4, **others),
    "one generator for the dataset and a sampler that draws now and then": lambda **others: sharing(**others),
}


def sharing(**others):
    dataset = Owning("torch")
    sampler = RandomSampler(dataset, replacement=True, num_samples=80, generator=dataset.generator)
    return DataLoader(dataset, 9, sampler=sampler, **others)


def parts_of(table):
    return [pytest.param(make, id=name) for name, make in table.items()]


# --- map-style -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("make", parts_of(MAP_STYLE | HARDER))
def test_what_is_left_of_an_epoch_of_map_style_data_is_bit_equal(make, workers):
    check_every_rest(partial(make, num_workers=workers), skips=None if not workers else (3,))


@pytest.mark.parametrize("make", parts_of(MAP_STYLE | HARDER))
def test_map_style_batches_do_not_depend_on_the_number_of_workers(make):
    assert taken(of(make(num_workers=2)), 3) == taken(of(make()), 3)


@pytest.mark.parametrize("name", ["shuffled", "a lazy sampler", "no batches"])
def test_every_batch_can_be_the_first_one_of_new_workers(name):
    check_every_rest(partial(MAP_STYLE[name], num_workers=2))


@pytest.mark.parametrize(
    "name",
    [
        "shuffled",
        "a lazy sampler with python's generator",
        "the dataset's own generator, numpy",
        "a generator made on first use, numpy, unseeded",
        "a generator made on first use, python, seeded",
    ],
)
def test_workers_that_stay_go_on_in_a_later_epoch(name):
    make = partial(MAP_STYLE[name], num_workers=2, persistent_workers=True)

    check_every_rest(make, epochs=3, skips=(0, 2, 4))


def test_workers_that_stay_begin_anew_after_an_epoch_that_was_given_up():
    make = partial(MAP_STYLE["shuffled"], num_workers=2, persistent_workers=True)
    expected = taken(of(make()), 1)
    batches = of(make())
    given_up = batches.epoch(0)
    next(given_up)
    given_up.close()

    assert taken(batches, 1) == expected
    batches.close()


@pytest.mark.parametrize("prefetch", [1, 5])
def test_how_much_is_fetched_ahead_changes_nothing(prefetch):
    expected = taken(of(MAP_STYLE["a lazy sampler"](num_workers=2)))

    assert taken(of(MAP_STYLE["a lazy sampler"](num_workers=3, prefetch_factor=prefetch))) == expected


def test_batches_come_in_their_order_whichever_worker_is_faster():
    expected = taken(of(DataLoader(Points(), 2)))

    assert taken(of(DataLoader(Slow(), 2, num_workers=2, in_order=False))) == expected


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_worker_may_be_started_in_any_way(method):
    # Given a dataset with two generators, a collate_fn and a function that looks at the dataset
    def make(**others):
        dataset = Transformed(Noise("legacy numpy"), Noise("python"))
        return DataLoader(dataset, 4, shuffle=True, collate_fn=OwningCollate("numpy"), **others)

    expected = taken(of(make()), 1)

    continued = of(make(num_workers=2, multiprocessing_context=method, worker_init_fn=set_up_the_worker))

    assert taken(continued, 1, 3) == expected[3:]


@pytest.mark.parametrize("persistent", [False, True])
def test_a_function_that_begins_workers_sees_the_users_dataset(persistent):
    # Given one that gives the dataset a generator, from the worker's own seed
    def make():
        return DataLoader(
            Lazy("numpy"), 4, num_workers=2, worker_init_fn=set_up_the_worker, persistent_workers=persistent
        )

    check_every_rest(make, skips=(1, 3))


def test_an_item_may_look_at_the_users_dataset_in_its_worker():
    class Asking(Points):
        def __getitem__(self, index):
            return int(get_worker_info().dataset is self)

    assert [batch.tolist() for batch in of(DataLoader(Asking(3), num_workers=1)).epoch(0)] == [[1]] * 3


@pytest.mark.parametrize("persistent", [False, True])
def test_the_seed_that_torch_gives_a_worker_belongs_to_the_batch(persistent):
    def make():
        return DataLoader(FromTheWorkersSeed(), 4, num_workers=2, persistent_workers=persistent)

    check_every_rest(make, skips=(1, 2))


def test_a_distributed_sampler_is_told_the_epoch():
    def order(epoch):
        sampler = DistributedSampler(range(ITEMS), num_replicas=2, rank=0)
        return [int(batch) for batch in of(DataLoader(range(ITEMS), sampler=sampler)).epoch(epoch)]

    expected = DistributedSampler(range(ITEMS), num_replicas=2, rank=0)
    expected.set_epoch(5)

    assert order(5) == list(expected)
    assert order(5) != order(6)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("skip", [0, 1, 4, 6])
def test_what_was_passed_is_not_read_again(workers, skip):
    dataset = Points()

    taken(of(DataLoader(dataset, 4, num_workers=workers)), 0, skip)

    assert dataset.reads.tolist() == [0] * min(4 * skip, ITEMS) + [1] * (ITEMS - min(4 * skip, ITEMS))


def test_ten_thousand_batches_are_passed_without_reading_one():
    dataset = Points(10_003)

    left = taken(of(DataLoader(dataset, 1, shuffle=True)), 0, 10_000)

    assert len(left) == 3
    assert dataset.reads.sum() == 3


@pytest.mark.parametrize("workers", WORKERS)
def test_nothing_is_read_after_the_last_batch(workers):
    dataset = Points()

    assert taken(of(DataLoader(dataset, 4, num_workers=workers)), 0, 6) == []
    assert dataset.reads.sum() == 0


class Labeled(Dataset):
    """Items that are equal but for what is drawn."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return item(0, *drawn())


@pytest.mark.parametrize(
    ("seed", "purpose", "epoch"), [(43, "training", 0), (42, "other", 0), (42, "training", 1)]
)
@pytest.mark.parametrize("workers", WORKERS)
def test_another_seed_purpose_or_epoch_draws_other_batches(seed, purpose, epoch, workers):
    known = taken(of(DataLoader(Labeled(), 2, num_workers=workers)))
    others = taken(of(DataLoader(Labeled(), 2, num_workers=workers), seed, purpose), epoch)

    assert not {one[2] for one in known} & {one[2] for one in others}


@pytest.mark.parametrize(
    ("seed", "purpose", "epoch"), [(43, "training", 0), (42, "other", 0), (42, "training", 1)]
)
def test_another_seed_purpose_or_epoch_has_another_order(seed, purpose, epoch):
    def order(seed, purpose, epoch):
        batches = of(DataLoader(range(100), 100, shuffle=True), seed, purpose)
        return next(iter(batches.epoch(epoch))).tolist()

    assert order(seed, purpose, epoch) != order(SEED, "training", 0)


def test_no_two_batches_of_an_epoch_draw_the_same():
    values = [one for batch in of(DataLoader(Labeled(), 1)).epoch(0) for one in batch[0, 1:].tolist()]

    assert len(set(values)) == len(values)


# --- iterable --------------------------------------------------------------------------------------------

ITERABLE = {
    "augmented": lambda **others: DataLoader(Shards(5, 14, 3), 3, **others),
    "last ones dropped": lambda **others: DataLoader(Shards(5, 14, 4), 3, drop_last=True, **others),
    "no batches": lambda **others: DataLoader(Shards(2, 5, 1), batch_size=None, **others),
    "shuffled": lambda **others: DataLoader(ShuffledShards(5, 14, 3), 3, **others),
    "a collate_fn that draws": lambda **others: DataLoader(
        Shards(5, 14), 3, collate_fn=noisy_collate, **others
    ),
    "a collate_fn with a generator": lambda **others: DataLoader(
        Shards(5, 14), 3, collate_fn=OwningCollate("python"), **others
    ),
    "a generator of the loader": lambda **others: DataLoader(
        Shards(5, 14), 3, generator=new("torch"), **others
    ),
    "the dataset's own generator": lambda **others: DataLoader(OwningShards(5, 14, 3), 3, **others),
}
STATEFUL = {
    "augmented": lambda **others: DataLoader(Resumable(6, 15, 3), 3, **others),
    "last ones dropped": lambda **others: DataLoader(Resumable(5, 14, 4), 3, drop_last=True, **others),
    "no batches": lambda **others: DataLoader(Resumable(2, 5, 1), batch_size=None, **others),
    "a collate_fn that draws": lambda **others: DataLoader(
        Resumable(6, 15, 3), 3, collate_fn=noisy_collate, **others
    ),
    "the dataset's own generator": lambda **others: DataLoader(OwningResumable(6, 15, 3), 3, **others),
    "one worker with nothing": lambda **others: DataLoader(Resumable(8, 0, 6), 2, **others),
    "a state that goes on changing": lambda **others: DataLoader(LiveState(6, 15, 3), 3, **others),
    "short last batches": lambda **others: DataLoader(Resumable(5, 14, 4), 3, **others),
}


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("make", parts_of(ITERABLE))
def test_what_is_left_of_an_iterable_dataset_is_bit_equal(make, workers):
    check_every_rest(partial(make, num_workers=workers), skips=None if not workers else (4,))


@pytest.mark.parametrize("make", parts_of(ITERABLE))
def test_workers_of_an_iterable_dataset_that_stay_go_on_in_a_later_epoch(make):
    check_every_rest(partial(make, num_workers=2, persistent_workers=True), epochs=3, skips=(0, 4))


@pytest.mark.parametrize("persistent", [False, True])
def test_an_iterable_dataset_may_use_the_seed_that_torch_gives_its_worker(persistent):
    def make():
        return DataLoader(SeededByItsWorker(5, 9), 3, num_workers=2, persistent_workers=persistent)

    check_every_rest(make, skips=(0, 2))


def test_an_epoch_that_was_given_up_counts_for_workers_that_stay():
    def make():
        return DataLoader(Shards(5, 14), 3, num_workers=2, persistent_workers=True)

    expected = taken(of(make()), 1)
    batches = of(make())
    given_up = batches.epoch(0)
    next(given_up)
    given_up.close()

    assert taken(batches, 1) == expected
    batches.close()


def test_epochs_of_an_iterable_dataset_may_be_asked_for_in_any_order():
    # As evaluations are: by iteration, and sometimes twice.
    make = partial(ITERABLE["augmented"], num_workers=2, persistent_workers=True)
    expected = {epoch: taken(of(make()), epoch) for epoch in (0, 5, 6)}
    batches = of(make())

    assert all(taken(batches, epoch) == expected[epoch] for epoch in (5, 6, 6, 0, 5))
    batches.close()


def interrupted(make, epoch: int, after: int):
    """Return the state after so many batches of an epoch."""
    batches = of(make())
    rest = batches.epoch(epoch)
    for _ in range(after):
        next(rest)
        disturb()
    state = batches.state()
    rest.close()
    batches.close()
    return state


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("make", parts_of(STATEFUL))
def test_a_dataset_that_knows_its_position_goes_on_there(make, workers):
    # Given all batches of the first two epochs
    make = partial(make, num_workers=workers)
    undisturbed = of(make())
    whole = [taken(undisturbed, epoch) for epoch in range(2)]

    # When the second one was left after one of them
    count = len(whole[1])
    rests = {}
    for after in range(1, count + 1) if not workers else (1, 4, count - 1, count):
        state = interrupted(make, 1, after)
        rests[after] = taken(of(make()), 1, after, state)

    # Then a fresh loader gives those that are left
    assert rests == {after: whole[1][after:] for after in rests}


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_a_dataset_that_knows_its_position_goes_on_twice(workers):
    make = partial(STATEFUL["augmented"], num_workers=workers)
    whole = taken(of(make()))
    state = interrupted(make, 0, 2)
    second = of(make())
    epoch = second.epoch(0, 2, state)
    for _ in range(3):
        next(epoch)

    assert taken(of(make()), 0, 5, second.state()) == whole[5:]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_epochs_after_one_that_was_continued_are_whole(workers):
    make = partial(STATEFUL["augmented"], num_workers=workers, persistent_workers=workers > 0)
    undisturbed = of(make())
    whole = [taken(undisturbed, epoch) for epoch in range(3)]
    undisturbed.close()
    continued = of(make())

    rests = [taken(continued, 0, 4, interrupted(make, 0, 4)), taken(continued, 1), taken(continued, 2)]

    assert rests == [whole[0][4:], whole[1], whole[2]]
    continued.close()


@pytest.mark.parametrize("workers", [0, 2, 3])
@pytest.mark.parametrize("after", [1, 4, 7])
def test_a_dataset_that_knows_its_position_reads_nothing_again(workers, after):
    make = partial(DataLoader, batch_size=2, num_workers=workers)
    state = interrupted(lambda: make(Resumable(5, 9, 2)), 0, after)
    dataset = Resumable(5, 9, 2)

    left = list(of(make(dataset)).epoch(0, after, state))

    assert dataset.reads.sum() == sum(len(batch) for batch in left)
    assert dataset.reads.max() == 1


def test_a_state_of_other_workers_is_replayed():
    state = interrupted(partial(STATEFUL["augmented"], num_workers=3), 0, 2)
    whole = taken(of(STATEFUL["augmented"](num_workers=2)))

    assert taken(of(STATEFUL["augmented"](num_workers=2)), 0, 2, state) == whole[2:]


def test_a_state_does_not_change_while_batches_are_drawn():
    # It may be written to disk meanwhile.
    batches = of(STATEFUL["augmented"]())
    epoch = batches.epoch(0)
    next(epoch)
    state = batches.state()
    before = repr(state)
    next(epoch)

    assert repr(state) == before


def test_datapipes_share_their_items_between_workers():
    loader = DataLoader(IterableWrapper(range(6)).sharding_filter(), batch_size=None, num_workers=2)

    assert sorted(of(loader).epoch(0)) == list(range(6))


# --- anything else ---------------------------------------------------------------------------------------

Pair = namedtuple("Pair", ["images", "texts"])

OTHERS = {
    "a dictionary": lambda: {
        "short": MAP_STYLE["shuffled"](),
        "long": DataLoader(Points(60), 4, shuffle=True),
    },
    "a dictionary, the short one last": lambda: {
        "long": DataLoader(Points(60), 4, shuffle=True),
        "short": MAP_STYLE["a lazy sampler"](),
    },
    "a tuple": lambda: (MAP_STYLE["shuffled"](num_workers=1), DataLoader(Points(60), 4, shuffle=True)),
    "a tuple of an iterable and a map-style one": lambda: (
        DataLoader(ShuffledShards(5, 14), 3),
        MAP_STYLE["a lazy sampler"](),
    ),
    "a dictionary of one loader, twice": lambda: dict.fromkeys(["a", "b"], MAP_STYLE["shuffled"]()),
    "a dictionary in a dictionary": lambda: {"a": {"b": MAP_STYLE["shuffled"]()}, "c": OwnIterable()},
    "a list of loaders": lambda: [MAP_STYLE["shuffled"](), MAP_STYLE["weighted"]()],
    "a named tuple": lambda: Pair(MAP_STYLE["shuffled"](), MAP_STYLE["weighted"]()),
    "batches that lie ready": lambda: list(torch.arange(12).reshape(6, 2)),
    "batches in a tuple": lambda: tuple(torch.arange(12).reshape(6, 2)),
    "an iterable": OwnIterable,
    **{f"an iterable with a generator, {kind}": partial(OwnIterable, kind) for kind in KINDS},
    "an iterable that makes its generator on first use": LazyIterable,
    "a subclass of DataLoader": lambda: OwnLoader(Points(), 4, shuffle=True),
    "a subclass of DataLoader with a lazy sampler": lambda: OwnLoader(Points(), 4, sampler=LazySampler(17)),
    "a subclass of DataLoader with workers": lambda: OwnLoader(Points(), 4, shuffle=True, num_workers=2),
    "a subclass of DataLoader, its dataset's generator made on first use": lambda: OwnLoader(
        Lazy("python", seeded=True), 4
    ),
    "a tensor": lambda: torch.arange(8).reshape(4, 2),
}


@pytest.mark.parametrize("make", parts_of(OTHERS))
def test_what_is_left_of_anything_else_is_bit_equal(make):
    check_every_rest(make)


@pytest.mark.parametrize(
    ("name", "kind"), [("a dictionary", dict), ("a tuple", tuple), ("a named tuple", Pair)]
)
def test_a_batch_of_several_loaders_has_their_shape(name, kind):
    loaders = OTHERS[name]()

    batch = next(iter(of(loaders).epoch(0)))

    assert type(batch) is kind
    assert len(batch) == len(loaders)


def test_the_shortest_of_several_loaders_ends_the_epoch():
    loaders = {"a": DataLoader(Points(8), 2), "b": DataLoader(Points(6), 2), "c": DataLoader(Points(9), 2)}

    assert len(taken(of(loaders))) == length_of(loaders) == 3


def test_loaders_of_the_same_data_draw_different_noise():
    batch = next(iter(of({"a": DataLoader(Points()), "b": DataLoader(Points())}).epoch(0)))

    assert batch["a"][0, 0] == batch["b"][0, 0]
    assert (batch["a"][0, 1:] != batch["b"][0, 1:]).all()


def test_several_loaders_that_know_their_positions_go_on_there():
    def make():
        return {"a": STATEFUL["augmented"](), "b": MAP_STYLE["shuffled"](), "c": KnowsItsPosition()}

    whole = taken(of(make()))

    for after in range(1, len(whole) + 1):
        loaders = make()
        assert taken(of(loaders), 0, after, interrupted(make, 0, after)) == whole[after:]
        assert loaders["c"].reads <= len(whole) - after + 1


def test_an_iterable_that_knows_its_position_goes_on_there():
    whole = taken(of(KnowsItsPosition()))

    for after in range(1, 10):
        fresh = KnowsItsPosition()
        assert taken(of(fresh), 0, after, interrupted(KnowsItsPosition, 0, after)) == whole[after:]
        assert fresh.reads == 9 - after


TOO_FEW = {
    "map-style": lambda: DataLoader(Points(), 4),
    "map-style, with workers": lambda: DataLoader(Points(), 4, num_workers=2),
    "a lazy sampler": lambda: DataLoader(Points(), 4, sampler=LazySampler(ITEMS)),
    "an iterable dataset": lambda: DataLoader(Shards(12, 11), 4),
    "an iterable dataset with workers": lambda: DataLoader(Shards(12, 12), 4, num_workers=2),
    "an iterable dataset that knows its position": lambda: DataLoader(Resumable(12, 11), 4),
    "batches that lie ready": lambda: list(range(6)),
    "a subclass of DataLoader": lambda: OwnLoader(Points(), 4),
    "several": lambda: {"a": DataLoader(Points(99), 4), "b": DataLoader(Points(), 4)},
}


@pytest.mark.parametrize("make", parts_of(TOO_FEW))
def test_fewer_batches_than_were_used_is_an_error_with_both_numbers(make):
    assert len(taken(of(make()))) == 6
    assert taken(of(make()), 0, 6) == []

    with pytest.raises(CheckpointError, match=r"\b8\b.*\b6\b"):
        taken(of(make()), 0, 8)


# --- the user's own loader -------------------------------------------------------------------------------

SHARED = {
    **{name: MAP_STYLE[name] for name in ("shuffled", "a lazy sampler", "no batches", "nested")},
    "an iterable dataset": ITERABLE["augmented"],
}
# Its position is that of the dataset, whoever moves it.
LEFT_ALONE = SHARED | {"a dataset that knows its position": STATEFUL["augmented"]}


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("make", parts_of(LEFT_ALONE))
def test_the_users_loader_is_left_as_it_was(make, workers):
    loader = make(num_workers=workers)
    before = dict(vars(loader))

    batches = of(loader)
    first = taken(batches)

    assert vars(loader) == before
    assert len(list(loader)) == len(first)
    assert taken(batches, 0) == first


@pytest.mark.parametrize("make", parts_of(SHARED | OTHERS))
def test_what_others_draw_from_the_users_loader_changes_no_batch(make):
    # Given an evaluation that goes through the same loader at each step
    expected = taken(of(make()))
    loader = make()

    found = []
    for batch in of(loader).epoch(0):
        found.append(bits(batch))
        for part in loader.values() if isinstance(loader, dict) else [loader]:
            next(iter(part))

    assert found == expected


def test_two_uses_of_a_loader_may_be_gone_through_side_by_side():
    loader = MAP_STYLE["shuffled"]()
    expected = taken(of(loader)), taken(of(loader, purpose="evaluation"))

    pairs = zip(of(loader).epoch(0), of(loader, purpose="evaluation").epoch(0), strict=True)

    assert [(bits(one), bits(other)) for one, other in pairs] == list(zip(*expected, strict=True))


def test_an_error_of_the_dataset_is_the_users_own():
    class Broken(Points):
        def __getitem__(self, index):
            raise ZeroDivisionError("of the user")

    for workers in (0, 1):
        with pytest.raises(ZeroDivisionError, match="of the user"):
            taken(of(DataLoader(Broken(), num_workers=workers)))


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize(
    "make", parts_of({"map-style": MAP_STYLE["shuffled"], "iterable": ITERABLE["augmented"]})
)
def test_no_process_is_left(make, persistent):
    before = set(multiprocessing.active_children())
    batches = of(make(num_workers=2, persistent_workers=persistent))
    epoch = batches.epoch(0)
    next(epoch)
    started = set(multiprocessing.active_children()) - before

    epoch.close()
    batches.close()
    del epoch

    assert len(started) == 2
    assert not set(multiprocessing.active_children()) - before
    for process in started:
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def test_the_order_of_a_sequential_loader_is_its_own():
    batches = of(DataLoader(range(10), 3, sampler=SequentialSampler(range(10))))

    assert [batch.tolist() for batch in batches.epoch(4, 2)] == [[6, 7, 8], [9]]
