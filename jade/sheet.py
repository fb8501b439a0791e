"""Runs, trials or points of a sweep as columns of values: what a table, CSV and JSON are made of.

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
from jade.texts import moment

PARAM, TEXT, NUMBER, SECONDS, MOMENT = "param", "text", "number", "seconds", "moment"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: its stable name.
        heading: what a person reads.
        kind: one of the above, which says how it is written; a moment is in seconds since 1970.
        values: one for each row; None where there is none.
        yields: how early a narrow terminal goes without it; 0 is never.
        like: the key of the column as which its numbers are rounded.
        is_whole: whether its texts are never shortened, for people copy them.
    """

    key: str
    heading: str
    kind: str
    values: tuple[Any, ...]
    yields: int = 0
    like: str = ""
    is_whole: bool = False


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
    values = [one for one in sheet.columns if one.key in ("last", "mean")]
    names = {metric: values[0]} if metric and values else {}
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
        writer.writerow([_cell(_said(column, row)) for column in sheet.columns])
    return out.getvalue()


def _said(column: Column, row: int) -> Any:  # noqa: ANN401 - any value of a cell
    value = column.values[row]
    return moment(value) if column.kind == MOMENT and value is not None else value


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
        others = {one.key: _said(one, row) for one in sheet.columns if one.kind != PARAM}
        rows.append({**others, "params": params})
    return strict_json({**about, "rows": rows})


def strict_json(value: Mapping[str, Any]) -> str:
    """Return values as strict JSON; what is no number is null."""
    return json.dumps(_strict(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _strict(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list | tuple) else value


def order(value: object) -> tuple[Any, ...]:
    """Return what sorts values of any kinds: numbers by size, then the rest as text."""
    if _is_number(value) or isinstance(value, bool):
        return (0, value, "")
    if isinstance(value, list | tuple):
        return (2, len(value), str(value))
    return (1, 0, str(value))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
