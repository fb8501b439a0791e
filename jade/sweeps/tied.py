"""Run a module as `python -m` does, in a process that ends with those who need it.

`sweep run` starts its server and its agents so: killed at any moment, it leaves none of them behind. An agent
ends with whoever holds the other end of its stdin; the server, which many may use, with the last of those who
hold a file locked. They are asked to end by SIGTERM, as by anybody else.
"""

from __future__ import annotations

import fcntl
import os
import runpy
import signal
import sys
import threading
from collections.abc import Sequence

_USERS = "--users"


def _end_with(descriptor: int) -> None:
    while os.read(descriptor, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _end_after(users: str) -> None:
    # Never given back: whoever comes now waits until this process has ended.
    descriptor = os.open(users, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(descriptor, str(os.getpid()).encode())
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.kill(os.getpid(), signal.SIGTERM)


def main(arguments: Sequence[str]) -> None:
    """Run a module while it is needed.

    Args:
        arguments: the module and its own, as long as stdin is open; or before these `--users` and a file, as
            long as that is locked.
    """
    if arguments[0] == _USERS:
        _, users, *arguments = arguments
        watch = threading.Thread(target=_end_after, args=(users,), name="jade-tied", daemon=True)
    else:
        # stdin itself is given away: what the module starts may ask whether there is somebody to be asked.
        held = os.dup(0)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        watch = threading.Thread(target=_end_with, args=(held,), name="jade-tied", daemon=True)
    watch.start()
    sys.argv = list(arguments)
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
