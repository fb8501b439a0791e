"""Run a module as `python -m` does, in a process that ends with whoever holds the other end of its stdin.

`sweep run` starts its server and its agents so: killed at any moment, it leaves none of them behind. They are
asked to end by SIGTERM, as by anybody else.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> None:
    """Run the module that the first argument names with the others."""
    # stdin itself is given away: what the module starts may ask whether there is somebody to be asked.
    held = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    threading.Thread(target=_end_with, args=(held,), name="jade-tied", daemon=True).start()
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
