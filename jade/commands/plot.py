"""Draw what runs logged, one line a run (`plot RUN… [-o FILE.png]`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from jade.options import project_environment
from jade.stored.find_several import each_of
from jade.stored.local_runs import METRICS

FILE = Path("plot.png")


def run(arguments: Sequence[str]) -> int:
    """Draw the runs; return the exit code."""
    given = _parser().parse_intermixed_args(arguments)  # a run may follow a flag
    # numpy takes a tenth of a second, which the list of commands does not need.
    from jade.stored import curve_picture, history
    from jade.stored.curves import Logged, Wanted

    rows, warnings = each_of(given.runs, project_environment(os.environ))
    runs = []
    for row in rows:
        there = METRICS in row.source.files()
        found = history.read(row.source.path(METRICS)) if there else None
        if found is not None and found.metrics:
            runs.append(Logged(row.facts, found))
        else:
            warnings.append(f"{row.source.label} has logged no number yet; it is left out.")
    sys.stderr.writelines(f"warning: {warning}\n" for warning in warnings)
    wanted = Wanted(tuple(given.metric), given.x, given.smooth, given.log)
    left_out = curve_picture.draw(runs, wanted, given.output)
    if left_out:
        sys.stderr.write(f"no room for {', '.join(left_out)}; --metric NAME draws what it names\n")
    sys.stdout.write(f"picture  {given.output}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    from jade.stored.curves import ACROSS

    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade plot",
        description="Draw what runs logged: a panel for each metric, a line for each run.",
    )
    add = parser.add_argument
    add(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a run's folder or id, entity/project/id on W&B; also a folder of runs, a project or a sweep",
    )
    add("--metric", metavar="NAME", action="append", default=[], help="a panel for it; repeatable")
    add(
        "-o",
        dest="output",
        metavar="FILE",
        type=Path,
        default=FILE,
        help=f".png, .pdf or .svg, replaced if it is there (default {FILE})",
    )
    add("--x", choices=ACROSS, default="iterations", help="from left to right (default iterations)")
    add(
        "--smooth",
        metavar="S",
        type=float,
        default=0.0,
        help="running mean: what a value weighs after 1 %% of the axis, from 0 (none) to below 1",
    )
    add("--log", action="store_true", help="logarithmic values")
    return parser
