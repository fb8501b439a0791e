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
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from urllib.parse import urlsplit

from jade.errors import ConfigError, TrackingError
from jade.tracking import wandb_run

FOLDER = "server"  # in the experiments folder
# In the folder of a server that runs: where it is; and what it holds locked while it does.
ADDRESS, LOCK = "server.json", "server.lock"
LOG = "server.log"  # what a server that was started here had to say
LOCAL_KEY = "local-" + "0" * 40  # on its own machine the server takes every key that the client takes
START_SECONDS = 60.0
_READY = re.compile(r"WANDB_BASE_URL=(\S+)")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """A server that can be reached.

    Attributes:
        environ: of whatever talks to it.
        is_local: whether it is JADE's own on this machine.
        lifeline: a descriptor that keeps the server alive where it was started here, for those that it must
            outlive; else None.
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
    running = _running(data)
    if running is not None:
        if retries is not None:
            _log.warning("--retry is said to the server when it starts; the one at %s runs already.", running)
        yield Service(_local(environ, running), is_local=True)
        return
    with _started(data, environ, retries) as (address, lifeline):
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
    try:
        with (data / LOCK).open() as held:
            try:
                fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return str(json.loads((data / ADDRESS).read_text(encoding="utf-8"))["url"])
    except (OSError, ValueError, KeyError):
        pass
    return None


@contextmanager
def _started(data: Path, environ: Mapping[str, str], retries: int | None) -> Iterator[tuple[str, int]]:
    data.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    asked = ["--log", "errors", *(["--retry", str(retries)] if retries is not None else [])]
    log = data / LOG
    process: subprocess.Popen[str] | None = None
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
        os.close(reading)
        if not address:
            raise ConfigError(f"The embedded server does not start.\n{said}", where=str(data))
        yield address, writing
    finally:
        with contextlib.suppress(OSError):
            os.close(writing)
        if process is not None:
            _ended(process)


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


def _ended(process: subprocess.Popen[str]) -> None:
    """Wait until a server has ended, which its lifeline tells it to."""
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
