"""Serve W&B's protocol on this machine, for sweeps without an account: `python -m jade server`."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from jade.errors import ConfigError

_KEY = "local-" + "0" * 40


def run(arguments: Sequence[str]) -> int:
    """Serve until Ctrl-C; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jade server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port; 0 takes a free one (default 8080)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        help="folder that keeps everything (default: server, in EXPERIMENTS_ROOT or experiments)",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        default=os.environ.get("JADE_SERVER_KEY") or None,
        help="key that every request needs; not needed on loopback (default: JADE_SERVER_KEY)",
    )
    parser.add_argument(
        "--entity", default="local", help="whose runs are those that name no entity (default local)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of what sweeps propose (default 0)")
    parser.add_argument(
        "--grace",
        metavar="SECONDS",
        type=float,
        default=90.0,
        help="after so long without a word from its agent and run, a trial is handed out again (default 90)",
    )
    parser.add_argument(
        "--retry",
        metavar="N",
        type=int,
        help="how often a trial that failed is tried again, from its start (default: 1 in a grid, else 0)",
    )
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    _serve(given)
    return 0


def _serve(given: argparse.Namespace) -> None:
    try:
        # They come with the extra, and take a while.
        from jade.server.dispatcher import Patience
        from jade.server.serve import Settings, serve
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "jade":
            raise
        raise ConfigError(
            f"The server needs {package}, which is not installed.",
            where="python -m jade server",
            hint="pip install 'jade[server]'",
        ) from None
    data = given.data or Path(os.environ.get("EXPERIMENTS_ROOT") or "experiments") / "server"
    settings = Settings(
        data=data,
        host=given.host,
        port=given.port,
        api_key=given.api_key,
        entity=given.entity,
        seed=given.seed,
        patience=Patience(given.grace, given.retry),
    )
    serve(settings, lambda address: _say(address, data, given.api_key is not None))


def _say(address: str, data: Path, has_key: bool) -> None:
    key = "<the key>" if has_key else _KEY
    sys.stdout.write(
        f"JADE's server is ready; Ctrl-C ends it. Its data is in {shlex.quote(str(data))}.\n"
        "In the shell of each agent and run:\n\n"
        f"  export WANDB_BASE_URL={address}\n"
        f"  export WANDB_API_KEY={key}\n\n"
    )
    sys.stdout.flush()
