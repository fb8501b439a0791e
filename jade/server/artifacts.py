"""Artifacts: versions of a collection, found by name or alias, named, deleted. `drafts` makes them.

Every function works inside a transaction of `store`. A file is known by its MD5 sum: what one artifact has
uploaded, another one shares.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from jade.server.runs import RefusedError

LATEST = "latest"
_NAME = re.compile(r"[^/:\x00-\x1f]{1,128}")
_VERSION = re.compile(r"v(\d{1,18})")

Input = Mapping[str, Any]


def checked(value: object, what: str) -> str:
    """Return the name of a collection, a type, an alias or a tag, if it can be one."""
    if not isinstance(value, str) or not _NAME.fullmatch(value) or value in (".", ".."):
        raise RefusedError(f"{str(value)[:100]!r} cannot be the name of {what}.")
    return value


def collection(db: sqlite3.Connection, project: int, name: str | None) -> sqlite3.Row | None:
    """Return the row of a collection, or None."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM collections WHERE project = ? AND name = ?", (project, name)
    ).fetchone()
    return row


def checked_alias(value: object) -> str:
    """Return an alias, if it can be one."""
    if _VERSION.fullmatch(checked(value, "an alias")):
        raise RefusedError(f"{value!r} names a version: it cannot be an alias.")
    return str(value)


def tag_names(given: Iterable[Input] | None) -> list[str]:
    """Return the names of the tags in an input."""
    return [checked(tag.get("tagName"), "a tag") for tag in given or ()]


def retagged(row: sqlite3.Row, added: Iterable[Input] | None, deleted: Iterable[Input] | None) -> str:
    """Return the tags of a row, as they are stored, with some added and others deleted."""
    gone = set(tag_names(deleted))
    names = dict.fromkeys([*json.loads(row["tags"]), *tag_names(added)])
    return json.dumps([name for name in names if name not in gone])


def checked_metadata(text: object) -> str | None:
    """Return metadata as JSON text, if they are an object."""
    if text is None:
        return None
    try:
        value = json.loads(str(text))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RefusedError(f"The metadata of an artifact are a JSON object, not {str(text)[:100]!r}.")
    return str(text)


def link(db: sqlite3.Connection, artifact: int, run: int, role: str) -> None:
    """Note that a run has an artifact as "input" or "output"."""
    db.execute("INSERT OR IGNORE INTO artifact_runs VALUES (?, ?, ?)", (artifact, run, role))


def stored_file(db: sqlite3.Connection, md5: str) -> sqlite3.Row | None:
    """Return a file with an MD5 sum that is uploaded, of whichever artifact."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM artifact_files WHERE md5 = ? AND blob IS NOT NULL", (md5,)
    ).fetchone()
    return row


def blobs_of(db: sqlite3.Connection, table: str, artifact: int) -> list[str]:
    """Return the blobs of an artifact in a table: "manifests" or "artifact_files"."""
    rows = db.execute(
        f"SELECT blob FROM {table} WHERE artifact = ? AND blob IS NOT NULL ORDER BY id", (artifact,)
    )
    return [row["blob"] for row in rows]


def unused(db: sqlite3.Connection, blobs: Iterable[str]) -> list[str]:
    """Return those of some blobs that no artifact refers to any more."""
    query = "SELECT 1 FROM artifact_files WHERE blob = ?"
    return [blob for blob in set(blobs) if db.execute(query, (blob,)).fetchone() is None]


def by_id(db: sqlite3.Connection, artifact: int | None) -> sqlite3.Row | None:
    """Return an artifact's row, or that of the version it has become one with; None if there is none."""
    row: sqlite3.Row | None = db.execute(
        "SELECT artifacts.* FROM artifacts JOIN artifacts AS given"
        " ON artifacts.id = coalesce(given.same_as, given.id) WHERE given.id = ?",
        (artifact,),
    ).fetchone()
    return row


def by_client(db: sqlite3.Connection, client_id: object) -> sqlite3.Row | None:
    """Return the artifact of an id that a client has made up before it logged it."""
    row = db.execute("SELECT artifact FROM artifact_clients WHERE client_id = ?", (client_id,)).fetchone()
    return by_id(db, row["artifact"]) if row else None


