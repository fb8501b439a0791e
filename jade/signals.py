"""A request to stop, as a flag that the loop reads at its next safe point.

Signals set the flag and do nothing else. A second Ctrl-C does not wait for the safe point.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPT = int(signal.SIGINT)


class Stop:
    """A request to stop: False until `request` is called.

    Attributes:
        requested: whether a stop was asked for.
        signal: the number of the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.requested = False
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.requested

    def request(self, number: int) -> None:
        """Ask for a stop, as the signal `number` does."""
        self.signal = number
        self.requested = True

    @property
    def exit_code(self) -> int:
        """The code a process ends with after this request: 128 + the signal's number, 0 without one."""
        return 0 if self.signal is None else 128 + self.signal


@contextmanager
def handled(stop: Stop) -> Iterator[Stop]:
    """Set `stop` on SIGINT (Ctrl-C), SIGTERM and SIGHUP while the block runs; in the main thread only.

    SIGHUP stays ignored where it was, as under nohup.
    """
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and stop:
            raise KeyboardInterrupt
        if not stop and number == signal.SIGINT:
            # Not through the logging of the code that was interrupted, which may be writing just now.
            with contextlib.suppress(OSError, AttributeError):  # there may be no terminal any more
                os.write(sys.stderr.fileno(), b"\nStopping after this step; Ctrl-C again stops at once.\n")
        stop.request(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
