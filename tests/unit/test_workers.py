"""The processes that fetch batches: they outlive what is sent to their parent, and end with it."""

import contextlib
import copy
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from jade import signals
from jade.batches import batches_of
from jade.generators import Owned
from jade.workers import Drawing, SeededItems, SeededStream, Ticket, WorkerStart, copied

SENT = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP]
ASKING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}


class Slow(Dataset):
    """Each item takes a while, so that a signal arrives while one is fetched."""

    def __init__(self, seconds: float = 0.15, items: int = 8) -> None:
        self.seconds = seconds
        self.items = items

    def __len__(self):
        return self.items

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return index


class SlowStream(IterableDataset):
    def __iter__(self):
        for index in range(get_worker_info().id, 8, get_worker_info().num_workers):
            time.sleep(0.15)
            yield index


class Asking(Dataset):
    """Says what a worker does on signals."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        blocked = sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, [])))
        ignored = sorted(int(one) for one in SENT if signal.getsignal(one) is signal.SIG_IGN)
        return {"blocked": blocked, "ignored": ignored}


def first(items):
    return items[0]


def begun(loader):
    """Return what is left of the epoch, and the processes that were started for it."""
    before = set(multiprocessing.active_children())
    batches = batches_of(loader, 1, "training")
    epoch = batches.epoch(0)
    found = [next(epoch)]
    return epoch, found, set(multiprocessing.active_children()) - before


def is_gone(process) -> bool:
    return process not in multiprocessing.active_children()


@pytest.mark.parametrize("number", SENT, ids=lambda number: number.name)
@pytest.mark.parametrize("dataset", [Slow(), SlowStream()], ids=["map-style", "iterable"])
def test_workers_outlive_a_signal_and_end_with_the_loader(dataset, number):
    # Given workers in the middle of an item
    epoch, found, workers = begun(DataLoader(dataset, 1, num_workers=2, collate_fn=first))

    # When each gets a signal, twice
    for _ in range(2):
        for worker in workers:
            os.kill(worker.pid, number)

    # Then all batches come, and no process is left
    assert found + list(epoch) == list(range(8))
    epoch.close()
    assert len(workers) == 2
    assert all(is_gone(worker) for worker in workers)


@pytest.mark.parametrize("number", SENT, ids=lambda number: number.name)
def test_a_loader_that_is_closed_after_a_signal_leaves_no_process(number):
    epoch, _, workers = begun(DataLoader(Slow(), 1, num_workers=2, collate_fn=first))
    for worker in workers:
        os.kill(worker.pid, number)

    began = time.monotonic()
    epoch.close()

    assert all(is_gone(worker) for worker in workers)
    assert time.monotonic() - began < 5  # what torch waits for a worker that does not answer


def test_workers_that_stay_outlive_a_signal_between_epochs():
    loader = DataLoader(Slow(0.01), 1, num_workers=2, collate_fn=first, persistent_workers=True)
    before = set(multiprocessing.active_children())
    batches = batches_of(loader, 1, "training")
    list(batches.epoch(0))
    workers = set(multiprocessing.active_children()) - before
    for worker in workers:
        os.kill(worker.pid, signal.SIGUSR1)

    assert list(batches.epoch(1)) == list(range(8))
    assert set(multiprocessing.active_children()) - before == workers
    batches.close()
    assert all(is_gone(worker) for worker in workers)


def test_a_worker_whose_parent_does_not_end_it_dies_of_a_sigterm_in_the_end(monkeypatch):
    monkeypatch.setattr(signals, "WORKER_SECONDS", 1)
    epoch, _, workers = begun(DataLoader(Slow(0.0, 3), 1, num_workers=1, collate_fn=first))
    (worker,) = workers

    os.kill(worker.pid, signal.SIGTERM)
    for seconds in (8, 1):
        with contextlib.suppress(RuntimeError):  # by which torch says that a worker has died
            worker.join(seconds)

    assert worker.exitcode == -signal.SIGALRM
    epoch.close()


def test_a_worker_gets_signals_and_ignores_all_but_sigterm():
    (said,) = batches_of(DataLoader(Asking(), 1, num_workers=1, collate_fn=first), 1, "x").epoch(0)

    assert not set(said["blocked"]) & ASKING
    assert said["ignored"] == sorted(ASKING - {signal.SIGTERM})


@pytest.mark.parametrize("workers", [0, 2])
def test_this_process_gets_its_signals_as_before(workers):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, []), [signal.getsignal(one) for one in SENT]

    epoch, _, _ = begun(DataLoader(Slow(0.0), 1, num_workers=workers))

    assert (signal.pthread_sigmask(signal.SIG_BLOCK, []), [signal.getsignal(one) for one in SENT]) == before
    epoch.close()


def test_a_loader_may_be_used_outside_of_the_main_thread():
    found = []
    loader = DataLoader(Slow(0.0), 1, num_workers=2, collate_fn=first)
    thread = threading.Thread(target=lambda: found.extend(batches_of(loader, 1, "x").epoch(0)))

    thread.start()
    thread.join(30)

    assert found == list(range(8))


def test_signals_are_held_while_multiprocessing_starts_its_first_helper():
    # It lets SIGINT and SIGTERM through when it is done.
    code = (
        "import signal\n"
        "from jade import signals\n"
        "from multiprocessing import resource_tracker\n"
        "with signals.held():\n"
        "    resource_tracker.ensure_running()\n"
        "    print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout.strip() == "True"


ENDING = """
import sys
import torch
from torch.utils.data import DataLoader
from jade.batches import batches_of