def find(db: sqlite3.Connection, project: int, name: str | None) -> sqlite3.Row | None:
    """Return the version that "name:v3", "name:alias" or "name", the latest one, stands for."""
    first, _, alias = (name or "").partition(":")
    row = collection(db, project, first)
    return version(db, row["id"], alias or LATEST) if row else None


def version(db: sqlite3.Connection, collection: int, alias: str | None) -> sqlite3.Row | None:
    """Return a version of a collection by its number, such as "v3", or an alias."""
    number = _VERSION.fullmatch(alias or "")
    query = "SELECT id FROM artifacts WHERE collection = ? AND state = 'COMMITTED' AND version = ?"
    if number is None:
        query = "SELECT artifact AS id FROM aliases WHERE collection = ? AND alias = ?"
    row = db.execute(query, (collection, int(number[1]) if number else alias)).fetchone()
    return by_id(db, row["id"]) if row else None


def name_it(db: sqlite3.Connection, artifact: int, aliases: Iterable[str]) -> None:
    """Give a version aliases, which other versions of its collection lose."""
    db.executemany(
        "INSERT INTO aliases (collection, alias, artifact) SELECT collection, ?, id FROM artifacts"
        " WHERE id = ? AND true ON CONFLICT (collection, alias) DO UPDATE SET artifact = excluded.artifact",
        [(alias, artifact) for alias in aliases],
    )


def unname(db: sqlite3.Connection, artifact: int, aliases: Iterable[str]) -> None:
    """Take aliases from a version."""
    db.executemany(
        "DELETE FROM aliases WHERE artifact = ? AND alias = ?", [(artifact, alias) for alias in aliases]
    )


def delete(db: sqlite3.Connection, artifact: int, with_aliases: bool) -> list[str]:
    """Delete a version; return the blobs that are left over. The newest that is left becomes the latest one.

    Raises:
        RefusedError: if it has aliases, and they are not to be deleted with it.
    """
    row = by_id(db, artifact)
    if row is None:
        raise RefusedError("There is no such artifact.")
    aliases = [found["alias"] for found in aliases_of(db, row["id"])]
    if aliases and not with_aliases:
        raise RefusedError(f"This version has aliases, which must be deleted with it: {', '.join(aliases)}.")
    blobs = blobs_of(db, "manifests", row["id"]) + blobs_of(db, "artifact_files", row["id"])
    db.execute("DELETE FROM artifacts WHERE id = ?", (row["id"],))
    newest = db.execute(
        "SELECT id FROM artifacts WHERE collection = ? AND state = 'COMMITTED' ORDER BY version DESC",
        (row["collection"],),
    ).fetchone()
    if newest and LATEST in aliases:
        name_it(db, newest["id"], [LATEST])
    return unused(db, blobs)


def aliases_of(db: sqlite3.Connection, artifact: int) -> list[sqlite3.Row]:
    """Return the aliases of a version."""
    return db.execute("SELECT * FROM aliases WHERE artifact = ? ORDER BY id", (artifact,)).fetchall()


def delete_collection(db: sqlite3.Connection, collection: int) -> list[str]:
    """Delete a collection and its versions; return the blobs that are left over."""
    numbers = [
        row["id"] for row in db.execute("SELECT id FROM artifacts WHERE collection = ?", (collection,))
    ]
    blobs = [
        blob
        for number in numbers
        for table in ("manifests", "artifact_files")
        for blob in blobs_of(db, table, number)
    ]
    db.execute("DELETE FROM collections WHERE id = ?", (collection,))
    return unused(db, blobs)


def delete_outputs(db: sqlite3.Connection, run: int) -> list[str]:
    """Delete the artifacts that a run has made; return the blobs that are left over."""
    rows = db.execute("SELECT id FROM artifacts WHERE run = ? AND same_as IS NULL", (run,)).fetchall()
    return [blob for row in rows for blob in delete(db, row["id"], with_aliases=True)]
