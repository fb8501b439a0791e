"""Which checkpoints become versions of a model beside the run, as `--artifacts` says, and with which facts.

How a tracker stores a version is its own affair; the checkpoints stay where they are.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade import __version__, checkpoint_index
from jade.checkpoint_index import BACKUP, BEST, number_of
from jade.config import Config
from jade.record import Record
from jade.schedule import Schedule
from jade.tracking.base import Tracker, Version

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Publishing:
    """Makes checkpoints of one run versions of a model.

    Attributes:
        tracker: stores the versions.
        record: the run's folder.
        schedule: says which.
        config: says of which class the model is.
        sweep: that the run is a trial of, as the tracker gives it.
    """

    tracker: Tracker
    record: Record
    schedule: Schedule
    config: Config
    sweep: Mapping[str, Any]

    def keep(self, path: Path) -> None:
        """Take a checkpoint that was written just now: each that is kept is a version, if all are to be."""
        if self.schedule.artifacts == "all" and number_of(path.name) is not None:
            self._publish(path, self.schedule.kept)

    def end(self) -> None:
        """Take what a run leaves: its best state, and the last one where all are to be versions.

        A best state that another one replaces a moment later is no version.
        """
        wanted = {"best": (BEST,), "all": (BEST, BACKUP)}.get(self.schedule.artifacts, ())
        for name in wanted:
            if (self.record.directory / name).is_file():
                self._publish(self.record.directory / name, self.schedule.kept, is_last=True)
            elif self.schedule.artifacts == "best":
                _log.warning("--artifacts best: no metric has chosen a best state, so there is no version.")

    def _publish(self, path: Path, kept: int | None, *, is_last: bool = False) -> None:
        sweep = str(self.sweep.get("path") or "").rpartition("/")[2]
        is_alone = self.schedule.artifacts == "best"
        self.tracker.publish(
            Version(
                model=f"model-{sweep if is_alone and sweep else self.record.run_id}",
                checkpoint=path,
                files=tuple(self.record.files()),
                metadata=self._said(path.name),
                is_best=path.name == BEST,
                competes=is_alone,
                kept=self.schedule.kept_artifacts if is_alone else kept,
                is_last=is_last,
            )
        )

    def _said(self, name: str) -> dict[str, Any]:
        facts = checkpoint_index.read(self.record.directory).get(name, {})
        return {
            "jade": __version__,
            "class": self.config.values["model"]["class"],
            "file": name,
            **{key: value for key, value in facts.items() if key != "time"},
        }
