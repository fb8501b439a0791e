"""Artifacts that are being made: begun, filled with files, committed as the newest version of a collection.

Every function works inside a transaction of `store`. An artifact whose contents its collection holds already
is no new version, but that one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from jade.server import runs
from jade.server.artifacts import (
    LATEST,
    blobs_of,
    by_id,
    checked,
    checked_alias,
    checked_metadata,
    collection,
    link,
    name_it,
    retagged,
    stored_file,
    tag_names,
    unused,
)
from jade.server.manifests import Entry
from jade.server.runs import RefusedError

PENDING, COMMITTED, MERGED = "PENDING", "COMMITTED", "MERGED"
_SHOWN = 3  # files that an error names

Input = Mapping[str, Any]


def create(db: sqlite3.Connection, given: Input, entity: str, now: float) -> int:
    """Begin an artifact; return its id, or that of the version with the same contents.

    Args:
        db: the transaction.
        given: the mutation's input.
        entity: the default one.
        now: seconds since the epoch.
    """
    refuse_time_to_live(given)
    entity, project = given.get("entityName") or entity, given.get("projectName") or "uncategorized"
    run = _run(db, entity, project, given.get("runName"))
    collection = _collection(db, runs.project(db, entity, project, now), given, now)
    found = _same(db, collection, given)
    artifact = int(found["id"]) if found else _begun(db, collection, run, given, now)
    if run is not None:
        link(db, artifact, run, "output")
    if given.get("clientID"):
        db.execute("INSERT OR REPLACE INTO artifact_clients VALUES (?, ?)", (given["clientID"], artifact))
    if found and found["state"] == COMMITTED:
        name_it(db, artifact, [*_aliases(given), LATEST])
        tags = retagged(found, given.get("tags"), None)
        db.execute("UPDATE artifacts SET tags = ? WHERE id = ?", (tags, artifact))
    return artifact


def refuse_time_to_live(given: Input) -> None:
    """Refuse an input that wants an artifact to be deleted after some time."""
    if (given.get("ttlDurationSeconds") or 0) > 0:
        raise RefusedError("This server keeps artifacts until they are deleted: it serves no time to live.")


def _run(db: sqlite3.Connection, entity: str, project: str, name: str | None) -> int | None:
    if not name:
        return None
    row = runs.find(db, entity, project, name)
    if row is None:
        raise RefusedError(f"There is no run {name!r} in {entity}/{project}.")
    return int(row["id"])


def _collection(db: sqlite3.Connection, project: int, given: Input, now: float) -> int:
    """Return the collection of a new artifact, which is made if there is none."""
    named = [*(given.get("artifactCollectionNames") or ()), given.get("artifactCollectionName")]
    name = checked(named[0], "an artifact")
    kind = checked(given.get("artifactTypeName"), "a type of artifacts")
    row = collection(db, project, name)
    if row is None:
        values = (project, kind, name, now, now)
        return _inserted(
            db.execute(
                "INSERT INTO collections (project, type, name, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?)",
                values,
            )
        )
    if row["type"] != kind:
        raise RefusedError(f"The artifact {name!r} is of the type {row['type']!r}, not {kind!r}.")
    return int(row["id"])


def _same(db: sqlite3.Connection, collection: int, given: Input) -> sqlite3.Row | None:
    """Return the version with the contents of a new artifact, or what the same client has begun before."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM artifacts WHERE collection = ? AND digest = ?"
        " AND (state = 'COMMITTED' OR state = 'PENDING'"
        " AND id IN (SELECT artifact FROM artifact_clients WHERE client_id = ?))"
        " ORDER BY state, version DESC",
        (collection, str(given.get("digest")), given.get("clientID")),
    ).fetchone()
    return row


def _begun(db: sqlite3.Connection, collection: int, run: int | None, given: Input, now: float) -> int:
    if not given.get("digest"):
        raise RefusedError("An artifact without a digest is not served.")
    values = {
        "collection": collection,
        "run": run,
        "digest": str(given["digest"]),
        "state": PENDING,
        "description": given.get("description"),
        "metadata": checked_metadata(given.get("metadata")),
        "history_step": given.get("historyStep"),
        "tags": json.dumps(tag_names(given.get("tags"))),
        "wanted_aliases": json.dumps(_aliases(given)),
        "created_at": now,
        "updated_at": now,
    }
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    return _inserted(db.execute(f"INSERT INTO artifacts ({names}) VALUES ({marks})", tuple(values.values())))


def _aliases(given: Input) -> list[str]:
    return [checked_alias(item.get("alias")) for item in given.get("aliases") or []]


