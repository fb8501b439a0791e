"""Curves: what runs have logged under each numeric key, down-sampled as it is written.

A curve is written in the transaction that writes its rows, so that a page of many runs reads no rows. It is
what `_Growing` makes of them from the first to the last: points at even distances, and the last one.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

HISTORY = "wandb-history.jsonl"
MOST_POINTS = 256
MOST_KEYS = 2000  # of one run: those that come first
LONGEST_KEY = 512
_MOST_SAMPLED = MOST_POINTS - 1  # beside the last point
_UNNAMED = re.compile(r"[\x00-\x1f\ud800-\udfff]")  # what SQLite's JSON and UTF-8 do not take

Numbers = tuple[float, Mapping[str, float]]  # of one row: where it is, and what it has for curves


@dataclass(frozen=True)
class Curve:
    """What one run has logged under one key, without NaN and infinities.

    Attributes:
        x: `iterations` of the row if it has them, else its step.
        y: the values; at most `MOST_POINTS`, the last of all among them.
        least: the least value of all that were ever logged.
        most: the greatest of them.
    """

    x: list[float]
    y: list[float]
    least: float
    most: float


def of_runs(db: sqlite3.Connection, runs: Sequence[int], key: str) -> dict[int, Curve]:
    """Return the curves of one key, by the id of the run; runs without the key are missing."""
    return of_keys(db, runs, [key])[key]


def of_keys(db: sqlite3.Connection, runs: Sequence[int], keys: Sequence[str]) -> dict[str, dict[int, Curve]]:
    """Return the curves of some keys, by key and id of the run."""
    found = {key: _stored(db, runs, key) for key in keys}
    for run in _rewritten(db, runs):  # its rows are read once, for all keys
        known = _from_lines(db, run)
        for key in known.keys() & found.keys():
            found[key][run] = known[key].curve()
    return found


def _stored(db: sqlite3.Connection, runs: Sequence[int], key: str) -> dict[int, Curve]:
    rows = db.execute(
        "SELECT * FROM curves WHERE key = ? AND run IN (SELECT value FROM json_each(?))",
        (key, json.dumps(runs)),
    )
    return {row["run"]: _Growing.of(row).curve() for row in rows}


def keys(db: sqlite3.Connection, runs: Sequence[int]) -> list[str]:
    """Return the keys under which any of the runs has logged a number, sorted."""
    rows = db.execute(
        "SELECT DISTINCT key FROM curves WHERE run IN (SELECT value FROM json_each(?))", (json.dumps(runs),)
    )
    found = {row["key"] for row in rows}
    for run in _rewritten(db, runs):
        found |= _from_lines(db, run).keys()
    return sorted(found)


def numbers(line: int, row: Mapping[str, Any]) -> Numbers:
    """Return what a row has for curves, given the number of its line."""
    found = ((key, _finite(value)) for key, value in _flat(row).items() if _is_shown(key))
    return _x(line, row), dict(islice(((key, y) for key, y in found if y is not None), MOST_KEYS))


def extend(db: sqlite3.Connection, run: int, rows: Sequence[Numbers]) -> None:
    """Add the numbers of rows to the curves of a run, after those that it has."""
    wanted = {key for _, values in rows for key in values}
    if not wanted:
        return
    known = {
        row["key"]: _Growing.of(row)
        for row in db.execute(
            "SELECT * FROM curves WHERE run = ? AND key IN (SELECT value FROM json_each(?))",
            (run, json.dumps(list(wanted))),
        )
    }
    room = 0
    if len(known) < len(wanted):
        room = MOST_KEYS - db.execute("SELECT COUNT(*) FROM curves WHERE run = ?", (run,)).fetchone()[0]
    _grow(known, rows, room)
    _store(db, run, known)


def _store(db: sqlite3.Connection, run: int, grown: Mapping[str, _Growing]) -> None:
    db.executemany(
        "INSERT INTO curves VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, key) DO UPDATE SET"
        " count = excluded.count, least = excluded.least, most = excluded.most, last_x = excluded.last_x,"
        " last_y = excluded.last_y, points = excluded.points",
        ((run, key, *growing.columns()) for key, growing in grown.items()),
    )


def note_rewritten(db: sqlite3.Connection, run: int) -> None:
    """Note that rows of a run were written over or between others: its curves are read from its rows.

    The client does not do this. To make the curves anew with each such post would let one run hold up all.
    """
    forget(db, run)
    db.execute("INSERT INTO rewritten VALUES (?)", (run,))


def is_rewritten(db: sqlite3.Connection, run: int) -> bool:
    """Say whether the curves of a run are read from its rows."""
    return bool(_rewritten(db, [run]))


def forget(db: sqlite3.Connection, run: int) -> None:
    """Delete the curves of a run that begins anew."""
    db.execute("DELETE FROM curves WHERE run = ?", (run,))
    db.execute("DELETE FROM rewritten WHERE run = ?", (run,))


def mend(db: sqlite3.Connection) -> None:
    """Make the curves of all runs whose rows were rewritten."""
    for (run,) in db.execute("SELECT run FROM rewritten").fetchall():
        made = _from_lines(db, run)
        forget(db, run)
        _store(db, run, made)


def _rewritten(db: sqlite3.Connection, runs: Sequence[int]) -> list[int]:
    query = "SELECT run FROM rewritten WHERE run IN (SELECT value FROM json_each(?))"
    return [row["run"] for row in db.execute(query, (json.dumps(runs),))]


def _from_lines(db: sqlite3.Connection, run: int) -> dict[str, _Growing]:
    known: dict[str, _Growing] = {}
    _grow(known, _rows(db, run), MOST_KEYS)
    return known


def _rows(db: sqlite3.Connection, run: int) -> Iterator[Numbers]:
    query = "SELECT number, text FROM lines WHERE run = ? AND file = ? ORDER BY number"
    for number, text in db.execute(query, (run, HISTORY)):
        yield numbers(number, json.loads(text))


class _Growing:
    """A curve that points are added to; which ones it keeps depends on their number alone."""

    def __init__(self) -> None:
        self.count = 0
        self.stride = 1
        self.least, self.most = math.inf, -math.inf
        self.last = (0.0, 0.0)
        self.points = array("d")  # x and y of each in turn

    @classmethod
    def of(cls, row: sqlite3.Row) -> _Growing:
        """Return the curve of a row."""
        growing = cls()
        growing.count, growing.least, growing.most = row["count"], row["least"], row["most"]
        growing.last = row["last_x"], row["last_y"]
        growing.points.frombytes(row["points"])
        while growing.count > growing.stride * _MOST_SAMPLED:
            growing.stride *= 2
        return growing

    def add(self, x: float, y: float) -> None:
        """Add a point."""
        if self.count % self.stride == 0:
            self.points.extend((x, y))
        if len(self.points) > 2 * _MOST_SAMPLED:
            kept = zip(self.points[::4], self.points[1::4], strict=True)
            self.points = array("d", [value for point in kept for value in point])
            self.stride *= 2
        self.count += 1
        self.last = x, y
        self.least, self.most = min(self.least, y), max(self.most, y)

    def columns(self) -> tuple[int, float, float, float, float, bytes]:
        """Return what is stored of it."""
        return self.count, self.least, self.most, *self.last, self.points.tobytes()

    def curve(self) -> Curve:
        """Return it as it is shown."""
        is_last_kept = (self.count - 1) % self.stride == 0
        last_x, last_y = ([], []) if is_last_kept else ([value] for value in self.last)
        return Curve([*self.points[::2], *last_x], [*self.points[1::2], *last_y], self.least, self.most)


def _grow(known: dict[str, _Growing], rows: Iterable[Numbers], room: int) -> None:
    """Add rows to the curves of their keys, of which so many may be new; one row at a time is in memory."""
    for x, values in rows:
        for key, y in values.items():
            if key not in known:
                if room <= 0:
                    continue
                room -= 1
                known[key] = _Growing()
            known[key].add(x, y)


def _is_shown(key: str) -> bool:
    return not key.startswith("_") and len(key) <= LONGEST_KEY and not _UNNAMED.search(key)


def _x(number: int, row: Mapping[str, Any]) -> float:
    found = (_finite(row.get(key)) for key in ("iterations", "_step"))
    return next((x for x in found if x is not None), float(number))


def _flat(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row without levels: {"a": {"b": 1}} becomes {"a.b": 1}, as `filters.inside` finds it."""
    if not any(isinstance(value, dict) for value in row.values()):
        return row
    flat: dict[str, Any] = {}
    _flatten(row, "", flat)
    return flat


def _flatten(values: Mapping[str, Any], prefix: str, flat: dict[str, Any]) -> None:
    # Where two paths read the same, the one whose first key is longest counts.
    for key in sorted(values, key=len, reverse=True):
        value, path = values[key], prefix + key
        if not isinstance(value, dict):
            flat.setdefault(path, value)
        elif "_type" not in value and len(path) < LONGEST_KEY:  # what has a type is an image, a histogram, …
            _flatten(value, f"{path}.", flat)


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
