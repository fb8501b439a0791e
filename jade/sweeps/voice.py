"""What a command says may reach nobody, for a pipe or a terminal is gone: the work goes on in silence."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


def prepare() -> None:
    """Have letters that a terminal does not know written as others that it does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def heard_or_not(out: TextIO) -> Iterator[None]:
    """Write something to `out` in the block; if nobody reads it any more, write nothing from now on."""
    try:
        yield
    except OSError:
        _mute(out)


def say(text: str, out: TextIO | None = None) -> None:
    """Write lines, to stdout if nothing else is given, whether they are read or not."""
    out = sys.stdout if out is None else out
    with heard_or_not(out):
        out.write(f"{text}\n")
        out.flush()


def _mute(out: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, out.fileno())
    finally:
        os.close(nowhere)
