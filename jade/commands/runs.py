"""List stored runs: of a folder, of a project or of a sweep on W&B (`runs [WHERE]`)."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from jade import scalars, sheet, table
from jade.errors import ConfigError
from jade.options import project_environment
from jade.sheet import MOMENT, Sheet
from jade.stored import runs_sheet, selection
from jade.stored.find_several import runs_at
from jade.stored.selection import Listed, Metric
from jade.summary import BEST
from jade.texts import plain
from jade.trials import GOAL_OF, STATES


def run(arguments: Sequence[str]) -> int:
    """List the runs; return the exit code."""
    given = _parser().parse_args(arguments)
    if given.number is not None and given.number < 1:
        raise ConfigError(f"{given.number} is too few.", where="-n", hint="At least 1.")
    filters = _filters(given.filter)
    place = runs_at(given.where, project_environment(os.environ))
    sys.stderr.writelines(f"warning: {warning}\n" for warning in place.warnings)
    found = place.rows
    rows = selection.newest_first(selection.chosen(found, given.state, filters))
    named = given.metric or _metric_in(found, given.sort)
    metric = selection.metric_of(found, named, GOAL_OF.get(given.goal), place.sweeps)
    wanted = _sheet(rows, metric, given, [selection.key_of(found, key) for key in filters])
    sys.stdout.write(_told(wanted, given.format, _about(place.name, found, rows, metric)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False, prog="python -m jade runs", description="List stored runs, the newest first."
    )
    add = parser.add_argument
    add(
        "where",
        metavar="WHERE",
        nargs="?",
        help="a folder of runs, or on W&B entity/project, or the sweep entity/project/id"
        " (default: EXPERIMENTS_ROOT, else experiments)",
    )
    add("--metric", metavar="NAME", help="shown (default: what the best checkpoint is kept by, or a guess)")
    add("--goal", choices=GOAL_OF, help="of the metric (default: what is recorded, or its name suggests)")
    add("--sort", metavar="KEY", help="a column, a param, or the metric, best first (default: newest first)")
    add("--reverse", action="store_true", help="the other way round")
    add(
        "--filter",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="only runs whose param has this value, or one of those given for it; repeatable",
    )
    add("--state", action="append", default=[], metavar="STATE", help=f"only these: {', '.join(STATES)}")
    add("--format", choices=("table", "csv", "json"), default="table", help="(default table)")
    add("-n", dest="number", metavar="N", type=int, help="only the first N")
    return parser


def _filters(texts: Sequence[str]) -> dict[str, list[Any]]:
    filters: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigError(f"{text!r} is no filter.", where="--filter", hint="KEY=VALUE, as beta=0.1")
        filters.setdefault(key, []).append(scalars.parse(value))
    return filters


def _metric_in(found: Sequence[Listed], key: str | None) -> str | None:
    """Return what runs are sorted by, where that is a metric."""
    known = {name for row in found for name in selection.metrics_of(row.facts)}
    return key if key is not None and key.removesuffix(BEST) in known else None


def _sheet(
    rows: Sequence[Listed], metric: Metric | None, given: argparse.Namespace, keys: list[str]
) -> Sheet:
    key, name = given.sort, metric.name if metric else None
    ends = {param for row in rows for param in row.facts.params if key and f".{param}".endswith(f".{key}")}
    found = runs_sheet.of_runs(rows, metric, [*keys, *ends] if len(ends) == 1 else keys)
    if key:
        found = sheet.ordered(found, key, name, downwards=_downwards(found, key, metric))
    if given.reverse:
        found = found.only(range(found.size)[::-1])
    return found.only(range(found.size)[: given.number])


def _downwards(found: Sheet, key: str, metric: Metric | None) -> bool:
    """Say whether the largest comes first: the best value, the newest moment."""
    if metric and key in (metric.name, "last", "best"):
        return metric.goal == "maximize"
    return any(key in (one.key, one.heading) for one in found.columns if one.kind == MOMENT)


def _about(
    where: str, found: Sequence[Listed], rows: Sequence[Listed], metric: Metric | None
) -> dict[str, Any]:
    states = [row.facts.state for row in rows]
    return {
        "where": where,
        "runs": len(found),
        "chosen": len(rows),
        "counts": {state: states.count(state) for state in STATES if state in states},
        "metric": metric.name if metric else None,
        "goal": metric.goal if metric else None,
        "why": metric.why if metric else None,
    }


def _told(wanted: Sheet, form: str, about: dict[str, Any]) -> str:
    if form == "csv":
        return sheet.csv_text(wanted)
    if form == "json":
        return sheet.json_text(wanted, about)
    counts = ", ".join(f"{count} {state}" for state, count in about["counts"].items())
    of = f"{about['chosen']} of {about['runs']}" if about["chosen"] != about["runs"] else str(about["runs"])
    lines = [f"{about['where']}  {of} runs{f': {counts}' if counts else ''}"]
    if about["metric"]:
        another = "" if about["why"] == selection.ASKED else "; --metric names another"
        lines.append(f"metric  {about['metric']}, to {about['goal']} ({about['why']}{another})")
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n".join(map(plain, lines)) + f"\n\n{table.text(wanted, width, time.time())}"
