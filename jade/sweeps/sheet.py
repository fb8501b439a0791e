"""Trials, or points of a sweep, as columns of values: what a table, a CSV file and a JSON text are made of.

Pure. The keys of the columns stay the same from call to call; what a person reads has shorter headings.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jade.errors import ConfigError
from jade.sweeps.names import shortened
from jade.sweeps.scales import order
from jade.sweeps.seeds import SEED, Group
from jade.trials import Trial, Trials

PARAM, TEXT, NUMBER, SECONDS = "param", "text", "number", "seconds"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its stable name.
        heading: what a person reads.
        kind: one of the above, which says how it is written.
        values: one for each row; None where there is none.
        yields: how early a narrow terminal goes without it; 0 is never.
        like: the key of the column as which its numbers are rounded.
    """

    key: str
    heading: str
    kind: str
    values: tuple[Any, ...]
    yields: int = 0
    like: str = ""


@dataclass(frozen=True)
class Sheet:
    """Rows of values, in columns.

    Attributes:
        columns: of which all have the same length.
        best: the number of the row that is marked; None if there is none.
    """

    columns: tuple[Column, ...]
    best: int | None

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.columns[0].values)

    def only(self, rows: Sequence[int]) -> Sheet:
        """Return the sheet with these rows, in this order."""
        columns = tuple(replace(one, values=tuple(one.values[row] for row in rows)) for one in self.columns)
        return Sheet(columns, rows.index(self.best) if self.best in rows else None)


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


def ordered(sheet: Sheet, key: str, metric: str | None, *, downwards: bool) -> Sheet:
    """Return a sheet sorted by one column; rows that have nothing there, or no number, come last.

    Args:
        sheet: to be sorted.
        key: of the column, or what is written above it.
        metric: which stands for its column, too.
        downwards: whether the largest comes first.

    Raises:
        ConfigError: if there is no such column.
    """
    column = _found(sheet, key, metric)
    there = [row for row, value in enumerate(column.values) if not _is_nothing(value)]
    rest = [row for row in range(sheet.size) if row not in set(there)]
    there.sort(key=lambda row: order(column.values[row]), reverse=downwards)
    return sheet.only([*there, *rest])


def _found(sheet: Sheet, key: str, metric: str | None) -> Column:
    value = next(one for one in sheet.columns if one.key in ("last", "mean"))
    names = {metric: value} if metric else {}
    names |= {one.heading: one for one in sheet.columns}
    names |= {one.key: one for one in sheet.columns}
    if key not in names:
        raise ConfigError(f"There is no column {key!r}.", where="--sort", wanted=key, choices=names)
    return names[key]


def _is_nothing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def csv_text(sheet: Sheet) -> str:
    """Return a sheet as CSV: every digit, nothing where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.key for column in sheet.columns])
    for row in range(sheet.size):
        writer.writerow([_cell(column.values[row]) for column in sheet.columns])
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value)


def json_text(sheet: Sheet, about: Mapping[str, Any]) -> str:
    """Return a sheet as strict JSON, with what is said of all of it; what is no number is null."""
    rows = []
    for row in range(sheet.size):
        params = {one.key: one.values[row] for one in sheet.columns if one.kind == PARAM}
        others = {one.key: one.values[row] for one in sheet.columns if one.kind != PARAM}
        rows.append({**others, "params": params})
    return json.dumps(_strict({**about, "rows": rows}), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _strict(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value
