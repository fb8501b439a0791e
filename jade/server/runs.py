"""Runs: begun, continued, changed, found. Every function works inside a transaction of `store`.

States are W&B's: pending, running, finished, failed, crashed (nothing was heard of it), killed (it was asked
to stop), preempting and preempted.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import sqlite3
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jade.server import curves
from jade.server.blobs import checked_name

HISTORY = curves.HISTORY
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"
CONSOLE = "output.log"
STATES = ("pending", "running", "finished", "failed", "crashed", "killed", "preempting", "preempted")
LIVE = ("running", "preempting")
# Lines of one file: their count is an Int of GraphQL.
MOST_LINES = 2**31 - 1
MOST_STEPS = 2**62
# Levels of a row, a summary or a config: what is taken here is read again where Python's stack is fuller.
DEEPEST = 100
# wandb says something every 30 seconds; a laptop may sleep, a network may fail for a while.
SILENT_SECONDS = 300.0
_ALPHABET = string.ascii_lowercase + string.digits
_NAME = re.compile(r"[^/\\\x00-\x1f\ud800-\udfff]{1,128}")
_LARGEST = 10**300  # no float reaches much further
_OWN = {  # field of the mutation: column
    "displayName": "display_name",
    "notes": "notes",
    "description": "description",
    "groupName": "group_name",
    "jobType": "job_type",
    "host": "host",
    "jobProgram": "program",
    "commit": "commit_hash",
    "jobRepo": "repo",
    "config": "config",
    "summaryMetrics": "summary",
}


class RefusedError(ValueError):
    """What a client asks for cannot be; the text says why."""


def new_name() -> str:
    """Return eight characters that no other run or sweep has, as W&B names them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


def checked(value: object, what: str) -> str:
    """Return the name of an entity, a project or a run, if it can be one."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or value in (".", ".."):
        raise RefusedError(f"{str(value)[:100]!r} cannot be the name of {what}.")
    return value


def project(db: sqlite3.Connection, entity: str, name: str, now: float) -> int:
    """Return the id of a project, which is made if there is none."""
    names = checked(entity, "an entity"), checked(name, "a project")
    row = db.execute("SELECT id FROM projects WHERE entity = ? AND name = ?", names).fetchone()
    if row:
        return int(row["id"])
    cursor = db.execute("INSERT INTO projects (entity, name, created_at) VALUES (?, ?, ?)", (*names, now))
    return _inserted(cursor)


def find(db: sqlite3.Connection, entity: str, project_name: str, name: str) -> sqlite3.Row | None:
    """Return a run's row, or None."""
    row: sqlite3.Row | None = db.execute(
        "SELECT runs.* FROM runs JOIN projects ON projects.id = runs.project"
        " WHERE projects.entity = ? AND projects.name = ? AND runs.name = ?",
        (entity, project_name, name),
    ).fetchone()
    return row


