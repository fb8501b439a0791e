"""Several runs beside each other: which are drawn, how to add one or take one away, and what differs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from jade.server import runs
from jade.server.filters import MISSING, inside
from jade.server.web import run_config, words

MOST_DIFFERENCES = 60


@dataclass(frozen=True)
class Drawn:
    """A run whose curves are drawn.

    Attributes:
        row: of the run.
        address: of its own page.
        without: address of this page without it; "" for the page's own run.
    """

    row: sqlite3.Row
    address: str
    without: str


@dataclass(frozen=True)
class Difference:
    """A row of the table of what differs: a name, and its value for each run."""

    name: str
    values: list[str]


def address(own: str, beside: Sequence[str]) -> str:
    """Return the address of a run's page, at its curves, with other runs beside it."""
    query = f"?{urlencode([('with', name) for name in beside])}" if beside else ""
    return f"{own}{query}#curves"


def differences(drawn: Sequence[sqlite3.Row], metric: str | None) -> list[Difference]:
    """Return what runs differ in: the last value of a metric, then their configs."""
    found = []
    if metric is not None:
        lasts = [inside(json.loads(row["summary"]), metric) for row in drawn]
        found.append(Difference(metric, _texts(lasts)))
    configs = [dict(run_config.flat(runs.values_of(row["config"]))) for row in drawn]
    for name in sorted({name for config in configs for name in config}):
        values = [config.get(name, MISSING) for config in configs]
        if any(value != values[0] for value in values):
            found.append(Difference(name, _texts(values)))
    return found[:MOST_DIFFERENCES]


def _texts(values: Sequence[Any]) -> list[str]:
    """Return values as short as they are told apart by."""
    known = [None if value is MISSING else value for value in values]
    short, exact = ([_cut(form(value)) for value in known] for form in (words.value, _exact))
    return short if len(set(short)) == len(set(exact)) else exact


def _exact(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return words.value(value) if value is None or isinstance(value, str) else json.dumps(value)


def _cut(text: str) -> str:
    return text if len(text) <= run_config.LONGEST else f"{text[: run_config.LONGEST]} …"
