"""The server's state: one SQLite file, written by one transaction at a time.

`write` is a transaction that is on disk when its block ends, `read` sees the last one. What the rows mean is
said by the files that use them: `runs`, `sweeps`, `artifacts`.
"""

from __future__ import annotations

import fcntl
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jade.errors import ConfigError

FILE = "server.sqlite"
LOCK = "server.lock"
VERSION = 2  # of the schema: a folder of another one is refused
WAIT_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL, name TEXT NOT NULL, description TEXT, created_at REAL NOT NULL,
    UNIQUE (entity, name)
);

-- config and summary as the client sent them: JSON text, in which NaN may stand.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    sweep INTEGER REFERENCES sweeps ON DELETE SET NULL,
    config TEXT NOT NULL DEFAULT '{}',
    summary TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    notes TEXT, description TEXT, group_name TEXT, job_type TEXT, host TEXT, program TEXT, commit_hash TEXT,
    repo TEXT,
    created_at REAL NOT NULL,
    heartbeat_at REAL NOT NULL,
    exit_code INTEGER,
    is_preempting INTEGER NOT NULL DEFAULT 0,
    life INTEGER NOT NULL DEFAULT 0,  -- how often it has begun anew under its id
    stop_asked_at REAL,
    UNIQUE (project, name)
);
CREATE INDEX runs_of_sweep ON runs (sweep);
CREATE INDEX live_runs ON runs (heartbeat_at) WHERE state IN ('running', 'preempting');

-- What a client streams, line by line: history, system metrics, console. step is the _step of a history line.
CREATE TABLE lines (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    file TEXT NOT NULL, number INTEGER NOT NULL, step REAL, text TEXT NOT NULL,
    PRIMARY KEY (run, file, number)
) WITHOUT ROWID;

CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL,
    blob TEXT NOT NULL, size INTEGER NOT NULL, md5 TEXT NOT NULL, updated_at REAL NOT NULL,
    UNIQUE (run, name)
);

CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT, description TEXT,
    config TEXT NOT NULL,
    controller TEXT, scheduler TEXT,
    state TEXT NOT NULL,
    seed INTEGER NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL
);

CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
    host TEXT NOT NULL, created_at REAL NOT NULL, heartbeat_at REAL NOT NULL
);

-- A trial is one point of a sweep's space. Its run may be handed out several times, and replaced by another.
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
    number INTEGER NOT NULL,
    params TEXT NOT NULL,
    run TEXT NOT NULL,
    agent INTEGER REFERENCES agents ON DELETE SET NULL,
    status TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 1,
    failures INTEGER NOT NULL DEFAULT 0,  -- those after which it began anew
    given_at REAL,
    UNIQUE (sweep, number)
);
CREATE INDEX trials_of_run ON trials (run);

-- What belongs to artifacts has ids that are never given twice, for clients keep them and addresses of files
-- hold them; nor is the version of a collection.
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    type TEXT NOT NULL, name TEXT NOT NULL, description TEXT, tags TEXT NOT NULL DEFAULT '[]',
    versions INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, updated_at REAL NOT NULL,
    UNIQUE (project, name)
);

-- same_as is the version that a second client has committed first, with the same contents.
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    run INTEGER REFERENCES runs ON DELETE SET NULL,
    version INTEGER, digest TEXT NOT NULL, state TEXT NOT NULL,
    same_as INTEGER REFERENCES artifacts ON DELETE CASCADE,
    description TEXT, metadata TEXT, history_step INTEGER, tags TEXT NOT NULL DEFAULT '[]',
    wanted_aliases TEXT NOT NULL DEFAULT '[]',
    size INTEGER NOT NULL DEFAULT 0, file_count INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE INDEX artifacts_of_collection ON artifacts (collection, digest);
CREATE INDEX artifacts_by_same ON artifacts (same_as);

-- What a client calls an artifact before it has an id.
CREATE TABLE artifact_clients (
    client_id TEXT PRIMARY KEY,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX clients_of_artifact ON artifact_clients (artifact);

CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    alias TEXT NOT NULL,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    UNIQUE (collection, alias)
);
CREATE INDEX aliases_of_artifact ON aliases (artifact);

CREATE TABLE manifests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    name TEXT NOT NULL, digest TEXT NOT NULL, blob TEXT, size INTEGER, md5 TEXT
);
CREATE INDEX manifests_of_artifact ON manifests (artifact);

-- The entries of an artifact: a file, whose blob other artifacts may share, or a reference.
CREATE TABLE artifact_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    name TEXT NOT NULL, md5 TEXT NOT NULL, reference TEXT, blob TEXT, size INTEGER, updated_at REAL NOT NULL,
    UNIQUE (artifact, name)
);
CREATE INDEX artifact_files_by_digest ON artifact_files (md5);
CREATE INDEX artifact_files_by_blob ON artifact_files (blob);

-- role is "output" for the runs that have logged an artifact, "input" for those that have used it.
CREATE TABLE artifact_runs (
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (artifact, run, role)
) WITHOUT ROWID;
CREATE INDEX artifacts_of_run ON artifact_runs (run);
"""


class _Held:
    """A connection that is closed with the thread that reads by it, which may end long before the server."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Store:
    """The state of one server, in the folder it is given, which no other server may use meanwhile.

    Raises:
        ConfigError: if the folder cannot be used, is in use, or was written by another version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.RLock()  # of the one who writes
        self._opening = threading.Lock()
        self._readers = threading.local()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._owned = _owned(folder)
            self._own = self._connect()
            self._writer = self._own.connection
            version = self._writer.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._writer.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise ConfigError(f"{folder} cannot hold the server's data: {error}.", where="--data") from error
        if version not in (0, VERSION):
            self.close()
            raise ConfigError(
                f"{self.path} was written by another version of the server ({version}, not {VERSION}).",
                where="--data",
                hint="Name another folder.",
            )

    def _connect(self) -> _Held:
        connection = sqlite3.connect(
            self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        held = _Held(connection)
        with self._opening:
            self._held.add(held)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # What was acknowledged survives the end of the process at any moment, and of the machine.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return held

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are on disk when the block ends, or undone if it raises."""
        with self._lock:
            if self._writer.in_transaction:  # a part of the transaction around it
                yield self._writer
                return
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        # A full disk may have undone it already; one that stays open would swallow those that follow.
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def read(self) -> sqlite3.Connection:
        """Return a connection of this thread that sees what was written last."""
        held: _Held | None = getattr(self._readers, "held", None)
        if held is None:
            held = self._readers.held = self._connect()
            held.connection.execute("PRAGMA query_only = ON")
        return held.connection

    def secret(self) -> bytes:
        """Return what the tokens of this server are signed with; made once, kept with the data."""
        with self.write() as db:
            db.execute("INSERT OR IGNORE INTO settings VALUES ('secret', ?)", (secrets.token_urlsafe(32),))
            row = db.execute("SELECT value FROM settings WHERE name = 'secret'").fetchone()
        return str(row["value"]).encode()

    def close(self) -> None:
        """Close the file; nothing may be asked of the store afterwards."""
        with self._lock, self._opening:
            held = list(self._held)
        for one in held:
            one.connection.close()
        owned: IO[str] | None = getattr(self, "_owned", None)  # none if it was refused
        if owned is not None:
            owned.close()


def _owned(folder: Path) -> IO[str]:
    """Return an open file that says that this process uses the folder, whatever way it ends."""
    file = (folder / LOCK).open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ConfigError(
            f"{folder} is used by another server.",
            where="--data",
            hint="End that one, or name another folder.",
        ) from None
    except OSError:
        file.close()
        raise
    return file
