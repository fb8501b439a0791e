"""The metrics of a run as its page shows them: their order, their last and best values, small pictures."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jade.server import curves, runs
from jade.server.curves import Curve
from jade.server.filters import MISSING, inside

MOST = 100  # metrics that are shown
COUNTERS = ("epochs", "iterations", "row")
_WIDTH, _HEIGHT = 300, 100  # of a picture, in its own units
BEST = "/best"


@dataclass(frozen=True)
class Metric:
    """One metric of a run.

    Attributes:
        name: under which it was logged.
        last: its last value.
        best: as the run itself has noted it; None if it has not.
        least: of all values.
        most: of all values.
        is_of_sweep: whether the run's sweep is about it.
    """

    name: str
    last: float | None
    best: float | None
    least: float | None
    most: float | None
    is_of_sweep: bool


def names(db: sqlite3.Connection, run: int, config: Mapping[str, Any], first: str | None) -> list[str]:
    """Return the metrics of a run: its sweep's, its losses, then its evaluations."""
    known = [key for key in curves.keys(db, [run]) if key not in COUNTERS]
    evaluations = {key.split(".")[1] for key in config if key.startswith("eval.") and key.count(".") > 1}
    if isinstance(config.get("eval"), Mapping):
        evaluations |= set(config["eval"])

    def place(key: str) -> tuple[bool, bool, str]:
        return key != first, _is_evaluation(key, evaluations), key.lower()

    return sorted(known, key=place)


def _is_evaluation(key: str, evaluations: Collection[str]) -> bool:
    """Say whether an evaluation has logged a key; without a word on that, whether it is called no loss."""
    if evaluations:
        return key.partition("/")[0] in evaluations
    return "loss" not in key.lower()


def of_run(
    known: Mapping[str, Curve], ordered: Sequence[str], summary: Mapping[str, Any], first: str | None
) -> list[Metric]:
    """Return metrics with their values.

    Args:
        known: the run's curves, by key.
        ordered: the keys that are wanted.
        summary: of the run.
        first: the metric of its sweep.
    """
    return [
        Metric(
            name,
            _last(known.get(name), _number(summary, name)),
            _number(summary, name + BEST),
            known[name].least if name in known else None,
            known[name].most if name in known else None,
            name == first,
        )
        for name in ordered
    ]


def _last(curve: Curve | None, said: float | None) -> float | None:
    """Return the last value of a metric: no curve holds one that is not finite, only the summary says it."""
    if curve is None or (said is not None and not math.isfinite(said)):
        return said
    return curve.y[-1]


def others(summary: Mapping[str, Any], ordered: Collection[str]) -> list[tuple[str, Any]]:
    """Return what else a summary says: texts, and numbers that no row has, but no files."""
    shown, names = [], {*ordered, *COUNTERS}
    for key, value in sorted(summary.items()):
        is_known = key in names or key.removesuffix(BEST) in names
        if not is_known and not key.startswith("_") and not isinstance(value, Mapping | list):
            shown.append((key, value))
    return shown


def _number(summary: Mapping[str, Any], key: str) -> float | None:
    value = inside(summary, key)
    return None if value is MISSING else runs.number_or_none(value)


def pictures(drawn: Sequence[Curve]) -> list[str]:
    """Return lines for an SVG of 300 x 100 units: the points of each curve, on common axes."""
    x = [value for curve in drawn for value in curve.x]
    y = [value for curve in drawn for value in curve.y]
    if not x:
        return []
    (left, width), (low, height) = _extent(x), _extent(y)
    return [
        " ".join(
            f"{(at - left) / width * _WIDTH:.1f},{_HEIGHT - (value - low) / height * _HEIGHT:.1f}"
            for at, value in zip(curve.x, curve.y, strict=True)
        )
        for curve in drawn
    ]


def _extent(values: Sequence[float]) -> tuple[float, float]:
    """Return the least value, and how far the greatest is above it."""
    least, width = min(values), max(values) - min(values)
    return least, width if 0 < width < math.inf else 1.0
