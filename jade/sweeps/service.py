"""Which server a sweep is run through: W&B's where there are credentials, else the embedded one.

The embedded server is a process of its own, over the folder `server` of the experiments. One that is there
already is used; one that is started here ends with the last of those that need it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any
from urllib.parse import urlsplit

from jade.errors import ConfigError, TrackingError
from jade.tracking import wandb_run

FOLDER = "server"  # in the experiments folder
# In the folder of a server that runs: where it is; and what it holds locked while it does.
ADDRESS, LOCK = "server.json", "server.lock"
# A pipe that ends the server when the last of those that hold it open for writing has ended.
HELD = "server.held"
LOG = "server.log"  # what a server that was started here had to say
LOCAL_KEY = "local-" + "0" * 40  # on its own machine the server takes every key that the client takes
START_SECONDS, END_SECONDS = 60.0, 15.0
TAKEN = "is used by another server"  # what one says whose folder has a server
_READY = re.compile(r"WANDB_BASE_URL=(\S+)")

_log = logging.getLogger(__name__)


class _TakenError(ConfigError):
    """Another server has the folder."""


@dataclass(frozen=True)
class Service:
    """A server that can be reached.

    Attributes:
        environ: of whatever talks to it.
        is_local: whether it is JADE's own on this machine.
        lifeline: a descriptor that keeps the server alive where a sweep has started it, for those that it
            must outlive; else None.
    """

    environ: Mapping[str, str]
    is_local: bool
    lifeline: int | None = None

    @property
    def url(self) -> str:
        """Where its pages are."""
        return self.environ.get("WANDB_BASE_URL") or "https://wandb.ai"


def is_wanted_local(environ: Mapping[str, str]) -> bool:
    """Say whether nothing in an environment asks for a server of W&B's, or for one at an address."""
    return not environ.get("WANDB_BASE_URL") and not wandb_run.is_online(environ)


@contextmanager
def reached(
    environ: Mapping[str, str], root: Path, *, local: bool = False, retries: int | None = None
) -> Iterator[Service]:
    """Give the server that an environment asks for; start the embedded one if it is that and does not run.

    Args:
        environ: the environment, `.env` included.
        root: the experiments folder.
        local: whether to take the embedded server whatever the environment says.
        retries: how often a failed trial is tried again, if this starts the server.

    Raises:
        ConfigError: if the embedded server cannot be started.
        TrackingError: if the environment names a server and no key.
    """
    if not local and not is_wanted_local(environ):
        yield Service(_online(environ), is_local=False)
        return
    data = root.absolute() / FOLDER
    with _used(data, environ, retries) as (address, lifeline):
        yield Service(_local(environ, address), is_local=True, lifeline=lifeline)


def _online(environ: Mapping[str, str]) -> dict[str, str]:
    address = environ.get("WANDB_BASE_URL")
    found = {**environ, "WANDB_MODE": "online"}
    if address and not wandb_run.is_online(found | {"WANDB_MODE": ""}):
        if urlsplit(address).hostname not in ("127.0.0.1", "localhost", "::1"):
            raise TrackingError(
                f"WANDB_BASE_URL is {address}, for which there is no key.",
                hint=f"WANDB_API_KEY=…, or `wandb login --host {address}`; without that variable, the sweep"
                " runs on this machine.",
            )
        found["WANDB_API_KEY"] = LOCAL_KEY
    return found


def _local(environ: Mapping[str, str], address: str) -> dict[str, str]:
    key = environ.get("JADE_SERVER_KEY") or LOCAL_KEY
    # What names an account elsewhere, or turns the client off, is of no use here.
    kept = {name: value for name, value in environ.items() if name not in ("WANDB_IDENTITY_TOKEN_FILE",)}
    return kept | {"WANDB_BASE_URL": address, "WANDB_API_KEY": key, "WANDB_MODE": "online"}


def _running(data: Path) -> str | None:
    """Return where the server of a folder is reached, if one runs."""
    return str(_announced(data)["url"]) if _is_locked(data) and _announced(data) else None


