"""Which checkpoints a stored run has, by what is listed and said of them; none of them is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jade import checkpoint_index, scalars
from jade.stored.source import Source


@dataclass(frozen=True)
class StoredCheckpoint:
    """One checkpoint of a run.

    Attributes:
        name: of its file.
        iterations: training steps done when it was written; None where only the file itself says it.
        epochs: passes done then.
        size: of the file, in bytes.
        time: when it was written, seconds since 1970.
        metric: by which it is the best one, if it is.
        value: of the metric.
    """

    name: str
    iterations: int | None
    epochs: int | None
    size: int
    time: float | None
    metric: str | None = None
    value: float | None = None


def listed(source: Source) -> list[StoredCheckpoint]:
    """Return the checkpoints of a run, the oldest first; nothing of them is read or fetched.

    Raises:
        JadeError: if the files of the run cannot be listed.
    """
    files = source.files()
    said = _said(source) if checkpoint_index.NAME in files else {}
    found = []
    for name, file in files.items():
        if not checkpoint_index.is_checkpoint(name):
            continue
        known = said.get(name, {})
        number, time = checkpoint_index.number_of(name), scalars.number(known.get("time"))
        found.append(
            StoredCheckpoint(
                name,
                scalars.whole(known.get("iterations")) if number is None else number,
                scalars.whole(known.get("epochs")),
                file.size,
                file.modified if time is None else time,
                str(known["metric"]) if known.get("metric") else None,
                scalars.number(known.get("value")),
            )
        )
    return sorted(found, key=lambda one: (one.iterations is None, one.iterations or 0, one.name))


def _said(source: Source) -> Mapping[str, Mapping[str, Any]]:
    source.fetch([checkpoint_index.NAME])
    return checkpoint_index.read(source.folder)
