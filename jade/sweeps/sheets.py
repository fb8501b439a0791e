"""Trials, or points of a sweep, as a sheet.

Pure. The keys of the columns stay the same from call to call; what a person reads has shorter headings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from jade.sheet import NUMBER, PARAM, SECONDS, TEXT, Column, Sheet
from jade.sweeps.seeds import SEED, Group
from jade.texts import shortened
from jade.trials import Trial, Trials


def of_trials(trials: Trials, rows: Sequence[Trial], best: Trial | None) -> Sheet:
    """Return a row for each of `rows`."""
    named = any(row.name != row.run_id for row in rows)
    metric = trials.metric or "metric"
    columns = [
        Column("run", "run", TEXT, tuple(row.run_id for row in rows)),
        Column("name", "name", TEXT, tuple(row.name for row in rows), 5 if named else 9),
        Column("state", "state", TEXT, tuple(row.state for row in rows)),
        *_params(trials.parameters, [row.params for row in rows]),
        Column("last", metric, NUMBER, tuple(row.last for row in rows)),
        Column("best", "best", NUMBER, tuple(row.best for row in rows), 3),
        Column("trained", "epochs", NUMBER, tuple(row.epochs for row in rows), 4),
        Column("seconds", "time", SECONDS, tuple(row.seconds for row in rows), 2),
        Column("began", "began", NUMBER, tuple(row.began for row in rows), 10),
        Column("folder", "folder", TEXT, tuple(str(row.folder) if row.folder else None for row in rows), 10),
    ]
    if trials.metric is None:
        columns = [one if one.key not in ("last", "best") else replace(one, yields=10) for one in columns]
    return Sheet(tuple(columns), next((number for number, row in enumerate(rows) if row is best), None))


def of_groups(trials: Trials, groups: Sequence[Group]) -> Sheet:
    """Return a row for each point of a sweep."""
    keys = [key for key in trials.parameters if key != SEED]
    columns = (
        *_params(keys, [group.params for group in groups]),
        Column("mean", f"mean {trials.metric or 'metric'}", NUMBER, tuple(group.mean for group in groups)),
        Column("deviation", "±", NUMBER, tuple(group.deviation for group in groups), like="mean"),
        Column("n", "n", NUMBER, tuple(len(group.values) for group in groups)),
        Column("uncounted", "unfinished", NUMBER, tuple(group.uncounted for group in groups)),
        Column("seconds", "time", SECONDS, tuple(group.seconds for group in groups), 2),
        Column(
            "runs", "runs", TEXT, tuple(" ".join(row.run_id for row in group.trials) for group in groups), 10
        ),
    )
    return Sheet(columns, 0 if groups and groups[0].mean is not None else None)


def _params(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    short = shortened(keys)
    return [Column(key, short[key], PARAM, tuple(row.get(key) for row in rows), 1) for key in keys]
