"""Serve W&B's protocol on this machine, for sweeps without an account (`server`, `server backup`)."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jade.errors import ConfigError

_KEY = "local-" + "0" * 40


def run(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C, or copy a server's data; return the exit code."""
    if arguments[:1] == ["backup"]:
        return backup(arguments[1:])
    given = _parser().parse_args(arguments)
    with _extra():
        # They come with the extra, and take a while.
        from jade.server.dispatcher import Patience
        from jade.server.log import kept
        from jade.server.serve import Settings, serve
    data = given.data or _data()
    settings = Settings(
        data=data,
        host=given.host,
        port=given.port,
        api_key=given.api_key,
        entity=given.entity,
        seed=given.seed,
        patience=Patience(given.grace, given.retry),
    )
    with kept(given.log, given.log_file):
        serve(settings, lambda address: _say(address, data, given.api_key is not None))
    return 0


def backup(arguments: Sequence[str]) -> int:
    """Copy a server's data to a new folder, which --data takes; the server may be running."""
    parser = argparse.ArgumentParser(prog="python -m jade server backup", description=backup.__doc__)
    parser.add_argument("--data", metavar="DIR", type=Path, help="as the server has it")
    parser.add_argument("--into", metavar="FOLDER", type=Path, required=True, help="to be made")
    given = parser.parse_args(arguments)
    with _extra():
        from jade.server.backup import copy  # what it takes of the server comes with the extra
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    copied = copy(given.data or _data(), given.into)
    sys.stdout.write(f"{given.into} holds {copied.runs} runs and {copied.files} files.\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jade server",
        description=__doc__,
        epilog="python -m jade server backup copies the data while the server runs.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, default=8080, help="port; 0 takes a free one (default 8080)")
    add(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder that keeps everything (default: server, in EXPERIMENTS_ROOT or experiments)",
    )
    add(
        "--api-key",
        metavar="KEY",
        default=os.environ.get("JADE_SERVER_KEY") or None,
        help="key that every request needs; not needed on loopback (default: JADE_SERVER_KEY)",
    )
    add("--entity", default="local", help="whose runs are those that name no entity (default local)")
    add("--seed", type=int, default=0, help="seed of what sweeps propose (default 0)")
    add(
        "--grace",
        metavar="SECONDS",
        type=float,
        default=90.0,
        help="after so long without a word from its agent and run, a trial is handed out again (default 90)",
    )
    add(
        "--retry",
        metavar="N",
        type=int,
        help="how often a trial that failed is tried again, from its start (default: 1 in a grid, else 0)",
    )
    add(
        "--log",
        choices=("requests", "errors"),
        default="requests",
        help="a line for each request, or for what was refused and failed (default requests)",
    )
    add("--log-file", metavar="FILE", type=Path, help="where lines go, up to 10 MB twice (default stderr)")
    return parser


def _data() -> Path:
    return Path(os.environ.get("EXPERIMENTS_ROOT") or "experiments") / "server"


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where a package of the extra is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "jade":
            raise
        raise ConfigError(
            f"The server needs {package}, which is not installed.",
            where="python -m jade server",
            hint="In JADE's clone: pip install '.[server]'",
        ) from None


def _say(address: str, data: Path, has_key: bool) -> None:
    key = "<the key>" if has_key else _KEY
    sys.stdout.write(
        f"JADE's server is ready; Ctrl-C ends it. Its data is in {shlex.quote(str(data))}.\n"
        f"Its pages: {address}\n\n"
        "In the shell of each agent and run:\n\n"
        f"  export WANDB_BASE_URL={address}\n"
        f"  export WANDB_API_KEY={key}\n\n"
    )
    sys.stdout.flush()
