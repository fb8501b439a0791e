"""Show what a stored run is: config, metrics, checkpoints, files, lineage, code (`show RUN`)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from jade import sheet
from jade.options import project_environment
from jade.stored import overview_text
from jade.stored.find import experiments_root, find
from jade.stored.overview import about


def run(arguments: Sequence[str]) -> int:
    """Show the run; return the exit code."""
    given = _parser().parse_args(arguments)
    environ = project_environment(os.environ)
    source = find(given.run, experiments_root(environ), environ)
    now = time.time()
    if given.files:
        known = source.files()
        sizes = {name: file.size for name, file in known.items()}
        if given.format == "json":
            sys.stdout.write(sheet.strict_json(sizes))
        else:
            sys.stdout.write(
                overview_text.files(sizes, {name: file.modified for name, file in known.items()}, now)
            )
        return 0
    found = about(source)
    sys.stdout.write(sheet.strict_json(found) if given.format == "json" else overview_text.text(found, now))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="python -m jade show", description="Show what a stored run is."
    )
    add = parser.add_argument
    add(
        "run",
        metavar="RUN",
        help="its folder, its id in the experiments root, or on W&B entity/project/id or an artifact"
        " entity/project/name:alias",
    )
    add("--files", action="store_true", help="each of its files instead")
    add("--format", choices=("table", "json"), default="table", help="(default table)")
    return parser