def _is_locked(data: Path) -> bool:
    try:
        with (data / LOCK).open() as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _announced(data: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        said = json.loads((data / ADDRESS).read_text(encoding="utf-8"))
        if isinstance(said, dict) and {"url", "pid"} <= said.keys():
            return said
    return {}


@contextmanager
def _used(data: Path, environ: Mapping[str, str], retries: int | None) -> Iterator[tuple[str, int | None]]:
    """Give where the server of a folder is reached, and what holds it; start it if there is none."""
    data.mkdir(parents=True, exist_ok=True)
    process: subprocess.Popen[str] | None = None
    lifeline = _held(data)
    try:
        address = _running(data)
        if address is None:
            _let_go(lifeline)
            lifeline = None
            try:
                process, address, lifeline = _started(data, environ, retries)
            except _TakenError:  # another command has started one at the same moment
                lifeline = _held(data)
                address = _awaited(data)
        elif retries is not None:
            _log.warning("--retry is said to the server when it starts; the one at %s runs already.", address)
        yield address, lifeline
    finally:
        _ended(data, process, lifeline)


def _held(data: Path) -> int | None:
    """Keep the server of a folder alive, if a sweep has started it; wait until it has ended if it ends."""
    try:
        lifeline = os.open(data / HELD, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody reads: it is none, or one that ends when it is told
        return None
    fcntl.flock(lifeline, fcntl.LOCK_SH)
    return lifeline


def _let_go(lifeline: int | None) -> None:
    if lifeline is not None:
        os.close(lifeline)


def _awaited(data: Path) -> str:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        address = _running(data)
        if address is not None:
            return address
        time.sleep(0.1)
    raise ConfigError("The embedded server that another command starts does not begin.", where=str(data))


def _started(
    data: Path, environ: Mapping[str, str], retries: int | None
) -> tuple[subprocess.Popen[str], str, int | None]:
    with contextlib.suppress(FileExistsError):
        os.mkfifo(data / HELD)
    reading = os.open(data / HELD, os.O_RDONLY | os.O_NONBLOCK)
    lifeline = _held(data)
    os.set_blocking(reading, True)
    asked = ["--log", "errors", *(["--retry", str(retries)] if retries is not None else [])]
    log = data / LOG
    try:
        # The usual port first, so that the address of the pages stays the same.
        for port in ("8080", "0"):
            command = [sys.executable, "-m", "jade.sweeps.tied", "jade", "server", "--data", str(data)]
            with log.open("w") as errors:
                process = subprocess.Popen(
                    [*command, "--port", port, *asked],
                    env=dict(environ),
                    stdin=reading,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    start_new_session=True,
                )
            address = _address(process)
            said = log.read_text(errors="replace").strip()
            if address or "--port" not in said:
                break
    finally:
        os.close(reading)
    if address:
        return process, address, lifeline
    _let_go(lifeline)
    kind = _TakenError if TAKEN in said else ConfigError
    raise kind(f"The embedded server does not start.\n{said}", where=str(data))


def _address(process: subprocess.Popen[str]) -> str | None:
    """Return the address that a server prints; None if it has ended instead."""
    lines: Queue[str | None] = Queue()
    threading.Thread(target=_passed_on, args=(process, lines), daemon=True).start()
    with contextlib.suppress(Empty):
        while (line := lines.get(timeout=START_SECONDS)) is not None:
            found = _READY.search(line)
            if found:
                return found[1]
    process.terminate()
    process.wait()
    return None


def _passed_on(process: subprocess.Popen[str], lines: Queue[str | None]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def _ended(data: Path, process: subprocess.Popen[str] | None, lifeline: int | None) -> None:
    """End a server that a sweep has started and that nobody else needs, and wait until it has ended."""
    if lifeline is None:
        return
    try:
        # Who comes now waits for its end, and starts one of its own.
        fcntl.flock(lifeline, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.suppress(KeyError, ProcessLookupError):
            if _is_locked(data):
                os.kill(_announced(data)["pid"], signal.SIGTERM)
        end = time.monotonic() + END_SECONDS
        while _is_locked(data) and time.monotonic() < end:
            time.sleep(0.05)
        if process is not None:
            process.wait(END_SECONDS)
    except (BlockingIOError, subprocess.TimeoutExpired):  # others need it, or it ends later
        pass
    finally:
        os.close(lifeline)
