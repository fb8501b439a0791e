"""Where the loop writes: the tracker, the run's status, and what the person at the terminal sees.

One `log` reaches all three, so that they cannot disagree.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jade.entries import Entry
from jade.progress import Progress
from jade.record import Record
from jade.summary import BEST, Metrics, Series
from jade.tracking.base import Tracker

STATUS_SECONDS = 1.0


class Journal:
    """Writes down what happens in one run.

    Args:
        tracker: follows the run.
        record: the run's folder, whose status is kept up to date.
        progress: what is shown while the run trains.

    Attributes:
        kept: called with each file that was handed to the tracker.
    """

    def __init__(self, tracker: Tracker, record: Record, progress: Progress) -> None:
        self.metrics = Metrics()
        self.progress = progress
        self.kept: Callable[[Path], None] = lambda path: None
        self._tracker = tracker
        self._record = record
        self._status_written = 0.0
        self._began = time.monotonic()
        self._began_at = 0

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._record.run_id

    def state(self) -> dict[str, Any]:
        """Return how much was written, safely on disk, and the metrics so far, as a checkpoint keeps them."""
        self._record.sync()
        series = {name: asdict(found) for name, found in self.metrics.series.items()}
        return {"rows": self._record.rows, "runtime": self._record.runtime, "metrics": series}

    def continue_from(self, state: Mapping[str, Any], iterations: int) -> None:
        """Go on from what `state` gave; the rows are back at that point already."""
        self.metrics.series = {name: Series(**found) for name, found in state["metrics"].items()}
        self._show_best({name: series.best for name, series in self.metrics.series.items()})
        self._began, self._began_at = time.monotonic(), iterations

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> None:
        """Log entries at a point of the training."""
        self._tracker.log(entries, iterations, epochs)
        numbers = {entry.name: float(entry.value) for entry in entries if entry.kind == "scalar"}
        add = self.metrics.add
        self._show_best({name: value for name, value in numbers.items() if add(name, value, iterations)})
        self.progress.show(numbers)
        self.at(iterations, epochs)

    def _show_best(self, values: Mapping[str, float]) -> None:
        # What cannot be ordered is no best value, and a metric that the user calls X/best is the user's.
        known = self.metrics.series
        best = {name: v for name, v in values.items() if math.isfinite(v) and f"{name}{BEST}" not in known}
        if best:
            self._tracker.best(best)

    def at(self, iterations: int, epochs: int) -> None:
        """Bring the status up to date, at most once a second."""
        now = time.monotonic()
        if now - self._status_written >= STATUS_SECONDS:
            self._status_written = now
            self.status("running", iterations, epochs)

    def status(self, status: str, iterations: int, epochs: int) -> None:
        """Write the status now, with the last and best value of each metric."""
        values = {
            name: {
                "last": series.last,
                "best": series.best,
                "best_at": series.best_at,
                "mode": "max" if series.more_is_better else "min",
            }
            for name, series in self.metrics.series.items()
        }
        passed = time.monotonic() - self._began
        facts = {"iterations": iterations, "epochs": epochs, "runtime": round(self._record.runtime, 3)}
        if iterations > self._began_at and passed > 0:
            facts["iterations_per_second"] = round((iterations - self._began_at) / passed, 3)
        self._record.update_status(status, **facts, metrics=values)

    def keep(self, path: Path) -> None:
        """Hand a file of the run's folder to the tracker, with what says how far the run has come."""
        self._tracker.keep(path)
        for beside in self._record.reports():
            self._tracker.keep(beside)
        self.kept(path)

    def drop(self, path: Path) -> None:
        """Tell the tracker that a file was deleted."""
        self._tracker.drop(path)
