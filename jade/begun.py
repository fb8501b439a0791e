"""The weights that a run began with, where they were another run's: `init.pt`, in the run's own folder.

Written before the first step, and no checkpoint: nothing goes on from it. When the run goes on, `warm` gives
them to its trainer again, for the other run may be gone, or have trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jade import checkpoint, state
from jade.checkpoint_index import BEGINNING
from jade.errors import CheckpointError
from jade.trainer import Trainer


@dataclass(frozen=True)
class Begun:
    """How a run began, which is to begin so again.

    Attributes:
        file: that keeps what it took then; it need not be there.
        facts: what the run has recorded of it; empty if it has not.
        goes_on: whether there is a checkpoint to go on from, which has the weights that came of them.
    """

    file: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    goes_on: bool = False


def keep(folder: Path, trainer: Trainer, facts: Mapping[str, Any]) -> None:
    """Write what a trainer has taken into the run's folder, whole or not at all.

    Args:
        folder: of the run.
        trainer: that has made no step yet.
        facts: what is recorded of it; `attributes` are the names of what was taken.

    Raises:
        CheckpointError: if the file cannot be written.
    """
    states = state.of(trainer)
    found = {
        "run": folder.name,
        "format": checkpoint.FORMAT,
        "iterations": 0,
        "epochs": 0,
        "attributes": {name: states[name] for name in facts["attributes"]},
        "init_from": dict(facts),
    }
    checkpoint.write(folder / BEGINNING, found)


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what was taken, by the name of the attribute, and what was recorded of it.

    Raises:
        CheckpointError: if the file is missing or damaged, or another one.
    """
    if not path.exists():
        raise CheckpointError(f"{path} is missing.")
    found = checkpoint.read(path)
    facts = found.get("init_from")
    if not isinstance(facts, dict):
        raise CheckpointError(f"{path} does not say with whose weights a run began.")
    return {name: state.read_back(value) for name, value in found["attributes"].items()}, facts
