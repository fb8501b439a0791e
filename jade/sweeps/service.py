"""Which server a sweep is run through: W&B's where there are credentials, else the embedded one.

The embedded server is a process of its own, over the folder `server` of the experiments: see `embedded`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from jade.errors import TrackingError
from jade.sweeps.embedded import Embedded
from jade.tracking import wandb_run

FOLDER = "server"  # in the experiments folder
LOCAL_KEY = "local-" + "0" * 40  # on its own machine the server takes every key that the client takes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """A server that can be reached.

    Attributes:
        environ: of whatever talks to it.
        embedded: the process, if it is JADE's own on this machine.
    """

    environ: Mapping[str, str]
    embedded: Embedded | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is JADE's own on this machine."""
        return self.embedded is not None

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
        yield Service(_online(environ))
        return
    with closing(Embedded(root.absolute() / FOLDER, environ, retries)) as embedded:
        if retries is not None and not embedded.is_own:
            _log.warning(
                "--retry is said to the server when it starts; the one at %s runs already.", embedded.address
            )
        yield Service(_local(environ, embedded.address), embedded)


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
