"""A tracker that writes to the run's folder and nowhere else: no account, no network, no extra process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jade.entries import Entry
from jade.record import Record
from jade.tracking.base import Version


class LocalTracker:
    """Follows a run in its folder.

    Args:
        record: the run's folder.
    """

    def __init__(self, record: Record) -> None:
        self._record = record

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._record.run_id

    @property
    def directory(self) -> Path:
        """The run's folder."""
        return self._record.directory

    @property
    def changes_params(self) -> bool:
        """False: there is nobody to change them."""
        return False

    def start(
        self, flat: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Return `flat` as it is."""
        return dict(flat)

    def sweep(self) -> None:
        """Return None: no sweep is asked."""

    def describe(self, flat: Mapping[str, Any]) -> None:
        """Do nothing: they are in the folder already."""

    def uses(self, artifact: str) -> None:
        """Do nothing: it is in the folder already."""

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> None:
        """Append a row to `metrics.jsonl`, and what is not a number to `media/`."""
        self._record.log(entries, iterations, epochs)

    def best(self, values: Mapping[str, float]) -> None:
        """Do nothing: they are in the status."""

    def keep(self, path: Path) -> None:
        """Do nothing: the file is where it belongs."""

    def drop(self, path: Path) -> None:
        """Do nothing: the file is deleted already."""

    def publish(self, version: Version) -> None:
        """Do nothing: there are no models beside the runs."""

    def mark_preempting(self) -> None:
        """Do nothing: there is nobody to tell."""

    def was_stopped(self) -> bool:
        """Return False: there is no server."""
        return False

    def tell(self, text: str) -> None:
        """Do nothing: the program prints it."""

    def finish(self, status: str, exit_code: int) -> None:
        """Do nothing: the status is in the folder already."""

    def way_to_it(self) -> str | None:
        """Return None."""
        return None
