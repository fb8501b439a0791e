"""Uploaded files: which blob an address of `tokens` leads to, and what becomes of one that arrived."""

from __future__ import annotations

import base64
import sqlite3

from jade.server import artifacts, runs
from jade.server.blobs import Upload
from jade.server.context import Parts
from jade.server.runs import RefusedError
from jade.server.tokens import Right

# A run's file is known by its name, what belongs to an artifact by its row.
_TABLES = ("manifests", "artifact_files")


def enter(parts: Parts, right: Right, upload: Upload) -> str | None:
    """Enter an uploaded blob as the file of an address; return the blob that is of no use any more."""
    now = parts.now()
    with parts.store.write() as db:
        if right.kind == "files":
            uploaded = (upload.name, upload.size, upload.md5)
            return runs.put_file(db, right.owner, right.name, uploaded, now)
        if right.kind not in _TABLES:
            raise RefusedError("This address leads to nothing.")
        return _entered(db, right, upload)


def _entered(db: sqlite3.Connection, right: Right, upload: Upload) -> str | None:
    """Enter what belongs to an artifact: it must be what was announced, and is not replaced."""
    row = db.execute(f"SELECT * FROM {right.kind} WHERE id = ?", (right.owner,)).fetchone()
    if row is None:
        raise RefusedError("The artifact of this file is deleted.")
    announced = row["md5"] if right.kind == "artifact_files" else row["digest"]
    if announced != upload.md5:
        raise RefusedError(f"What arrived as {row['name']!r} has another MD5 sum than was announced.")
    if row["blob"] and row["md5"] == upload.md5:  # it was sent twice, and may be shared already
        return upload.name
    db.execute(
        f"UPDATE {right.kind} SET blob = ?, size = ?, md5 = ? WHERE id = ?",
        (upload.name, upload.size, upload.md5, right.owner),
    )
    return str(row["blob"]) if row["blob"] else None


def located(parts: Parts, right: Right) -> str | None:
    """Return the blob that an address leads to, None if there is none."""
    db = parts.store.read()
    if right.kind == "files":
        query = "SELECT blob FROM files WHERE run = ? AND name = ?"
        row = db.execute(query, (right.owner, right.name)).fetchone()
    elif right.kind in _TABLES:
        row = db.execute(f"SELECT blob FROM {right.kind} WHERE id = ?", (right.owner,)).fetchone()
    else:
        row = None
    return row["blob"] if row else None


def by_digest(parts: Parts, digest: str) -> str | None:
    """Return the blob of an artifact's file with an MD5 sum in hexadecimal digits, None if there is none."""
    try:
        md5 = base64.b64encode(bytes.fromhex(digest)).decode()
    except ValueError:
        return None
    row = artifacts.stored_file(parts.store.read(), md5)
    return str(row["blob"]) if row else None


def in_use(parts: Parts) -> set[str]:
    """Return the names of all blobs that a file refers to."""
    db = parts.store.read()
    tables = ("files", *_TABLES)
    rows = [row for table in tables for row in db.execute(f"SELECT blob FROM {table}")]
    return {row["blob"] for row in rows if row["blob"]}
