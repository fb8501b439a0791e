"""Points of the curves on a run's page: of whole runs as `curves` keeps them, of a range from the rows.

What `curves` keeps is quick to get and leaves rows out; of a range the rows themselves are read, and where
there are too many of them to draw, the least and the greatest of neighbors stay.
"""

from __future__ import annotations

import bisect
import itertools
import json
import math
import re
import sqlite3
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jade.server import curves, runs
from jade.server.filters import inside
from jade.server.runs import HISTORY, number_or_none

AXES = ("iterations", "epochs", "time")
MOST_POINTS = 1200  # of one curve within a range: about one for each pixel
_ANCHORS = 200  # rows that say which epoch and second an iteration belongs to
_SPARE = 2  # anchors before and behind a range
_PARSED_AT_ONCE = 500  # rows; fewer if they are long
_TEXT_AT_ONCE = 1 << 20
# Where each axis is found in a row; the first that is there counts.
_KEYS: Mapping[str, Sequence[str]] = {
    "iterations": ("iterations", "_step"),
    "epochs": ("epochs", "epoch"),
    "time": ("_runtime",),
}
_PLAIN = re.compile(r"[A-Za-z0-9_ -]+")  # characters that JSON writes as they are, whoever writes it


@dataclass(frozen=True)
class Points:
    """Some points of one curve, from the left to the right."""

    x: list[float]
    y: list[float]


def axes(db: sqlite3.Connection, run: int) -> dict[str, str]:
    """Return over what the curves of a run can be drawn, and what it is called."""
    anchors = [row for _, row in _anchors(db, run)]
    found = [axis for axis in AXES if any(_at(row, axis) is not None for row in anchors)]
    has_iterations = any("iterations" in row for row in anchors)
    return {axis: "steps" if axis == "iterations" and not has_iterations else axis for axis in found}


def whole(
    db: sqlite3.Connection, chosen: Sequence[int], keys: Sequence[str], axis: str
) -> dict[str, dict[int, Points]]:
    """Return the curves of some runs, by key and id of the run, down-sampled.

    Args:
        db: the transaction.
        chosen: ids of the runs.
        keys: of what they have logged.
        axis: one of `AXES`; runs that cannot be drawn over it are left out.
    """
    scales = {run: _Scale(_anchors(db, run), axis) for run in chosen} if axis != "iterations" else {}
    return {
        key: {
            run: _ordered(curve.x if axis == "iterations" else scales[run].moved(curve.x), curve.y)
            for run, curve in of_key.items()
            if axis == "iterations" or scales[run].is_known
        }
        for key, of_key in curves.of_keys(db, chosen, keys).items()
    }


def _ordered(x: list[float], y: list[float]) -> Points:
    """Return points from the left to the right: an evaluation may log a value for an earlier iteration."""
    if all(one <= other for one, other in itertools.pairwise(x)):
        return Points(x, y)
    order = sorted(range(len(x)), key=x.__getitem__)
    return Points([x[i] for i in order], [y[i] for i in order])


def within(
    db: sqlite3.Connection, run: int, keys: Sequence[str], axis: str, between: tuple[float, float]
) -> dict[str, Points]:
    """Return the points of a run in a range of an axis, by key: at most `MOST_POINTS` of each."""
    low, high = between
    found = {key: (array("d"), array("d")) for key in keys}
    for row in _rows(db, run, keys, _numbers(db, run, axis, between)):
        x = _at(row, axis)
        if x is None or not low <= x <= high:
            continue
        for key, (all_x, all_y) in found.items():
            y = _finite(row[key] if key in row else inside(row, key))
            if y is not None:
                all_x.append(x)
                all_y.append(y)
    return {key: _thinned(*points) for key, points in found.items()}


def _thinned(x: Sequence[float], y: Sequence[float]) -> Points:
    order = sorted(range(len(x)), key=x.__getitem__)
    kept = [order[i] for i in spread([y[i] for i in order], MOST_POINTS)]
    return Points([x[i] for i in kept], [y[i] for i in kept])


