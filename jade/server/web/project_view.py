"""What the page of a project shows: its sweeps with the best value of each, and its runs as a table."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jade.server import runs, sweeps
from jade.server.filters import MISSING, inside
from jade.server.web import addresses, run_metrics, trials
from jade.server.web.table import Column, Row, Table
from jade.server.web.wanted import Wanted

_MOST_METRICS = 4
_RUNS = """
SELECT runs.name, runs.display_name, runs.state, runs.config, runs.summary, runs.tags, runs.created_at,
    runs.heartbeat_at, COALESCE(sweeps.display_name, sweeps.name) AS sweep_name, sweeps.name AS sweep_id
FROM runs LEFT JOIN sweeps ON sweeps.id = runs.sweep WHERE runs.project = ? ORDER BY runs.id DESC
"""
_SWEEPS = "SELECT * FROM sweeps WHERE project = ? ORDER BY id DESC"


@dataclass(frozen=True)
class SweepLine:
    """A sweep in the list of a project's sweeps.

    Attributes:
        row: of the sweep.
        config: what its file says.
        metric: the one it names, and what is better of it.
        counts: how many of its trials are in each state, the most frequent first.
        best: the best last value of its metric among finished trials; None if there is none.
    """

    row: sqlite3.Row
    config: Mapping[str, Any]
    metric: tuple[str, str]
    counts: Sequence[tuple[str, int]]
    best: float | None


def sweep_lines(db: sqlite3.Connection, project: sqlite3.Row, now: float) -> list[SweepLine]:
    """Return the sweeps of a project, the newest first."""
    return [_line(db, row, now) for row in db.execute(_SWEEPS, (project["id"],)).fetchall()]


def _line(db: sqlite3.Connection, row: sqlite3.Row, now: float) -> SweepLine:
    config = sweeps.content(row["config"])
    known = [one for one in trials.of_sweep(db, row, (), now) if one.number is not None]
    metric, goal = trials.metric_of(config)
    values = [one.last(metric) for one in known if one.state == "finished"]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    choose = max if goal == "maximize" else min
    counts = Counter(one.state for one in known).most_common()
    return SweepLine(row, config, (metric, goal), counts, choose(numbers, default=None))


def run_table(db: sqlite3.Connection, project: sqlite3.Row, wanted: Wanted, now: float) -> Table:
    """Return the runs of a project as a table; a filter finds what is in their config and summary as well."""
    rows = db.execute(_RUNS, (project["id"],)).fetchall()
    summaries = [json.loads(row["summary"]) for row in rows]
    shown = _metrics(db, project, summaries)
    columns = [
        Column("name", "Run", "link"),
        Column("state", "State", "state"),
        Column("sweep", "Sweep"),
        Column("created", "Created", "moment"),
        Column("seconds", "Time", "span"),
        Column("epochs", "Epochs", "number"),
        *(Column(key, key, "number") for key in shown),
    ]
    found = [_row(project, row, summary, now) for row, summary in zip(rows, summaries, strict=True)]
    others = {key for row in found for key in row.cells} - {column.key for column in columns}
    return Table(columns, found, wanted, ("created", "desc"), sorted(others))


def _row(project: sqlite3.Row, row: sqlite3.Row, summary: Mapping[str, Any], now: float) -> Row:
    logged = {
        key: found
        for key, value in summary.items()
        if not key.startswith("_") and (found := runs.number_or_none(value)) is not None
    }
    cells = {
        **{key: value for key, value in runs.values_of(row["config"]).items() if not isinstance(value, dict)},
        **logged,
        "id": row["name"],
        "name": row["display_name"],
        "state": trials.state_of(row, now),
        "sweep": row["sweep_name"],
        "created": row["created_at"],
        "seconds": trials.seconds_of(row, summary),
        "epochs": logged.get("epochs"),  # not those of the config, which are only wanted
        "tags": ", ".join(json.loads(row["tags"])) or None,
    }
    whose = project["entity"], project["name"]
    links = {"sweep": addresses.sweep(*whose, row["sweep_id"])} if row["sweep_id"] else {}
    return Row(row["name"], cells, addresses.run(*whose, row["name"]), links=links)


def _metrics(
    db: sqlite3.Connection, project: sqlite3.Row, summaries: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return the few metrics that are columns: those of the sweeps, then what most runs have."""
    configs = [sweeps.content(row["config"]) for row in db.execute(_SWEEPS, (project["id"],))]
    of_sweeps = [trials.metric_of(config)[0] for config in configs]
    wanted = [name for name in of_sweeps if any(inside(one, name) is not MISSING for one in summaries)]
    frequent = Counter(
        key
        for one in summaries
        for key, value in one.items()
        if not key.startswith("_")
        and not key.endswith(run_metrics.BEST)
        and key not in run_metrics.COUNTERS
        and runs.number_or_none(value) is not None
    )
    return [*dict.fromkeys([*wanted, *(key for key, _ in frequent.most_common())])][:_MOST_METRICS]
