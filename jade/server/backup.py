"""A copy of a server's folder, made while the server runs, that is a folder for a server itself.

The database is copied as it was at one moment, by SQLite. A server never changes a file, and deletes one only
after the database has ceased to name it. So a file that is gone is either not named a moment later, or was
lost before.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from jade.errors import ConfigError
from jade.server import schema
from jade.server.blobs import FILES, Blobs, sync
from jade.server.store import FILE

_TABLES = ("files", "manifests", "artifact_files")  # those that name blobs
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Copied:
    """What a copy holds.

    Attributes:
        runs: how many.
        files: how many that runs or artifacts have uploaded.
    """

    runs: int
    files: int


def copy(data: Path, into: Path) -> Copied:
    """Copy a server's folder, whole or not at all; the server may be running.

    Args:
        data: the server's folder.
        into: the folder to be made.

    Raises:
        ConfigError: if there is no server's data, or the copy cannot be made.
    """
    if not (data / FILE).is_file():
        raise ConfigError(f"{data} holds no data of a server: there is no {FILE}.", where="--data")
    if into.exists() or into.is_symlink():
        raise ConfigError(f"{into} exists already.", where="--into", hint="Name a folder that does not.")
    part = into.with_name(f".{into.name}.{secrets.token_hex(4)}.part")
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        part.mkdir()
        copied = _copied(data, part)
        part.rename(into)
        sync(into.parent)
    except (OSError, sqlite3.Error) as error:
        raise ConfigError(f"{data} cannot be copied to {into}: {error}.", where="--into") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return copied


def _copied(data: Path, part: Path) -> Copied:
    source, target = Blobs(data / FILES), Blobs(part / FILES)
    with closing(sqlite3.connect(data / FILE)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if not schema.OLDEST <= version <= schema.VERSION:
            raise ConfigError(f"{data / FILE} was written by another version of the server.", where="--data")
        missing: set[str] = set()
        while True:
            # The database stays as it is now to this reader. Copying it takes a while, in which files are
            # replaced: they are linked before.
            db.execute("BEGIN")
            named = _named(db)
            before, missing = missing, _link(source, target, named)
            lost = missing & before
            if missing == lost:
                break
            db.execute("ROLLBACK")
        runs: int = db.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
        with closing(sqlite3.connect(part / FILE)) as written:
            db.backup(written)
    if lost:
        _log.warning("%d files are missing in %s, and so in the copy.", len(lost), data)
    target.clear(named)
    target.sync()
    with (part / FILE).open("rb") as file:
        os.fsync(file.fileno())
    sync(part)
    return Copied(runs, len(named - lost))


def _named(db: sqlite3.Connection) -> set[str]:
    rows = [row for table in _TABLES for row in db.execute(f"SELECT blob FROM {table}")]
    return {blob for (blob,) in rows if blob}


def _link(source: Blobs, target: Blobs, names: set[str]) -> set[str]:
    """Let a folder have these blobs, too, and return those that are not there."""
    missing = set()
    for name in names:
        path = target.path(name)
        if path.exists():
            continue
        path.parent.mkdir(exist_ok=True)
        try:
            _take(source.path(name), path)
        except FileNotFoundError:
            missing.add(name)
    return missing


def _take(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        with source.open("rb") as read, target.open("wb") as written:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