def train():
    stay = "persistent" in sys.argv
    loader = DataLoader([torch.tensor(i) for i in range(100)], 2, num_workers=2, persistent_workers=stay)
    epoch = batches_of(loader, 1, "training").epoch(0)
    next(epoch)
    print("begun", flush=True)
    if "let go" in sys.argv:
        del epoch
    if "exit" in sys.argv:
        sys.exit(1)
    raise ZeroDivisionError

train()
"""


@pytest.mark.parametrize("how", [["error", "let go"], ["error"], ["exit", "persistent"]], ids=", ".join)
def test_workers_do_not_keep_a_process_that_ends_in_the_middle_of_an_epoch(how):
    process = subprocess.Popen(
        [sys.executable, "-c", ENDING, *how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout.readline() == "begun\n"
        assert process.wait(6) == 1
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- the parts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Ticket(1, 2, [3]),
        SeededItems(DataLoader(Slow()), Drawing(1, "x", None, {"dataset": Slow()})),
        SeededStream(SlowStream(), 2, Drawing(1, "x", None, {}), first),
        WorkerStart(Slow(), print),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_sent_to_a_worker_can_be_pickled(value):
    assert type(pickle.loads(pickle.dumps(value))) is type(value)


def test_a_drawing_that_was_used_can_be_sent():
    drawing = Drawing(1, "x", None, {"root": [random.Random()]})
    drawing.enter("a")

    assert pickle.loads(pickle.dumps(drawing)).stream.owned[0].path == "root[0]"


def test_a_stream_is_made_once_for_each_part_and_process(monkeypatch):
    drawing = Drawing(1, "x", None, {})

    assert [drawing.enter("a"), drawing.enter("a"), drawing.enter("b"), drawing.enter("a")] == [
        True,
        False,
        True,
        True,
    ]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert drawing.enter("a")


def test_looking_again_finds_what_was_made_since():
    held = [random.Random()]
    drawing = Drawing(1, "x", None, {"root": held})
    drawing.enter("a")

    assert not drawing.look_again()
    held.append(random.Random())
    assert drawing.look_again()
    assert not drawing.look_again()
    assert [type(one) for one in drawing.stream.owned] == [Owned, Owned]


def test_a_dataset_without_new_generators_is_read_once():
    class Counting(Slow):
        reads = 0

        def __getitem__(self, index):
            Counting.reads += 1
            return index

    loader = DataLoader(Counting(), 3, collate_fn=list)
    items = SeededItems(loader, Drawing(1, "x", None, {}))

    assert items.collate(items.__getitems__(Ticket(0, 0, [1, 2, 3]))) == [1, 2, 3]
    assert items.collate(items[Ticket(0, 1, [4])]) == [4]
    assert Counting.reads == 4
    assert len(items) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_copy_of_a_loader_shares_nothing_that_is_changed(workers):
    loader = DataLoader(Slow(), 3, shuffle=True, num_workers=workers, generator=torch.Generator())
    before = copy.copy(vars(loader))

    made = copied(loader, [1, 2], [[0], [1]], collate_fn=first)

    assert vars(loader) == before
    assert (made.dataset, made.batch_sampler, made.collate_fn) == ([1, 2], [[0], [1]], first)
    assert made.multiprocessing_context is loader.multiprocessing_context
    assert (made.num_workers, made.generator, made.drop_last) == (workers, loader.generator, False)
