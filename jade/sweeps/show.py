"""The trials of a sweep, or the runs of a folder, as a table, CSV, JSON or a picture: `sweep show`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jade import sheet, table
from jade import trials as found
from jade.errors import ConfigError
from jade.sheet import Sheet
from jade.sweeps import kept, picture, seeds, sheets, sources
from jade.sweeps.board import standing
from jade.trials import GOAL_OF, Trials


def show(arguments: Sequence[str]) -> int:
    """Show the trials of a sweep, or the runs of a folder, best first."""
    given = _parser().parse_args(arguments)
    if given.top is not None and given.top < 1:
        raise ConfigError(f"{given.top} is too few.", where="--top", hint="At least 1.")
    with sources.opened(given.sweep, kept.surroundings(given, os.environ)) as source:
        trials, warnings = source.trials(given.metric, GOAL_OF.get(given.goal))
    sys.stderr.writelines(f"warning: {warning}\n" for warning in warnings)
    sys.stdout.write(_told(trials, given))
    if given.plot:
        picture.draw(trials, given.plot)
        # Not between the lines of CSV or JSON.
        (sys.stdout if given.format == "table" else sys.stderr).write(f"picture  {given.plot}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade sweep show",
        description=show.__doc__,
        epilog="Trials that differ by their seed alone are one row: mean ± standard deviation of those that"
        " have finished.",
    )
    parser.add_argument(
        "sweep",
        metavar="SWEEP|FILE|DIR",
        help="a sweep's id or entity/project/id, the file of which `sweep run` made it, or a folder of runs",
    )
    parser.add_argument(
        "--sort", metavar="KEY", help="a parameter, the metric, or a column (default: best first)"
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--metric", metavar="NAME", help="compare by this one (default: the sweep's)")
    parser.add_argument(
        "--goal", choices=GOAL_OF, help="of the metric (default: the sweep's, else what the name suggests)"
    )
    parser.add_argument("--top", metavar="N", type=int, help="only the first N rows")
    parser.add_argument("--each", action="store_true", help="every trial, also where the seed is swept")
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help="(default table)")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw a picture: .png, .pdf or .svg")
    kept.take_root(parser)
    return parser


def _told(trials: Trials, given: argparse.Namespace) -> str:
    rows = _rows(trials, given)
    if given.format == "csv":
        return sheet.csv_text(rows)
    if given.format == "json":
        return sheet.json_text(rows, _about(trials))
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return f"{_heading(trials)}\n\n{table.text(rows, width)}"


def _rows(trials: Trials, given: argparse.Namespace) -> Sheet:
    if seeds.are_tried(trials) and not given.each:
        rows = sheets.of_groups(trials, seeds.groups(trials))
    else:
        rows = sheets.of_trials(trials, found.ranked(trials), found.best_of(trials))
    if given.sort:
        rows = sheet.ordered(rows, given.sort, trials.metric, downwards=given.reverse)
    elif given.reverse:
        rows = rows.only(range(rows.size)[::-1])
    return rows.only(range(rows.size)[: given.top])


def _about(trials: Trials) -> dict[str, Any]:
    best = found.best_of(trials)
    return {
        "path": trials.path,
        "name": trials.name,
        "method": trials.method,
        "state": trials.state,
        "metric": trials.metric,
        "goal": trials.goal,
        "run_cap": trials.run_cap,
        "parameters": trials.parameters,
        "counts": found.counts(trials.rows),
        "best": best.run_id if best else None,
    }


def _heading(trials: Trials) -> str:
    told = [trials.path, *(part for part in (trials.name, trials.method, trials.state) if part)]
    lines = ["  ".join(dict.fromkeys(told)), standing(trials)]
    if trials.metric:
        lines.append(f"{trials.metric} is {trials.goal[:-1]}ed")
    return "\n".join(lines)