def by_id(db: sqlite3.Connection, run: int) -> sqlite3.Row | None:
    """Return a run's row, or None."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
    return row


def upsert(
    db: sqlite3.Connection, given: Mapping[str, Any], entity: str, run: int | None, now: float
) -> tuple[int, bool]:
    """Begin, continue or change a run; return its id, and whether it is new.

    W&B has one mutation for all of it. With a host it is a process that begins: without an id the run
    begins anew and what it had is forgotten, with one it goes on. Else something is changed.

    Args:
        db: the transaction.
        given: the mutation's input; what is null is left as it is.
        entity: the default one.
        run: id of the run, where the client gives it.
        now: seconds since the epoch.
    """
    row = by_id(db, run) if run is not None else None
    if run is not None and row is None:
        raise RefusedError("There is no run of that id.")
    is_new = False
    if row is None:
        owner = project(db, given.get("entityName") or entity, given.get("modelName") or "uncategorized", now)
        name = checked(given.get("name") or new_name(), "a run")
        row = db.execute("SELECT * FROM runs WHERE project = ? AND name = ?", (owner, name)).fetchone()
        is_new = row is None
        row = row or _begun(db, owner, name, now)
        if not is_new and given.get("host") and given.get("id") is None:
            _forget(db, row["id"])
    _change(db, row, given, now)
    if given.get("host") and (row["state"] not in ("running",) or is_new or given.get("id") is None):
        _start(db, row["id"], now)
    return int(row["id"]), is_new


def _begun(db: sqlite3.Connection, owner: int, name: str, now: float) -> sqlite3.Row:
    trial = db.execute("SELECT number FROM trials WHERE run = ?", (name,)).fetchone()
    shown = f"trial-{trial['number'] + 1}" if trial else name
    run = _inserted(
        db.execute(
            "INSERT INTO runs (project, name, display_name, state, created_at, heartbeat_at)"
            " VALUES (?, ?, ?, 'running', ?, ?)",
            (owner, name, shown, now, now),
        )
    )
    row: sqlite3.Row = db.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
    return row


def _forget(db: sqlite3.Connection, run: int) -> None:
    """Let a run begin anew under its id; its files stay until they are replaced, as on W&B."""
    db.execute("DELETE FROM lines WHERE run = ?", (run,))
    curves.forget(db, run)
    db.execute("UPDATE runs SET summary = '{}', config = '{}', life = life + 1 WHERE id = ?", (run,))


def _start(db: sqlite3.Connection, run: int, now: float) -> None:
    db.execute(
        "UPDATE runs SET state = 'running', exit_code = NULL, is_preempting = 0, stop_asked_at = NULL,"
        " heartbeat_at = ? WHERE id = ?",
        (now, run),
    )


def _change(db: sqlite3.Connection, row: sqlite3.Row, given: Mapping[str, Any], now: float) -> None:
    changes: dict[str, Any] = {
        column: _text(given[field]) for field, column in _OWN.items() if given.get(field) is not None
    }
    for column in ("config", "summary"):
        if column in changes:
            json_object(changes[column], f"The {column} of a run")
    if given.get("tags") is not None:
        changes["tags"] = json.dumps(_tags(given["tags"]))
    if given.get("state"):
        changes["state"] = _state(given["state"])
    if given.get("sweep"):
        sweep = db.execute(
            "SELECT id FROM sweeps WHERE name = ? AND project = ?", (str(given["sweep"]), row["project"])
        ).fetchone()
        # A sweep of another server, or of another project, is none of the run's.
        changes |= {"sweep": sweep["id"]} if sweep else {}
    if given.get("host"):
        changes["heartbeat_at"] = now
    if not changes:
        return
    names = ", ".join(f"{column} = ?" for column in changes)
    db.execute(f"UPDATE runs SET {names} WHERE id = ?", (*changes.values(), row["id"]))


def _tags(given: object) -> list[str]:
    if not isinstance(given, list):
        raise RefusedError(f"The tags of a run are a list, not {str(given)[:100]!r}.")
    return [str(tag) for tag in given]


def _state(given: object) -> str:
    state = str(given).lower()
    if state not in STATES:
        raise RefusedError(f"{state[:100]!r} is no state of a run, which are {', '.join(STATES)}.")
    return state


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object that a client has sent as text, of a bounded number of levels."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError(f"{what} is a JSON object, not {text[:100]!r}.")
    if text.count("{") + text.count("[") > DEEPEST and _is_deep(value):
        raise RefusedError(f"{what} has more than {DEEPEST} levels.")
    return value


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        inner = [
            one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)
        ]
        level = [item for items in inner for item in items]
    return bool(level)


def ask_to_stop(db: sqlite3.Connection, run: int, now: float) -> None:
    """Ask a run to stop; its process hears of it in the answer to what it sends next."""
    db.execute(
        "UPDATE runs SET stop_asked_at = ? WHERE id = ? AND state IN ('running', 'preempting')"
        " AND stop_asked_at IS NULL",
        (now, run),
    )


def note_silent(db: sqlite3.Connection, now: float) -> None:
    """Take runs of which nothing was heard for long for crashed, until something is."""
    db.execute(
        "UPDATE runs SET state = CASE state WHEN 'preempting' THEN 'preempted' ELSE 'crashed' END"
        " WHERE state IN ('running', 'preempting') AND heartbeat_at < ?",
        (now - SILENT_SECONDS,),
    )


def next_line(db: sqlite3.Connection, run: int, file: str) -> int:
    """Return the number that a file's next line has."""
    row = db.execute(
        "SELECT number FROM lines WHERE run = ? AND file = ? ORDER BY number DESC LIMIT 1", (run, file)
    ).fetchone()
    return int(row["number"]) + 1 if row else 0


