"""A running server: its parts put together, bound to an address, until it is told to end."""

from __future__ import annotations

import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from jade.errors import ConfigError, raise_all
from jade.server import announced, connections, curves, drafts, files, runs
from jade.server.announced import Announcement
from jade.server.blobs import FILES, Blobs
from jade.server.context import Parts
from jade.server.dispatcher import Dispatcher, Heard, Patience
from jade.server.http import SHORTEST_KEY, app, is_loopback
from jade.server.log import Requests
from jade.server.runs import RefusedError
from jade.server.store import Store
from jade.server.tokens import SECONDS, Tokens

ENTITY = "local"


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
    """Return the parts of a server, its data opened and cleared of what a killed one has left.

    Raises:
        ConfigError: if the folder cannot be used.
    """
    blobs, store = _blobs(settings.data), Store(settings.data)
    heard = Heard()
    parts = Parts(
        store=store,
        blobs=blobs,
        tokens=Tokens(store.secret(), time.time),
        dispatcher=Dispatcher(store, heard, time.time, settings.patience),
        heard=heard,
        now=time.time,
        entity=settings.entity,
        seed=settings.seed,
    )
    with store.write() as db:
        drafts.forget_unfinished(db, time.time() - SECONDS)
        curves.mend(db)
    parts.blobs.clear(files.in_use(parts))
    return parts


def _blobs(data: Path) -> Blobs:
    try:
        return Blobs(data / FILES)
    except OSError as error:
        raise ConfigError(f"{data} cannot hold the server's files: {error}.", where="--data") from error


def serve(settings: Settings, on_ready: Callable[[str], None]) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Args:
        settings: how the server runs.
        on_ready: called with the server's address, once it can be reached.

    Raises:
        ConfigError: if the folder or the address cannot be used, or the address needs a key.
    """
    check(settings)
    with closing(bound_to(settings)) as bound:
        parts = parts_of(settings)
        host = _reached_at(settings.host, bound.family)
        address = f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"
        announcement = Announcement(address, os.getpid(), settings.entity, settings.api_key is not None)

        def be_ready() -> None:
            announced.announce(settings.data, announcement)
            on_ready(address)

        with closing(parts.store):
            announced.withdraw(settings.data)  # what a killed one has left
            application = Requests(app(parts, settings.api_key))
            _Server(connections.config(application, connections.allowed()), be_ready).run(sockets=[bound])
            announced.withdraw(settings.data)


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
    """Refuse settings under which anybody could use the server, or nobody.

    Raises:
        ConfigError: if there is no key on an address that others reach, or something given is out of range.
    """
    faults = []
    if settings.api_key is None and not is_loopback(settings.host):
        faults.append(
            ConfigError(
                f"{settings.host} can be reached from other machines: a server there needs an API key.",
                where="--host",
                hint="--api-key KEY, or the variable JADE_SERVER_KEY, with 40 characters or more;"
                ' python -c "import secrets; print(secrets.token_hex(20))" makes one',
            )
        )
    if settings.api_key is not None and len(settings.api_key) < SHORTEST_KEY:
        faults.append(
            ConfigError(
                f"An API key has {SHORTEST_KEY} characters or more, as the client wants it;"
                f" this one has {len(settings.api_key)}.",
                where="--api-key",
            )
        )
    raise_all([*faults, *_out_of_range(settings)])


def _out_of_range(settings: Settings) -> list[ConfigError]:
    patience, faults = settings.patience, []
    if not 0 < patience.grace < math.inf:
        faults.append(ConfigError(f"{patience.grace} is no number of seconds to wait.", where="--grace"))
    if patience.retries is not None and patience.retries < 0:
        faults.append(ConfigError(f"Nothing can be tried {patience.retries} times.", where="--retry"))
    try:
        runs.checked(settings.entity, "an entity")
    except RefusedError as error:
        faults.append(ConfigError(str(error), where="--entity"))
    return faults


def bound_to(settings: Settings) -> socket.socket:
    """Return a socket that listens at the server's address.

    Raises:
        ConfigError: if the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small answers at once on sockets that say that they are TCP: else each waits for 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((settings.host, settings.port))
        # Only who listens has the port: until then another that starts at the same moment may bind it, too.
        bound.listen()
    except (OSError, OverflowError, UnicodeError) as error:
        bound.close()
        where, hint = "--host", None
        if _is_address(settings.host, family):
            where, hint = "--port", "--port 0 takes a free one."
        raise ConfigError(
            f"{settings.host}:{settings.port} cannot be used: {getattr(error, 'strerror', None) or error}.",
            where=where,
            hint=hint,
        ) from error
    return bound


def _reached_at(host: str, family: socket.AddressFamily) -> str:
    """Return where others find this machine, for a host that stands for all of its addresses."""
    if host not in ("0.0.0.0", "::"):
        return host
    with socket.socket(family, socket.SOCK_DGRAM) as asked:
        try:
            # Sends nothing: it makes the system choose the address that it would send from.
            asked.connect(("2001:db8::1" if family == socket.AF_INET6 else "192.0.2.1", 9))
            return str(asked.getsockname()[0])
        except OSError:
            return socket.gethostname()


def _is_address(host: str, family: socket.AddressFamily) -> bool:
    """Say whether this machine has an address, so that it is the port which cannot be used."""
    with socket.socket(family) as tried:
        try:
            tried.bind((host, 0))
        except (OSError, UnicodeError):
            return False
    return True
