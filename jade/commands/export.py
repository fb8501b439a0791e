"""Write the networks of a stored run as safetensors files (`export RUN -o DIR`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jade.options import project_environment
from jade.stored.find import experiments_root, find
from jade.texts import plain, size


def run(arguments: Sequence[str]) -> int:
    """Write the files; return the exit code."""
    given = _parser().parse_args(arguments)
    environ = project_environment(os.environ)
    source = find(given.run, experiments_root(environ), environ)
    from jade.stored.exported import export  # torch takes seconds

    written, left_out = export(source, given.output, given.checkpoint, given.attribute, force=given.force)
    for one in written:
        sys.stdout.write(
            f"{one.path}  {one.attribute}: {one.tensors} tensor{'s'[: one.tensors != 1]}, {size(one.size)}\n"
        )
    if left_out:
        told = ", ".join(plain(f"{name} ({reason})") for name, reason in left_out.items())
        sys.stdout.write(f"left out: {told}\n")
    sys.stdout.write(f"Read it: safetensors.torch.load_file({str(written[0].path)!r})\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade export",
        description="Write the networks of a stored run as safetensors files.",
        epilog="Nothing of the run's code is imported. Needs safetensors: pip install safetensors.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="its folder, its id, entity/project/id or an artifact on W&B")
    add(
        "-o",
        dest="output",
        metavar="DIR|FILE",
        type=Path,
        required=True,
        help="a folder, or NAME.safetensors for one network",
    )
    add("--checkpoint", metavar="last|best|N", default="last", help="(default last)")
    add("--attribute", metavar="NAME", action="append", default=[], help="only this one; repeatable")
    add("--force", action="store_true", help="replace files that are there")
    return parser
