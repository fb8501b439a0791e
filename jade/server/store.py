"""The server's state: one SQLite file, written by one transaction at a time.

`write` is a transaction that is on disk when its block ends, `read` sees the last one. Its tables are in
`schema`; what the rows mean is said by the files that use them: `runs`, `sweeps`, `artifacts`.
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
from jade.server import schema

FILE = "server.sqlite"
LOCK = "server.lock"
WAIT_SECONDS = 30.0


class _Held:
    """A connection that is closed with the thread that reads by it, which may end long before the server."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __del__(self) -> None:
        self.connection.close()


class Store:
    """The state of one server, in the folder it is given, which no other server may use meanwhile.

    Attributes:
        path: the SQLite file.
        trouble: why SQLite could not write the last time; None if it could.
        commits: transactions that have ended well: what was read at one number may be kept for it.

    Raises:
        ConfigError: if the folder cannot be used, is in use, or was written by another version.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self.trouble: str | None = None
        self.commits = 0
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
                schema.create(self._writer)
            elif schema.OLDEST <= version < schema.VERSION:
                schema.upgrade(self._writer)
        except (OSError, sqlite3.Error, ValueError) as error:  # the last: rows that are no JSON
            self.close()
            raise ConfigError(f"{folder} cannot hold the server's data: {error}.", where="--data") from error
        if version and not schema.OLDEST <= version <= schema.VERSION:
            self.close()
            raise ConfigError(
                f"{self.path} was written by another version of the server"
                f" ({version}, not {schema.VERSION}).",
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
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
                self._writer.execute("COMMIT")
                self.commits += 1
            except BaseException as error:
                if isinstance(error, sqlite3.OperationalError):  # a full disk, one that cannot be written, …
                    self.trouble = str(error)
                self._undo()
                raise
            self.trouble = None

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
        # The last connection that is closed writes the log of SQLite back into the file.
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
