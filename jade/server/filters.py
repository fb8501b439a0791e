"""The filters and orders of `wandb.Api()`: a MongoDB query over the fields, config and summary of a run.

Artifacts are filtered by their columns alone. What W&B's documentation of `Api.runs` shows is understood; an
operator that is unknown is refused.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol, TypeVar

from jade.server.patterns import Patterns
from jade.server.runs import DEEPEST, RefusedError, number_or_none, values_of

MISSING = object()
_patterns = Patterns()
_COLUMNS = {
    "name": "name", "displayName": "display_name", "display_name": "display_name", "state": "state",
    "group": "group_name", "jobType": "job_type", "job_type": "job_type", "notes": "notes",
    "description": "description", "host": "host", "sweep": "sweep_name", "tags": "tags",
    "createdAt": "created_at", "created_at": "created_at", "heartbeatAt": "heartbeat_at",
    "heartbeat_at": "heartbeat_at", "updated_at": "heartbeat_at", "updatedAt": "heartbeat_at",
    "commit": "commit_hash", "program": "program",
}  # fmt: skip


class Filtered(Protocol):
    """What a filter is asked about.

    Attributes:
        row: where its values come from.
    """

    row: sqlite3.Row

    def value(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a key of a filter stands for; `MISSING` if there is no such thing."""


Item = TypeVar("Item", bound=Filtered)


class Columns:
    """What a filter asks about a row that has nothing but columns.

    Args:
        row: the row.
        names: keys of a filter, and the columns that they stand for.
        time_text: gives a time as W&B shows it.
    """

    def __init__(self, row: sqlite3.Row, names: Mapping[str, str], time_text: Callable[[float], str]) -> None:
        self.row = row
        self._names = names
        self._time_text = time_text

    def value(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a key of a filter stands for; `MISSING` if there is no such thing."""
        column = self._names.get(key)
        return MISSING if column is None else column_value(self.row, column, self._time_text)


def column_value(row: sqlite3.Row, column: str, time_text: Callable[[float], str]) -> Any:  # noqa: ANN401
    """Return the value of a column as W&B shows it: tags as a list, times as text."""
    value = row[column]
    if column == "tags":
        return json.loads(value)
    return time_text(value) if column.endswith("_at") else value


class Subject:
    """What a filter asks about one run; its config and summary are read only if they are asked for.

    Args:
        row: of the run, with the name of its sweep as `sweep_name`.
        time_text: gives a time as W&B shows it.
    """

    def __init__(self, row: sqlite3.Row, time_text: Callable[[float], str]) -> None:
        self.row = row
        self._time_text = time_text

    @cached_property
    def _config(self) -> dict[str, Any]:
        return values_of(self.row["config"])

    @cached_property
    def _summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.row["summary"])
        return summary

    def value(self, key: str) -> Any:  # noqa: ANN401 - any JSON value
        """Return what a key of a filter stands for; `MISSING` if the run has no such thing."""
        section, _, rest = key.partition(".")
        if section == "config":
            return inside(self._config, rest.removesuffix(".value"))
        if section in ("summary_metrics", "summaryMetrics", "summary"):
            return inside(self._summary, rest)
        column = _COLUMNS.get(key)
        return MISSING if column is None else column_value(self.row, column, self._time_text)


def inside(values: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return what a dotted path leads to: a key that holds the dots itself, or nested ones."""
    if path in values:
        return values[path]
    parts = path.split(".", DEEPEST)  # each of its dots is tried
    for cut in range(len(parts) - 1, 0, -1):
        inner = values.get(".".join(parts[:cut]), MISSING)
        if isinstance(inner, Mapping):
            found = inside(inner, ".".join(parts[cut:]))
            if found is not MISSING:
                return found
    return MISSING


def matches(subject: Filtered, query: Mapping[str, Any]) -> bool:
    """Say whether something is what the query asks for.

    Raises:
        RefusedError: if the query holds an unknown operator, or is no query.
    """
    if not isinstance(query, Mapping):
        raise RefusedError(f"A filter is an object, not {str(query)[:100]!r}.")
    return all(_holds(subject, key, wanted) for key, wanted in query.items())


def _holds(subject: Filtered, key: str, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    if key in _GROUPS:
        if not isinstance(wanted, list):
            raise RefusedError(f"{key} takes a list of filters.")
        return _GROUPS[key](matches(subject, inner) for inner in wanted)
    if key == "$not":
        return not matches(subject, wanted)
    if key.startswith("$"):
        raise RefusedError(f"The filter {key} is not known.")
    return _fits(subject.value(key), wanted)


_GROUPS: dict[str, Callable[[Iterable[bool]], bool]] = {
    "$and": all,
    "$or": any,
    "$nor": lambda found: not any(found),
}


def _fits(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    if isinstance(wanted, Mapping) and any(key.startswith("$") for key in wanted):
        return all(_compare(operator, value, operand, wanted) for operator, operand in wanted.items())
    return _is(value, wanted)


def _compare(operator: str, value: Any, operand: Any, whole: Mapping[str, Any]) -> bool:  # noqa: ANN401
    if operator == "$options":  # of the $regex beside it
        return True
    if operator == "$not":
        return not _fits(value, operand)
    if operator == "$regex":
        return _patterns.found(operand, value, whole.get("$options")) if isinstance(value, str) else False
    if operator not in _OPERATORS:
        raise RefusedError(f"The filter {operator} is not known.")
    try:
        return _OPERATORS[operator](value, operand)
    except TypeError:  # a number and a text have no order
        return False


def _is(value: Any, wanted: Any) -> bool:  # noqa: ANN401 - any JSON value
    if value is MISSING:
        return wanted is None
    if isinstance(value, list) and not isinstance(wanted, list):
        return wanted in value
    return bool(value == wanted) and isinstance(value, bool) == isinstance(wanted, bool)


def _is_one(value: Any, operand: Any) -> bool:  # noqa: ANN401 - any JSON value
    if not isinstance(operand, list):
        raise RefusedError("$in and $nin take a list.")
    return any(_is(value, one) for one in operand)


def _known(value: object) -> bool:
    return value is not MISSING and value is not None


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": _is,
    "$ne": lambda value, operand: not _is(value, operand),
    "$in": _is_one,
    "$nin": lambda value, operand: not _is_one(value, operand),
    "$exists": lambda value, operand: (value is not MISSING) == bool(operand),
    "$gt": lambda value, operand: _known(value) and value > operand,
    "$gte": lambda value, operand: _known(value) and value >= operand,
    "$lt": lambda value, operand: _known(value) and value < operand,
    "$lte": lambda value, operand: _known(value) and value <= operand,
}


def ordered(subjects: list[Item], order: str | None) -> list[Item]:
    """Return them in an order such as "-summary_metrics.loss"; those without the value, or NaN, come last."""
    order = order or "+created_at"
    is_down, key = order.startswith("-"), order.lstrip("+-")
    known, unknown = [], []
    for subject in subjects:
        rank = _rank(subject.value(key))
        if rank is None:
            unknown.append(subject)
        else:
            known.append((rank, subject.row["id"], subject))
    known.sort(key=lambda item: item[:2], reverse=is_down)
    return [subject for _, _, subject in known] + sorted(unknown, key=lambda subject: subject.row["id"])


def _rank(value: Any) -> tuple[int, Any] | None:  # noqa: ANN401 - any JSON value
    """Return what a value is sorted by: numbers before texts."""
    number = number_or_none(value)
    if number is not None:
        return None if math.isnan(number) else (0, number)
    return (1, value) if isinstance(value, str) else None