def opened(db: sqlite3.Connection, artifact: int) -> sqlite3.Row:
    """Return the row of an artifact that is not committed yet.

    Raises:
        RefusedError: if it is, or is deleted.
    """
    row = by_id(db, artifact)
    if row is None or row["state"] != PENDING:
        raise RefusedError("This artifact is complete, or deleted: nothing can be added to it.")
    return row


def want_file(db: sqlite3.Connection, artifact: int, name: str, md5: str, now: float) -> sqlite3.Row:
    """Enter a file by its name and MD5 sum; return its row, which has a blob if the file is there already."""
    opened(db, artifact)
    stored = stored_file(db, md5)
    row: sqlite3.Row = db.execute(
        "INSERT INTO artifact_files (artifact, name, md5, blob, size, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (artifact, name) DO UPDATE"
        " SET md5 = excluded.md5, blob = excluded.blob, size = excluded.size RETURNING *",
        (artifact, name, md5, stored and stored["blob"], stored and stored["size"], now),
    ).fetchone()
    return row


def manifest_blob(db: sqlite3.Connection, artifact: int) -> str | None:
    """Return the blob of the manifest of an artifact that can be committed, None if it is committed already.

    Raises:
        RefusedError: if the manifest was not uploaded.
    """
    row = by_id(db, artifact)
    if row is not None and row["state"] != PENDING:
        return None
    found = blobs_of(db, "manifests", artifact)
    if not found:
        raise RefusedError("The manifest of this artifact was not uploaded.")
    return found[-1]


def commit(db: sqlite3.Connection, artifact: int, entries: Sequence[Entry], now: float) -> list[str]:
    """Make a begun artifact the newest version; return the blobs that are left over.

    It becomes one with a version of the same contents, if another client has committed that meanwhile.

    Raises:
        RefusedError: if a file of its manifest was not uploaded.
    """
    row = by_id(db, artifact)
    if row is None or row["state"] != PENDING:  # another request has committed it
        return []
    same = _same(db, row["collection"], {"digest": row["digest"]})
    if same is not None:
        return _merge(db, row, same["id"])
    left = _fill(db, artifact, entries, now)
    version = db.execute(
        "UPDATE collections SET versions = versions + 1, updated_at = ? WHERE id = ? RETURNING versions - 1",
        (now, row["collection"]),
    ).fetchone()[0]
    db.execute(
        "UPDATE artifacts SET state = 'COMMITTED', version = ?, size = ?, file_count = ?, updated_at = ?"
        " WHERE id = ?",
        (version, sum(entry.size for entry in entries), len(entries), now, artifact),
    )
    name_it(db, artifact, [*json.loads(row["wanted_aliases"]), LATEST])
    return left


def _fill(db: sqlite3.Connection, artifact: int, entries: Sequence[Entry], now: float) -> list[str]:
    """Enter what a manifest lists, be it files of other artifacts; return the blobs that are left over."""
    files = {entry.name: stored_file(db, entry.digest) for entry in entries if entry.reference is None}
    missing = [name for name, file in files.items() if file is None]
    if missing:
        raise RefusedError(f"{len(missing)} files were not uploaded: {', '.join(missing[:_SHOWN])}.")
    announced = blobs_of(db, "artifact_files", artifact)
    db.execute("DELETE FROM artifact_files WHERE artifact = ?", (artifact,))
    for entry in entries:
        file = files.get(entry.name)
        blob, size = (file["blob"], file["size"]) if file else (None, entry.size)
        db.execute(
            "INSERT INTO artifact_files (artifact, name, md5, reference, blob, size, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (artifact, entry.name, entry.digest, entry.reference, blob, size, now),
        )
    return unused(db, announced)


def _merge(db: sqlite3.Connection, row: sqlite3.Row, same: int) -> list[str]:
    """Let an artifact be another version of the same contents; its own id goes on leading there."""
    blobs = blobs_of(db, "manifests", row["id"]) + blobs_of(db, "artifact_files", row["id"])
    for table in ("manifests", "artifact_files"):
        db.execute(f"DELETE FROM {table} WHERE artifact = ?", (row["id"],))
    db.execute(
        "INSERT OR IGNORE INTO artifact_runs SELECT ?, run, role FROM artifact_runs WHERE artifact = ?",
        (same, row["id"]),
    )
    db.execute("UPDATE artifacts SET state = ?, same_as = ? WHERE id = ?", (MERGED, same, row["id"]))
    name_it(db, same, [*json.loads(row["wanted_aliases"]), LATEST])
    return unused(db, blobs)


def forget_unfinished(db: sqlite3.Connection, before: float) -> None:
    """Delete artifacts that were begun before a time and never committed; their blobs are left over."""
    db.execute("DELETE FROM artifacts WHERE state = 'PENDING' AND updated_at < ?", (before,))


def _inserted(cursor: sqlite3.Cursor) -> int:
    return cursor.lastrowid or 0  # None only where nothing was inserted
