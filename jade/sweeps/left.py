"""The processes that an agent leaves behind when it is killed: its trial lives in the agent's session.

A trial is the leader of a group of its own; its workers and the client's process end with it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from jade import lock


def trials(sessions: Collection[int]) -> list[int]:
    """Return the trials that live in sessions, by their process ids."""
    return [pid for pid in _all(sessions) if _is_leader(pid)]


def everything(sessions: Collection[int]) -> list[int]:
    """Return all processes that live in sessions, by their ids."""
    return list(_all(sessions))


def _all(sessions: Collection[int]) -> Iterator[int]:
    if not sessions:
        return
    for pid in _pids():
        try:
            if os.getsid(pid) in sessions and lock.lives(pid):
                yield pid
        except OSError:  # it has just ended, or is somebody else's
            continue


def _pids() -> list[int]:
    if Path("/proc/self").exists():
        return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=False)
    return [int(word) for word in listed.stdout.split()]


def _is_leader(pid: int) -> bool:
    try:
        return os.getpgid(pid) == pid
    except OSError:
        return False
