"""Fetch a run from W&B, or from JADE's server, into a folder of its own."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from jade import cli
from jade.errors import ConfigError
from jade.options import project_environment
from jade.stored import pull
from jade.stored.find import experiments_root, find
from jade.stored.pull import CHECKPOINTS, Pulled
from jade.stored.remote import FetchedSource
from jade.texts import size


def run(arguments: Sequence[str]) -> int:
    """Fetch one run; return the exit code."""
    given = _parser().parse_args(arguments)
    cli.set_up_logging()
    environ = project_environment(os.environ)
    root = experiments_root(environ)
    source = find(given.run, root, environ)
    if not isinstance(source, FetchedSource):
        raise ConfigError(
            f"{given.run} is on this machine already: {source.folder}",
            where="python -m jade pull",
            hint="A run of a server is named entity/project/id.",
        )
    try:
        pulled = pull.pull(source, given.into or root, given.checkpoints)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted. What has come so far is kept: the same command goes on with it.\n")
        return 128 + signal.SIGINT
    sys.stdout.write(_told(pulled))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade pull",
        description="Fetch a run, as its folder would be had it run here, or bring one up to date.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        help="entity/project/id, the address of its page, or an artifact, entity/project/name:alias",
    )
    parser.add_argument(
        "--into",
        metavar="DIR",
        type=Path,
        help="folder that gets the run's folder (default: EXPERIMENTS_ROOT, else experiments)",
    )
    parser.add_argument(
        "--checkpoints", choices=CHECKPOINTS, default="all", help="which of them are fetched (default all)"
    )
    return parser


def _told(pulled: Pulled) -> str:
    """Return what a person reads at the end."""
    folder = pulled.folder.absolute()
    shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    count = f"{len(pulled.changed)} file{'' if len(pulled.changed) == 1 else 's'}"
    what = f"{count}, {size(pulled.size)}" if pulled.changed else "nothing has changed"
    done = "brought up to date" if pulled.was_there else "pulled"
    quoted = shlex.quote(str(shown))
    return (
        f"{pulled.path} {done}: {what}\n"
        f"folder  {shown}\n"
        f"show    python -m jade show {quoted}\n"
        f"load    jade.load_stored({str(shown)!r})\n"
    )
