"""Sweeps, their agents and their trials as rows: made, changed, found; `dispatcher` hands them out."""

from __future__ import annotations

import datetime
import functools
import json
import sqlite3
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import yaml

from jade.server import runs, search
from jade.server.filters import MISSING, Subject, inside, matches
from jade.server.runs import RefusedError

LONGEST = 200_000
STATES = ("PENDING", "RUNNING", "PAUSED", "FINISHED", "CANCELED")


def create(db: sqlite3.Connection, given: Mapping[str, Any], entity: str, seed: int, now: float) -> int:
    """Make a sweep of a mutation's input, and return its id.

    The n-th sweep of a project draws from `seed` + n: made again in the same order, the same sweeps propose
    the same trials, and a sweep that is made twice goes on to other ones.

    Raises:
        RefusedError: if the sweep's file is faulty; all faults at once.
    """
    text = given.get("config")
    config = _config(text)
    project = given.get("projectName") or "uncategorized"
    owner = runs.project(db, given.get("entityName") or entity, project, now)
    earlier = db.execute("SELECT COUNT(*) FROM sweeps WHERE project = ?", (owner,)).fetchone()[0]
    shown = given.get("displayName") or config.get("name")
    cursor = db.execute(
        "INSERT INTO sweeps (project, name, display_name, description, config, controller, scheduler, state,"
        " seed, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            owner, runs.new_name(), shown, given.get("description") or config.get("description"), text,
            given.get("controller"), given.get("scheduler"), given.get("state") or "PENDING", seed + earlier,
            now, now,
        ),
    )  # fmt: skip
    sweep = cursor.lastrowid or 0
    if given.get("priorRunsFilters"):
        _adopt(db, sweep, owner, config, json.loads(given["priorRunsFilters"]))
    return sweep


def _config(text: object) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > LONGEST:
        raise RefusedError(f"A sweep's file is a text of up to {LONGEST} characters.")
    try:
        config = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RefusedError(f"The sweep's file is not YAML: {error}") from None
    if not isinstance(config, dict):
        raise RefusedError("A sweep's file is a mapping with method and parameters.")
    faults = search.faults(config)
    if faults:
        raise RefusedError("\n\n".join(str(fault) for fault in faults))
    try:
        _json(config)
    except (TypeError, ValueError) as error:
        raise RefusedError(f"The sweep's file holds what no trial can be handed: {error}.") from None
    return config


@functools.lru_cache(maxsize=64)
def content(config: str) -> Mapping[str, Any]:
    """Return what a sweep's file says; read once, as each heartbeat asks for it and YAML is slow to read."""
    return MappingProxyType(yaml.safe_load(config))


def _json(values: Mapping[str, Any]) -> str:
    """Return values as JSON, where a date becomes text."""

    def text_of_a_date(value: object) -> str:
        if isinstance(value, datetime.date):
            return str(value)
        raise TypeError(f"{value!r} has no form in JSON")

    return json.dumps(values, default=text_of_a_date)


def _adopt(
    db: sqlite3.Connection, sweep: int, project: int, config: Mapping[str, Any], query: Mapping[str, Any]
) -> None:
    """Take earlier runs of the project for trials of a sweep, as `wandb sweep --prior_run` asks for."""
    names = search.Space.parse(config["parameters"]).distributions
    rows = db.execute(
        "SELECT runs.*, NULL AS sweep_name FROM runs WHERE project = ? ORDER BY id", (project,)
    ).fetchall()
    chosen = [row for row in rows if matches(Subject(row, str), query)]
    for number, row in enumerate(chosen):
        values = runs.values_of(row["config"])
        params = {name: inside(values, name) for name in names}
        known = {name: value for name, value in params.items() if value is not MISSING}
        db.execute("UPDATE runs SET sweep = ? WHERE id = ?", (sweep, row["id"]))
        insert_trial(db, sweep, number, known, row["name"], "done")


def change(db: sqlite3.Connection, sweep: int, given: Mapping[str, Any], now: float) -> None:
    """Change a sweep's file, name or state; a sweep that is canceled stops its runs."""
    changes: dict[str, Any] = {"updated_at": now}
    if given.get("config"):
        _config(given["config"])
        changes["config"] = given["config"]
    for field, column in (("description", "description"), ("displayName", "display_name")):
        if given.get(field) is not None:
            changes[column] = given[field]
    if given.get("state"):
        changes["state"] = str(given["state"]).upper()
        if changes["state"] not in STATES:
            raise RefusedError(f"{given['state']!r} is no state of a sweep.")
    names = ", ".join(f"{column} = ?" for column in changes)
    db.execute(f"UPDATE sweeps SET {names} WHERE id = ?", (*changes.values(), sweep))
    if changes.get("state") == "CANCELED":
        stop_runs(db, sweep, now)


def stop_runs(db: sqlite3.Connection, sweep: int, now: float) -> None:
    """Ask all runs of a sweep to stop."""
    for row in db.execute("SELECT id FROM runs WHERE sweep = ?", (sweep,)).fetchall():
        runs.ask_to_stop(db, row["id"], now)


def find(db: sqlite3.Connection, name: object) -> sqlite3.Row | None:
    """Return the row of the sweep of a name, which is unique on the server."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM sweeps WHERE name = ?", (name,)).fetchone()
    return row


def by_id(db: sqlite3.Connection, sweep: int) -> sqlite3.Row | None:
    """Return a sweep's row, or None."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM sweeps WHERE id = ?", (sweep,)).fetchone()
    return row


def register(db: sqlite3.Connection, sweep: int, host: str, now: float) -> int:
    """Note that an agent begins to work on a sweep, and return its id."""
    cursor = db.execute(
        "INSERT INTO agents (sweep, host, created_at, heartbeat_at) VALUES (?, ?, ?, ?)",
        (sweep, host, now, now),
    )
    db.execute("UPDATE sweeps SET state = 'RUNNING' WHERE id = ? AND state = 'PENDING'", (sweep,))
    return cursor.lastrowid or 0


def enqueue(db: sqlite3.Connection, sweep: int, params: Mapping[str, Any]) -> str:
    """Let an agent run the point that a scheduler outside of the server has chosen; return the run's name."""
    number = db.execute("SELECT COUNT(*) FROM trials WHERE sweep = ?", (sweep,)).fetchone()[0]
    name = runs.new_name()
    insert_trial(db, sweep, number, params, name, "waiting")
    return name


def insert_trial(
    db: sqlite3.Connection, sweep: int, number: int, params: Mapping[str, Any], run: str, status: str
) -> int:
    """Enter a trial, and return its id; its status is "waiting" for an agent, "given" to one, or "done"."""
    cursor = db.execute(
        "INSERT INTO trials (sweep, number, params, run, status, tries) VALUES (?, ?, ?, ?, ?, 0)",
        (sweep, number, _json(params), run, status),
    )
    return cursor.lastrowid or 0


def arguments(parameters: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Return flat params as a sweep's file writes them: what is nested there is nested again.

    Params that are not those of the file, because a client has chosen them itself, stay as they are.
    """
    if set(params) != set(search.Space.parse(parameters).distributions):
        return {name: {"value": value} for name, value in params.items()}

    def value(spec: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401 - any JSON value
        inner = spec.get("parameters") if isinstance(spec, Mapping) else None
        if not isinstance(inner, Mapping):
            return params[key]
        return {name: value(deeper, f"{key}.{name}") for name, deeper in inner.items()}

    return {name: {"value": value(spec, name)} for name, spec in parameters.items()}
