"""Stored runs as a sheet: what `runs` shows as a table, CSV and JSON.

Pure. The keys of the columns stay the same from call to call.
"""

from __future__ import annotations

from collections.abc import Sequence

from jade.sheet import MOMENT, NUMBER, PARAM, SECONDS, TEXT, Column, Sheet
from jade.stored.selection import Listed, Metric
from jade.summary import BEST
from jade.table import HIDDEN
from jade.texts import shortened
from jade.trials import differing


def of_runs(rows: Sequence[Listed], metric: Metric | None, shown: Sequence[str] = ()) -> Sheet:
    """Return a row for each run.

    Args:
        rows: the runs, in their order.
        metric: what they are compared by.
        shown: params that a table has as well; CSV and JSON have every one that differs.
    """
    facts = [row.facts for row in rows]
    are_named = any(one.name != one.run_id for one in facts)
    keys = list(dict.fromkeys([*shown, *differing([one.params for one in facts if one.params])]))
    short = shortened(keys)
    name = metric.name if metric else "metric"
    last = [one.summary.get(name) for one in facts]
    best = [one.summary.get(f"{name.removesuffix(BEST)}{BEST}") for one in facts]
    rank = 0 if metric else HIDDEN
    columns = (
        Column("run", "run", TEXT, tuple(one.run_id for one in facts), is_whole=True),
        Column("name", "name", TEXT, tuple(one.name for one in facts), 6 if are_named else HIDDEN),
        Column("state", "status", TEXT, tuple(one.state for one in facts)),
        *(
            Column(
                key,
                short[key],
                PARAM,
                tuple(one.params.get(key) for one in facts),
                1 if key in shown else HIDDEN,
            )
            for key in keys
        ),
        Column("trained", "epochs", NUMBER, tuple(one.epochs for one in facts), 4),
        Column("last", name, NUMBER, tuple(last), rank),
        Column("best", "best", NUMBER, tuple(best), rank or 3),
        Column("began", "when", MOMENT, tuple(one.began for one in facts), 2),
        Column("updated", "updated", MOMENT, tuple(one.updated for one in facts), HIDDEN),
        Column("seconds", "time", SECONDS, tuple(one.seconds for one in facts), 5),
        Column("iterations", "iterations", NUMBER, tuple(one.iterations for one in facts), HIDDEN),
        Column("sweep", "sweep", TEXT, tuple(one.sweep for one in facts), HIDDEN),
        Column(
            "where",
            "where",
            TEXT,
            tuple(one.url or row.source.label for one, row in zip(facts, rows, strict=True)),
            HIDDEN,
        ),
    )
    return Sheet(columns, None)
