"""The numbers that a run logged, as columns: `metrics.jsonl` read back for notebooks and pictures.

Nothing in the file is executed; a line that is damaged or half written is passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jade.errors import CheckpointError
from jade.texts import plain

Column = npt.NDArray[Any]
WHOLE = ("iterations", "epochs")
COUNTERS = (*WHOLE, "time", "runtime")


class UnknownMetricError(CheckpointError, KeyError):
    """A metric that was never logged: what a mapping raises for a missing key, told as a user reads it."""

    __str__ = CheckpointError.__str__


class History(Mapping[str, Column]):
    """Columns of the same length, one row for each time that the run logged.

    `iterations` and `epochs` are whole numbers; `time` is in seconds since 1970, `runtime` in seconds of the
    run; each metric is NaN in the rows in which it was not logged.

    Args:
        columns: the counters and the metrics by their names.
    """

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> Column:
        try:
            return self._columns[name]
        except KeyError:
            raise UnknownMetricError(
                f"The run has logged no {name!r}.", wanted=name, choices=self._columns
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return plain(f"History({self.rows} rows; {', '.join(self.metrics) or 'no metric'})")

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self._columns["iterations"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, in the order in which they were first logged."""
        return tuple(name for name in self._columns if name not in COUNTERS)

    def of(self, *names: str) -> History:
        """Return these metrics only, in the rows in which one of them at least was logged.

        A value that was logged as NaN cannot be told from one that was not.

        Raises:
            UnknownMetricError: if a metric was never logged; the nearest one is named.
        """
        columns = {name: self[name] for name in (*COUNTERS, *names)}
        there = np.zeros(self.rows, dtype=bool)
        for name in names:
            there |= ~np.isnan(columns[name])
        return History({name: column[there] for name, column in columns.items()})


def read(path: Path) -> History:
    """Return what a run has logged; nothing but the empty counters if there is no such file yet.

    Args:
        path: of `metrics.jsonl`.

    Raises:
        CheckpointError: if the file is there and cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from None
    return of_rows(row for line in text.split("\n") if (row := _row(line)) is not None)


def of_rows(rows: Iterator[Mapping[str, Any]]) -> History:
    """Return rows as `record` writes them as columns."""
    kept = list(rows)
    columns: dict[str, Column] = {name: _counter(name, kept) for name in COUNTERS}
    for number, row in enumerate(kept):
        for name, value in row["metrics"].items():
            found = _number(value)
            if found is None:
                continue
            # A metric may have a counter's name; the counter keeps it.
            key = name if name not in COUNTERS else f"{name} (metric)"
            if key not in columns:
                columns[key] = np.full(len(kept), math.nan)
            columns[key][number] = found
    return History(columns)


def _counter(name: str, rows: Sequence[Mapping[str, Any]]) -> Column:
    values = [_number(row.get(name)) for row in rows]
    column = np.array([math.nan if value is None else value for value in values], dtype=np.float64)
    return column.astype(np.int64) if name in WHOLE and np.isfinite(column).all() else column


def _row(line: str) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("metrics"), dict) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number that no float reaches
        return None
