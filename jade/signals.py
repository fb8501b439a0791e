"""A request to stop, as a flag that the loop reads at its next safe point.

Signals, a time limit and W&B's server set the flag and do nothing else. What is done about it, and whether
the run may be continued by whoever started it, is said here, too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType

INTERRUPT = int(signal.SIGINT)
# As timeout(1) says that a command did not end by itself.
OUT_OF_TIME = 124
# A worker that was told to end lives on for so long, for the step and the checkpoint of the process that it
# feeds.
WORKER_SECONDS = 10
_PREEMPTING = (signal.SIGUSR1, signal.SIGUSR2)
# One Ctrl-C may arrive twice: from the terminal, and from an agent that passes it on.
SAME_PRESS_SECONDS = 0.3
_ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *_PREEMPTING)
# What schedulers of clusters set in their jobs.
_SCHEDULERS = (
    "SLURM_JOB_ID",
    "PBS_JOBID",
    "LSB_JOBID",
    "SGE_TASK_ID",
    "OAR_JOB_ID",
    "COBALT_JOBID",
    "FLUX_JOB_ID",
)


class Stopped(BaseException):
    """The run was asked to stop, and what is going on is given up; no error, and not to be caught."""


class Stop:
    """A request to stop: False until there is one.

    Args:
        clock: gives seconds; a test may give its own.

    Attributes:
        requested: whether a stop was asked for.
        signal: the number of the signal that asked, or None.
        at_once: whether a signal raises `Stopped` where it finds the program: as long as nothing could be
            saved.
        was_final: whether W&B's server had asked for the stop that a signal asked for.
        needed: seconds before the time limit at which to stop, so that a backup can be written.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.requested = False
        self.signal: int | None = None
        self.at_once = False
        self.was_final = False
        self.needed = 1.0
        self._clock = clock
        self._made = clock()
        self._asked = float("inf")
        self._deadline = float("inf")
        self._out_of_time = False

    def __bool__(self) -> bool:
        return self.requested

    def request(self, number: int | None = None) -> None:
        """Ask for a stop, as the signal `number` does; without one, as W&B's server does."""
        if not self.requested:
            self.signal = number
            self._asked = self._clock()
        self.requested = True

    @property
    def age(self) -> float:
        """Seconds since the request."""
        return self._clock() - self._asked

    def limit(self, seconds: float) -> None:
        """Ask for a stop `seconds` after this object was made, at the start of a job."""
        self._deadline = self._made + seconds

    @property
    def deadline(self) -> float:
        """When the time is up, by the clock; infinity without a limit."""
        return self._deadline

    def look_at_the_clock(self) -> None:
        """Ask for a stop if no more than the `needed` seconds are left."""
        if not self.requested and self._clock() + self.needed >= self._deadline:
            self.request()
            self._out_of_time = True

    def check(self) -> None:
        """Raise `Stopped` if a stop was asked for; called between two batches of a long evaluation."""
        self.look_at_the_clock()
        if self.requested:
            raise Stopped

    @property
    def exit_code(self) -> int:
        """The code a process ends with: 128 + the signal's number, 124 out of time, 0 by W&B's wish."""
        if self.was_final:
            return 0
        if self._out_of_time:
            return OUT_OF_TIME
        return 0 if self.signal is None else 128 + self.signal

    def is_preempting(self, environ: Mapping[str, str]) -> bool:
        """Say whether whoever stopped the run means to continue it.

        So it is where a scheduler warns (SIGUSR1, SIGUSR2), takes the machine away (SIGTERM inside a job),
        or the time the run was given is up. A stop that W&B's server or a person at the terminal asked for
        is final: it would be requeued for ever.
        """
        if self._out_of_time or self.signal in _PREEMPTING:
            return True
        return self.signal == signal.SIGTERM and any(environ.get(name) for name in _SCHEDULERS)


@contextmanager
def handled(stop: Stop) -> Iterator[Stop]:
    """Set `stop` on SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 while the block runs.

    A second Ctrl-C raises KeyboardInterrupt. SIGHUP stays ignored where it was, as under nohup. Outside of
    the main thread, where Python allows no handlers, nothing is set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    owner = os.getpid()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            _react(stop, number)
            return
        # A process forked by the user's code has its own way to end.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    numbers = [signal.SIGINT, signal.SIGTERM, *_PREEMPTING]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _react(stop: Stop, number: int) -> None:
    is_first = not stop
    if number == signal.SIGINT and not is_first and stop.age >= SAME_PRESS_SECONDS:
        raise KeyboardInterrupt
    stop.request(number)
    if stop.at_once:
        stop.at_once = False
        raise Stopped
    if is_first and number == signal.SIGINT:
        # Not through the logging of the code that was interrupted, which may be writing just now.
        with contextlib.suppress(OSError, AttributeError):  # there may be no terminal any more
            os.write(sys.stderr.fileno(), b"\nStopping after this step; Ctrl-C again stops at once.\n")


@contextmanager
def held() -> Iterator[None]:
    """Let a process that the block starts hold signals that ask for a stop until it has said what it does.

    They reach this process after the block; its other threads are not asked.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # multiprocessing's own helper lets signals in again when it starts, so it starts before they are held.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def outlive_the_parents_signals() -> None:
    """Let a worker of a loader live through what a terminal or a scheduler sends to every process of a job.

    The process it feeds stops after its step, and ends it then. A worker that cannot be ended so dies of
    the SIGTERM ten seconds later.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGHUP, *_PREEMPTING):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda number, frame: signal.alarm(WORKER_SECONDS) and None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ASKING)
