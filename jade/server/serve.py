"""A running server: its parts put together, bound to an address, until it is told to end."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from jade.errors import ConfigError
from jade.server import drafts, files
from jade.server.blobs import Blobs
from jade.server.context import Parts
from jade.server.dispatcher import Dispatcher, Heard, Patience
from jade.server.http import SHORTEST_KEY, app, is_loopback
from jade.server.store import Store
from jade.server.tokens import SECONDS, Tokens

ENTITY = "local"
_END_SECONDS = 5  # for requests that are being answered when the server is told to end


@dataclass(frozen=True)
class Settings:
    """How a server runs.

    Attributes:
        data: the folder that keeps everything.
        host: the address it listens on.
        port: 0 takes a free one.
        api_key: that every request needs; may be None on loopback only.
        entity: whose runs are those that name no entity.
        seed: of the first sweep of each project.
        patience: with agents and runs of which nothing is heard.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    api_key: str | None = None
    entity: str = ENTITY
    seed: int = 0
    patience: Patience = field(default_factory=Patience)


def parts_of(settings: Settings) -> Parts:
    """Return the parts of a server, its data opened and cleared of what a killed one has left."""
    store = Store(settings.data)
    heard = Heard()
    parts = Parts(
        store=store,
        blobs=Blobs(settings.data / "files"),
        tokens=Tokens(store.secret(), time.time),
        dispatcher=Dispatcher(store, heard, time.time, settings.patience),
        heard=heard,
        now=time.time,
        entity=settings.entity,
        seed=settings.seed,
    )
    with store.write() as db:
        drafts.forget_unfinished(db, time.time() - SECONDS)
    parts.blobs.clear(files.in_use(parts))
    return parts


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Args:
        settings: how the server runs.
        on_ready: called with the server's address, once it can be reached.

    Raises:
        ConfigError: if the folder or the address cannot be used, or the address needs a key.
    """
    check(settings)
    bound = _bound(settings)
    parts = parts_of(settings)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"http://{host}:{bound.getsockname()[1]}"
    config = uvicorn.Config(
        app(parts, settings.api_key),
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_END_SECONDS,
    )
    server = _Server(config, lambda: on_ready(address))
    try:
        server.run(sockets=[bound])
    finally:
        bound.close()
        parts.store.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGINT and SIGTERM, which uvicorn itself would raise once more afterwards."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def check(settings: Settings) -> None:
    """Refuse settings under which anybody could use the server.

    Raises:
        ConfigError: if there is no key on an address that others reach, or the key is too short.
    """
    if settings.api_key is None and not is_loopback(settings.host):
        raise ConfigError(
            f"{settings.host} can be reached from other machines: a server there needs an API key.",
            where="--host",
            hint="--api-key KEY, or the variable JADE_SERVER_KEY, with 40 characters or more;"
            ' python -c "import secrets; print(secrets.token_hex(20))" makes one',
        )
    if settings.api_key is not None and len(settings.api_key) < SHORTEST_KEY:
        raise ConfigError(
            f"An API key has {SHORTEST_KEY} characters or more, as the client wants it;"
            f" this one has {len(settings.api_key)}.",
            where="--api-key",
        )


def _bound(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
    except OSError as error:
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be used: {error.strerror}.",
            where="--port",
            hint="--port 0 takes a free one.",
        ) from error
    return bound
