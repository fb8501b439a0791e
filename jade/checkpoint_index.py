"""What a run's checkpoints are called, and what is said of them without opening them, which takes torch.

`checkpoints.json` says it. The files themselves are the truth: what is not listed is unknown, and an entry
is there only while its file is as it was when the entry was written. `checkpoint` writes it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jade import json_file

NAME = "checkpoints.json"
BACKUP, PREVIOUS, BEST = "model.pt", "model.previous.pt", "best.pt"
# The weights of another run that a run began with, see `begun`: no checkpoint, and not in the list.
BEGINNING = "init.pt"

_NUMBERED = re.compile(r"checkpoint_(\d+)\.pt")


def numbered(iterations: int) -> str:
    """Return what a checkpoint that is kept is called."""
    return f"checkpoint_{iterations}.pt"


def number_of(name: str) -> int | None:
    """Return the iterations after which a checkpoint that is kept was written; None for any other file."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else None


def is_checkpoint(name: str) -> bool:
    """Say whether a file of a run is a checkpoint; what the run began with is none."""
    return "/" not in name and name.endswith(".pt") and name != BEGINNING


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what is known of each checkpoint, by the name of its file.

    Returns:
        Of each `iterations`, `epochs` and `time`, the second since 1970 at which it was written; of `best.pt`
        also `metric`, `mode` ("min" or "max") and `value`. Of a run that has no such list, nothing.
    """
    known = json_file.read(folder / NAME)
    return {name: facts for name, facts in known.items() if isinstance(facts, dict)}


def forget(folder: Path, *names: str) -> dict[str, dict[str, Any]]:
    """Take files that are about to be replaced or deleted out of the list; return what it said of them."""
    known = read(folder)
    gone = {name: known.pop(name) for name in names if name in known}
    if gone:
        _write(folder, known)
    return gone


def note(folder: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Put files that were written into the list."""
    _write(folder, {**read(folder), **found})


def _write(folder: Path, known: Mapping[str, Mapping[str, Any]]) -> None:
    path = folder / NAME
    there = {name: known[name] for name in sorted(known) if (folder / name).exists()}
    temporary = path.with_name(f".{NAME}.tmp")
    # A full disk is told by the checkpoint itself; nothing depends on the list.
    with contextlib.suppress(OSError):
        if not there:
            path.unlink(missing_ok=True)
            return
        temporary.write_text(json.dumps(there, indent=2), encoding="utf-8")
        temporary.replace(path)
