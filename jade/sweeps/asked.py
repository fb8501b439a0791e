"""How often this process was asked to stop: by Ctrl-C, by SIGTERM, or because its terminal was closed."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from jade.signals import SAME_PRESS_SECONDS


@dataclass
class Asked:
    """What was asked for.

    Attributes:
        times: how often; 0 if it was not.
        signal: that came first.
    """

    times: int = 0
    signal: int = 0
    _last: float = -1.0

    def note(self, number: int) -> None:
        """Note a signal; one press of a key may arrive twice."""
        now = time.monotonic()
        if self.times and now - self._last < SAME_PRESS_SECONDS:
            return
        self._last = now
        self.times += 1
        self.signal = self.signal or number

    @property
    def exit_code(self) -> int:
        """The code a process ends with."""
        return 128 + self.signal if self.times else 0


@contextmanager
def counted() -> Iterator[Asked]:
    """Count the requests to stop while the block runs, instead of following them."""
    wish = Asked()

    def on_signal(number: int, frame: FrameType | None) -> None:
        wish.note(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield wish
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
