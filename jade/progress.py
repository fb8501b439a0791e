"""What a person sees while a run trains: two bars on a terminal, one plain line per epoch in a log file.

And while files are fetched: one bar, in a notebook as well, or one line.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

SECONDS_SHOWN = 0.1
# A short bar leaves the line to the values.
RUN_BAR = "{desc}: {percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
# What is fetched at once is not told.
MUCH_BYTES = 4 << 20
MANY_FILES = 25
NOTEBOOK_COLUMNS = 80  # it does not say how wide it is


class Progress(Protocol):
    """Shows how far a run is."""

    def start_epoch(self, epoch: int, steps: int | None, done: int = 0) -> None:
        """Begin showing the pass number `epoch`, counted from 0, of `steps` batches (None: not known).

        `done` of them were used before the run was continued.
        """

    def step(self) -> None:
        """Count one training step."""

    def show(self, values: Mapping[str, float]) -> None:
        """Show the newest values of losses and metrics."""

    def end_epoch(self, epochs: int) -> None:
        """Show that `epochs` passes are done; called with 0 before the first one."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def choose(epochs: int, stream: TextIO | None = None) -> Progress:
    """Return bars if `stream` (standard error) is a terminal, else lines."""
    stream = stream or sys.stderr
    if stream is None:  # the process was started without one
        return hidden()
    return Bars(epochs, stream) if stream.isatty() else Lines(epochs, stream)


def hidden() -> Progress:
    """Return what shows nothing."""
    return Lines(0, io.StringIO())


@contextmanager
def transfer(
    what: str, size: int, files: int, stream: TextIO | None = None
) -> Iterator[Callable[[int], object]]:
    """Show how far a transfer is: a bar on a terminal, else a line if it is a big one.

    Args:
        what: is transferred.
        size: in bytes.
        files: how many there are.
        stream: where it is shown; standard error if None.

    Yields:
        What is to be called with each number of bytes that came.
    """
    stream = stream or sys.stderr
    is_much = size >= MUCH_BYTES
    if stream is None or not (is_much or files >= MANY_FILES):
        yield lambda count: None
    elif not (stream.isatty() or _is_notebooks(stream)):
        if is_much:
            stream.write(f"{what}: {files} file{'s' if files > 1 else ''}, {size / 1e6:.1f} MB\n")
            stream.flush()
        yield lambda count: None
    else:
        from tqdm import tqdm  # only a terminal or a notebook needs it

        width: Any = {"dynamic_ncols": True} if stream.isatty() else {"ncols": NOTEBOOK_COLUMNS}
        with tqdm(desc=what, total=size, unit="B", unit_scale=True, file=stream, **width) as bar:
            yield bar.update


def _is_notebooks(stream: TextIO) -> bool:
    """Say whether a stream ends below a notebook's cell, where a bar can be drawn over as on a terminal."""
    return type(stream).__module__.partition(".")[0] == "ipykernel"


class Lines:
    """One line per epoch, for log files."""

    def __init__(self, epochs: int, stream: TextIO) -> None:
        self._epochs = epochs
        self._stream = stream
        self._values: dict[str, float] = {}
        self._began = time.monotonic()
        self._first: int | None = None

    def start_epoch(self, epoch: int, steps: int | None, done: int = 0) -> None:
        """Do nothing."""

    def step(self) -> None:
        """Do nothing."""

    def show(self, values: Mapping[str, float]) -> None:
        """Remember the values for the next line."""
        self._values |= values

    def end_epoch(self, epochs: int) -> None:
        """Write the line of one epoch, with the values that are new since the last one."""
        passed = time.monotonic() - self._began
        if self._first is None:
            self._first, self._began = epochs, time.monotonic()  # of this process: a run may be continued
        done = epochs - self._first
        left = f", {passed / done * (self._epochs - epochs):.0f} s left" if done else ""
        values = "  ".join(f"{name} {value:.4g}" for name, value in self._values.items())
        self._values.clear()
        width = len(str(self._epochs))
        line = f"epoch {epochs:>{width}}/{self._epochs}  {passed:.0f} s{left}  {values}"
        self._stream.write(f"{line.rstrip()}\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing."""


class Bars:
    """A bar for the run with losses and time left, and below it one for the epoch."""

    def __init__(self, epochs: int, stream: TextIO) -> None:
        from tqdm import tqdm  # only a terminal needs it

        self._run = tqdm(
            desc="run", total=epochs, file=stream, dynamic_ncols=True, position=0, bar_format=RUN_BAR
        )
        self._epoch = tqdm(
            desc="epoch 1", unit="it", file=stream, dynamic_ncols=True, position=1, leave=False
        )
        self._values: dict[str, float] = {}
        self._begun = False
        self._steps = 0  # not shown yet: the bar is asked at most ten times a second
        self._next = 0.0

    def start_epoch(self, epoch: int, steps: int | None, done: int = 0) -> None:
        """Empty the lower bar."""
        self._steps = 0
        self._epoch.reset(total=steps)
        self._epoch.update(done)
        self._epoch.set_description(f"epoch {epoch + 1}", refresh=False)

    def step(self) -> None:
        """Move the lower bar."""
        self._steps += 1
        now = time.monotonic()
        if now >= self._next:
            self._epoch.update(self._steps)
            self._steps, self._next = 0, now + SECONDS_SHOWN

    def show(self, values: Mapping[str, float]) -> None:
        """Show the values behind the upper bar."""
        self._values |= values
        self._run.set_postfix({name: f"{value:.4g}" for name, value in self._values.items()}, refresh=False)

    def end_epoch(self, epochs: int) -> None:
        """Move the upper bar."""
        if not self._begun:
            self._begun = True
            self._run.initial = epochs  # passes of an earlier process say nothing about the time that is left
        self._run.n = epochs
        self._run.refresh()

    def close(self) -> None:
        """Close both bars."""
        self._epoch.close()
        self._run.close()