def last_lines(db: sqlite3.Connection, run: int, file: str, count: int) -> list[str]:
    """Return the last lines of a streamed file, in their order."""
    rows = db.execute(
        "SELECT text FROM lines WHERE run = ? AND file = ? ORDER BY number DESC LIMIT ?", (run, file, count)
    ).fetchall()
    return [row["text"] for row in reversed(rows)]


def put_file(
    db: sqlite3.Connection, run: int, name: str, uploaded: tuple[str, int, str], now: float
) -> str | None:
    """Enter an uploaded file; return the blob that it replaces, to be deleted after the transaction.

    Args:
        db: the transaction.
        run: whose file it is.
        name: of the file, as the client names it.
        uploaded: name, size and MD5 sum of the blob.
        now: seconds since the epoch.
    """
    checked_name(name)
    if by_id(db, run) is None:
        raise RefusedError("The run of this file is deleted.")
    old = db.execute("SELECT blob FROM files WHERE run = ? AND name = ?", (run, name)).fetchone()
    db.execute(
        "INSERT INTO files (run, name, blob, size, md5, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (run, name) DO UPDATE SET blob = excluded.blob, size = excluded.size,"
        " md5 = excluded.md5, updated_at = excluded.updated_at",
        (run, name, *uploaded, now),
    )
    return str(old["blob"]) if old else None


def files(db: sqlite3.Connection, run: int, names: Sequence[str], pattern: str | None) -> list[sqlite3.Row]:
    """Return the files of a run: some by name, those that match a LIKE pattern of SQL, or all."""
    query, values = "SELECT * FROM files WHERE run = ?", [run, *([json.dumps(names)] if names else [])]
    if names:
        query += " AND name IN (SELECT value FROM json_each(?))"
    if pattern:
        query += " AND name LIKE ? ESCAPE '\\'"
        values.append(pattern)
    return db.execute(f"{query} ORDER BY name", values).fetchall()


def delete(db: sqlite3.Connection, run: int) -> list[str]:
    """Delete a run; return the blobs that are left over."""
    blobs = [row["blob"] for row in db.execute("SELECT blob FROM files WHERE run = ?", (run,))]
    db.execute("DELETE FROM runs WHERE id = ?", (run,))
    return blobs


def values_of(config: str) -> dict[str, Any]:
    """Return a run's config without the wrapping in which the client sends each value."""
    return {
        key: item.get("value") if isinstance(item, Mapping) and "value" in item else item
        for key, item in json.loads(config).items()
        if key != "_wandb"
    }


def number_or_none(value: object) -> float | None:
    """Return a number as W&B streams it: NaN and infinity may have become text."""
    if isinstance(value, int) and abs(value) > _LARGEST:
        return math.inf if value > 0 else -math.inf
    if isinstance(value, int | float):
        return float(value)
    texts: Mapping[object, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    return texts.get(value) if isinstance(value, str) else None


def names_of(rows: Iterable[sqlite3.Row]) -> list[str]:
    """Return the column "name" of some rows."""
    return [row["name"] for row in rows]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _inserted(cursor: sqlite3.Cursor) -> int:
    return cursor.lastrowid or 0  # None only where nothing was inserted
