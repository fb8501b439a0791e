"""Which trials were under way when everything ended, and have nobody who works on them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from jade import lock
from jade.trials import Trial

_BEGUN = ("running", "pending", "preempted", "crashed")
# What a run's own folder says of it if it neither reached its end nor failed.
_UNFINISHED = ("running", "stopped", None)


def lost(handed_out: Iterable[str], trials: Iterable[Trial], root: Path) -> Iterator[tuple[str, bool]]:
    """Yield the runs that agents of this machine were given and that ended with them, not by themselves.

    A run that still has its process is not lost; nor is one that has no folder here, if the server knows it:
    its process may live.

    Args:
        handed_out: the runs that the agents were given; all of these have ended.
        trials: the sweep, as the server has it.
        root: the experiments folder.

    Yields:
        The id, and whether the server knows the run.
    """
    states = {trial.run_id: trial.state for trial in trials}
    for run in handed_out:
        state, folder = states.get(run), root / run
        if lock.is_owned(folder):
            continue
        said = _said(folder)
        is_here = folder.is_dir()
        if state is None and said in _UNFINISHED:
            yield run, False
        # A run that was stopped by a signal is entered as failed, as one that has a fault.
        elif is_here and (
            (state in _BEGUN and said in _UNFINISHED) or (state == "failed" and said == "stopped")
        ):
            yield run, True


def _said(folder: Path) -> str | None:
    try:
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(status.get("status")) if isinstance(status, dict) else None
