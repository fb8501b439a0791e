"""What answering a request takes: the parts of the server, and from where the client asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from jade.server.blobs import Blobs
from jade.server.dispatcher import Dispatcher, Heard
from jade.server.store import Store
from jade.server.tokens import Right, Tokens


@dataclass(frozen=True)
class Parts:
    """The parts of one server.

    Attributes:
        store: its state.
        blobs: its files.
        tokens: makes the addresses of files.
        dispatcher: hands out trials.
        heard: when something was last heard of agents and runs.
        now: gives seconds since the epoch.
        entity: whose runs are those that name no entity.
        seed: of the first sweep of each project.
    """

    store: Store
    blobs: Blobs
    tokens: Tokens
    dispatcher: Dispatcher
    heard: Heard
    now: Callable[[], float]
    entity: str
    seed: int


@dataclass(frozen=True)
class Context:
    """One request.

    Attributes:
        parts: the server.
        base_url: the server as the client addresses it, for it may be behind a tunnel.
    """

    parts: Parts
    base_url: str

    @property
    def db(self) -> sqlite3.Connection:
        """A connection that reads."""
        return self.parts.store.read()

    def address(self, right: Right, shown: str) -> str:
        """Return where a file is put or got; `shown` is the name a browser saves it under."""
        return f"{self.base_url}/storage/{self.parts.tokens.make(right)}/{quote(shown, safe='')}"


def time_text(seconds: float) -> str:
    """Return a time as W&B gives it, such as "2026-11-21T17:03:59Z"."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
