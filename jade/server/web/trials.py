"""The trials of a sweep as its page needs them: read from the store in two queries, and no row of any run.

A run of the sweep that is no trial's, such as one that failed and whose point was tried again, is listed
without a number.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jade.server import curves, runs
from jade.server.filters import MISSING, inside

_COLUMNS = (
    "runs.id, runs.display_name, runs.state, runs.config, runs.summary, runs.created_at, runs.heartbeat_at"
)
_TRIALS = f"""
SELECT trials.number, trials.params, trials.status, trials.run AS run, {_COLUMNS}
FROM trials LEFT JOIN runs ON runs.name = trials.run AND runs.project = :project
WHERE trials.sweep = :sweep ORDER BY trials.number
"""
_OTHERS = f"""
SELECT NULL AS number, NULL AS params, NULL AS status, runs.name AS run, {_COLUMNS}
FROM runs WHERE runs.sweep = :sweep AND runs.name NOT IN (SELECT run FROM trials WHERE sweep = :sweep)
ORDER BY runs.id
"""


@dataclass(frozen=True)
class Trial:
    """A trial, or a run of the sweep that is none's.

    Attributes:
        number: from 1, in the order they were proposed; None for a run without a trial.
        run: the name that its run has, or will have.
        row: id of the run's row; None if the run has not begun.
        name: as it is shown.
        state: of the run; "waiting" or "starting" before it has begun, "failed" if it never did.
        params: the values of the sweep's parameters.
        summary: what the run says of itself last.
        began_at: seconds since the epoch; None if the run has not begun.
        seconds: that it has taken so far.
        heard_at: when something was last heard of the run.
    """

    number: int | None
    run: str
    row: int | None
    name: str
    state: str
    params: Mapping[str, Any]
    summary: Mapping[str, Any]
    began_at: float | None
    seconds: float | None
    heard_at: float

    def last(self, key: str) -> float | None:
        """Return the number that the run had last under a key; None if there is none."""
        value = inside(self.summary, key)
        return None if value is MISSING else runs.number_or_none(value)


def of_sweep(db: sqlite3.Connection, sweep: sqlite3.Row, params: Collection[str], now: float) -> list[Trial]:
    """Return the trials of a sweep, then its other runs.

    Args:
        db: a connection that reads.
        sweep: its row.
        params: names of its parameters, which are found in the config of a run without a trial.
        now: seconds since the epoch.
    """
    given = {"sweep": sweep["id"], "project": sweep["project"]}
    rows = [*db.execute(_TRIALS, given), *db.execute(_OTHERS, given)]
    return [_trial(row, params, now) for row in rows]


def _trial(row: sqlite3.Row, params: Collection[str], now: float) -> Trial:
    number = None if row["number"] is None else row["number"] + 1
    summary = json.loads(row["summary"]) if row["summary"] else {}
    return Trial(
        number=number,
        run=row["run"],
        row=row["id"],
        name=row["display_name"] or f"trial-{number}",
        state=state_of(row, now) if row["id"] is not None else _state_before(row["status"]),
        params=_params(row, params),
        summary=summary,
        began_at=row["created_at"],
        seconds=seconds_of(row, summary) if row["id"] is not None else None,
        heard_at=row["heartbeat_at"] or 0.0,
    )


def _params(row: sqlite3.Row, names: Collection[str]) -> dict[str, Any]:
    if row["params"] is not None:
        known: dict[str, Any] = json.loads(row["params"])
        return known
    config = runs.values_of(row["config"])
    found = {name: inside(config, name) for name in names}
    return {name: value for name, value in found.items() if value is not MISSING}


def _state_before(status: str) -> str:
    return {"waiting": "waiting", "given": "starting"}.get(status, "failed")


def state_of(row: sqlite3.Row, now: float) -> str:
    """Return the state of a run, which crashed if nothing was heard of it for long."""
    if row["state"] in runs.LIVE and row["heartbeat_at"] < now - runs.SILENT_SECONDS:
        return "preempted" if row["state"] == "preempting" else "crashed"
    return str(row["state"])


def seconds_of(row: sqlite3.Row, summary: Mapping[str, Any]) -> float:
    """Return how long a run took, as it says itself; else since it began until something was last heard."""
    said = runs.number_or_none(summary.get("_runtime"))
    known = said if said is not None and said >= 0 else None
    return known if known is not None else max(0.0, row["heartbeat_at"] - row["created_at"])


def metric_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the metric that a sweep names, "" if none, and its goal: "minimize" or "maximize"."""
    metric = config.get("metric") or {}
    return str(metric.get("name") or ""), str(metric.get("goal") or "minimize")


def curves_of(db: sqlite3.Connection, trials: Sequence[Trial], key: str) -> dict[str, curves.Curve]:
    """Return the curves of one key, by the name of the run."""
    names = {trial.row: trial.run for trial in trials if trial.row is not None}
    return {names[row]: curve for row, curve in curves.of_runs(db, list(names), key).items()}


def metrics(db: sqlite3.Connection, trials: Sequence[Trial]) -> list[str]:
    """Return the names under which any of the trials has logged a number."""
    return curves.keys(db, [trial.row for trial in trials if trial.row is not None])
