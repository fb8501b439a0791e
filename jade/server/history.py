"""The logged rows of a run: by step, sampled, of some keys, and which keys there are."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from jade.server.runs import HISTORY, MOST_STEPS, RefusedError

DEFAULT_SAMPLES = 500


def between(
    db: sqlite3.Connection, run: int, low: float | None, high: float | None, samples: int | None
) -> list[str]:
    """Return the rows with `low` <= step < `high` as they were streamed, at most `samples` of them.

    Rows are left out evenly if there are more; the last one stays.
    """
    bounds = (run, HISTORY, _number(low, 0.0), _number(high, float(MOST_STEPS)))
    where = "run = ? AND file = ? AND step >= ? AND step < ?"
    count = db.execute(f"SELECT COUNT(*) FROM lines WHERE {where}", bounds).fetchone()[0]
    stride = _stride(count, samples)
    numbered = f"SELECT text, ROW_NUMBER() OVER (ORDER BY number) AS place FROM lines WHERE {where}"
    query = f"SELECT text FROM ({numbered}) WHERE (? - place) % ? = 0"
    return [row[0] for row in db.execute(query, (*bounds, count, stride))]


def sampled(db: sqlite3.Connection, run: int, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that hold all `keys` of a spec, of them only these, at most `samples`.

    Args:
        db: the transaction.
        run: the run.
        spec: `keys`, `samples`, `minStep` and `maxStep`, which belongs to the range here.
    """
    keys, high = _spec_keys(spec), spec.get("maxStep")
    lines = between(db, run, spec.get("minStep"), None if high is None else _number(high, 0.0) + 1, None)
    rows = [row for row in map(json.loads, lines) if all(key in row for key in keys)]
    stride = _stride(len(rows), int(_number(spec.get("samples"), 0.0)) or DEFAULT_SAMPLES)
    chosen = rows[::-1][::stride][::-1]
    return [{key: row[key] for key in keys} if keys else row for row in chosen]


def _spec_keys(spec: object) -> Sequence[str]:
    keys = (spec.get("keys") or []) if isinstance(spec, Mapping) else None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RefusedError(f"{str(spec)[:100]} does not say of which keys rows are wanted.")
    return keys


def _number(value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_STEPS:
        raise RefusedError(f"{str(value)[:100]!r} is no step, and no number of rows.")
    return float(value)


def keys(db: sqlite3.Connection, run: int) -> dict[str, Any]:
    """Return the keys of a run's rows, how many rows hold each, of which kinds, and the last step."""
    known: dict[str, dict[str, Any]] = {}
    last = -1.0
    for line, step in db.execute(
        "SELECT text, step FROM lines WHERE run = ? AND file = ? ORDER BY number", (run, HISTORY)
    ):
        last = last if step is None else step
        for key, value in json.loads(line).items():
            seen = known.setdefault(key, {"counts": 0, "types": {}})
            seen["counts"] += 1
            seen["types"][_kind(value)] = None
    return {
        "keys": {
            key: {"typeCounts": [{"type": kind, "count": seen["counts"]} for kind in seen["types"]]}
            for key, seen in known.items()
        },
        "lastStep": int(last),
    }


def _stride(count: int, samples: int | None) -> int:
    return max(1, math.ceil(count / samples)) if samples else 1


def _kind(value: object) -> str:
    if isinstance(value, bool | int | float):
        return "number"
    if isinstance(value, Mapping):
        return str(value.get("_type", "map"))
    return "string" if isinstance(value, str) else "nil" if value is None else "list"