def spread(values: Sequence[float], most: int) -> list[int]:
    """Return which of some values to keep so that their outline stays: all, or the extremes of neighbors."""
    count = len(values)
    if count <= most:
        return list(range(count))
    size = math.ceil(count / (most // 2 - 1))
    kept = {0, count - 1}
    for begin in range(0, count, size):
        part = range(begin, min(begin + size, count))
        kept |= {min(part, key=values.__getitem__), max(part, key=values.__getitem__)}
    return sorted(kept)


def _rows(
    db: sqlite3.Connection, run: int, keys: Sequence[str], numbers: tuple[int, int]
) -> Iterator[Mapping[str, Any]]:
    """Give the rows that may hold a key; of one key, SQLite passes over most others without parsing them."""
    plain = max(_PLAIN.findall(keys[0]), key=len, default="") if len(keys) == 1 else ""
    cursor = db.execute(
        "SELECT text FROM lines WHERE run = ? AND file = ? AND number BETWEEN ? AND ? AND instr(text, ?)"
        " ORDER BY number",
        (run, HISTORY, *numbers, plain),
    )
    some: list[str] = []
    size = 0
    for (text,) in cursor:
        some.append(text)
        size += len(text)
        if len(some) == _PARSED_AT_ONCE or size >= _TEXT_AT_ONCE:
            yield from json.loads(f"[{','.join(some)}]")
            some, size = [], 0
    yield from json.loads(f"[{','.join(some)}]")


def _numbers(db: sqlite3.Connection, run: int, axis: str, between: tuple[float, float]) -> tuple[int, int]:
    """Return the numbers of the rows among which those of a range are: what is logged later lies further on.

    A row may belong to an earlier iteration than the one before it: some more rows are looked through.
    """
    anchors = [(number, x) for number, row in _anchors(db, run) if (x := _at(row, axis)) is not None]
    first = next((i for i, (_, x) in enumerate(anchors) if x >= between[0]), len(anchors)) - _SPARE
    last = next((i for i, (_, x) in enumerate(anchors) if x > between[1]), len(anchors)) + _SPARE
    return (
        anchors[first][0] if first > 0 else 0,
        anchors[last][0] if last < len(anchors) else runs.MOST_LINES,
    )


def _anchors(db: sqlite3.Connection, run: int) -> list[tuple[int, Mapping[str, Any]]]:
    """Return rows at even distances with their numbers, the first and the last among them."""
    last = runs.next_line(db, run, HISTORY) - 1
    numbers = sorted({round(last * i / (_ANCHORS - 1)) for i in range(_ANCHORS)}) if last >= 0 else []
    rows = db.execute(
        "SELECT number, text FROM lines WHERE run = ? AND file = ?"
        " AND number IN (SELECT value FROM json_each(?)) ORDER BY number",
        (run, HISTORY, json.dumps(numbers)),
    )
    return [(number, _of_axes(json.loads(text))) for number, text in rows]


def _of_axes(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a row says of the axes: the rest of it may be long."""
    return {key: row[key] for keys in _KEYS.values() for key in keys if key in row}


def _finite(value: object) -> float | None:
    number = value if type(value) is float else number_or_none(value)
    return number if number is not None and math.isfinite(number) else None


def _at(row: Mapping[str, Any], axis: str) -> float | None:
    for key in _KEYS[axis]:
        value = _finite(row.get(key))
        if value is not None:
            return value
    return None


class _Scale:
    """Tells to which epoch or second an iteration belongs, between rows that say both."""

    def __init__(self, anchors: Sequence[tuple[int, Mapping[str, Any]]], axis: str) -> None:
        self._x: list[float] = []
        self._y: list[float] = []
        for _, row in anchors:
            x, y = _at(row, "iterations"), _at(row, axis)
            if x is None or y is None or (self._x and x <= self._x[-1]):
                continue
            self._x.append(x)
            self._y.append(y)

    @property
    def is_known(self) -> bool:
        return bool(self._x)

    def moved(self, x: Sequence[float]) -> list[float]:
        return [self._moved(one) for one in x]

    def _moved(self, x: float) -> float:
        after = bisect.bisect_left(self._x, x)
        if after == len(self._x) or after == 0:
            return self._y[min(after, len(self._x) - 1)]
        low, high = self._x[after - 1], self._x[after]
        share = (x / 2 - low / 2) / (high / 2 - low / 2)  # a difference of two floats may be none
        return (1 - share) * self._y[after - 1] + share * self._y[after]
