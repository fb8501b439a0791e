"""Make a stored run again, as a new run, and compare (`rerun RUN`)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from jade import cli
from jade.options import parse_options


def run(arguments: Sequence[str]) -> int:
    """Make a run again; return its exit code."""
    given, rest = _parser().parse_known_args(arguments)
    cli.set_up_logging()
    options = parse_options(rest, os.environ, has_config=True)
    from jade.stored.rerun import rerun  # torch takes more than a second

    return rerun(given.run, options, trust_code=given.trust_code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade rerun",
        description="Make a stored run again, as a new run: the same code, configuration and seed.",
        epilog="All other flags, and values as model.params.lr=0.1, are those of train.",
    )
    parser.add_argument("run", metavar="RUN", help="folder, id, or entity/project/id on W&B")
    parser.add_argument("--trust-code", action="store_true", help="execute code that is another entity's")
    return parser
