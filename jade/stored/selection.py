"""Several stored runs, none of them opened: listed, chosen by what they are, compared by a metric.

A folder of runs is read here; a project or a sweep on W&B is asked by the edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade import checkpoint_index, json_file, summary
from jade.errors import CheckpointError, ConfigError, nearest
from jade.sheet import order
from jade.stored import local_runs
from jade.stored.source import Facts, FolderSource, Source
from jade.summary import BEST
from jade.trials import GOAL_OF, STATES, differing

ASKED = "it was asked for"  # why runs are compared by a metric


@dataclass(frozen=True)
class Listed:
    """A run, and what is said of it without opening it."""

    source: Source
    facts: Facts


@dataclass(frozen=True)
class Metric:
    """What runs are compared by.

    Attributes:
        name: as it was logged.
        goal: "minimize" or "maximize".
        why: it is this one.
    """

    name: str
    goal: str
    why: str


def in_folder(folder: Path) -> tuple[list[Listed], list[str]]:
    """Return the runs of a folder, and a warning for each that cannot be read.

    Raises:
        ConfigError: if there is no such folder, or no run in it.
    """
    found: list[Listed] = []
    warnings: list[str] = []
    for one in local_runs.folders(folder):
        source = FolderSource(one)
        try:
            found.append(Listed(source, source.facts()))
        except CheckpointError as error:
            warnings.append(f"{error} The run is left out.")
    if not found:
        raise ConfigError(
            f"{folder} holds no runs.",
            where=str(folder),
            hint="\n".join(warnings) or "A run has a folder there.",
        )
    return found, warnings


def chosen(
    rows: Sequence[Listed], states: Sequence[str] = (), filters: Mapping[str, object] | None = None
) -> list[Listed]:
    """Return the runs that are in one of the states, and whose params are as the filters say.

    Args:
        rows: to choose from.
        states: any, if there are none.
        filters: by dotted key, or by its last parts where no other key ends so, what the value must be: it,
            one of a list of them, or what a function returns true for. A run without the key is left out.

    Raises:
        ConfigError: if there is no such state, or no run has such a key.
    """
    for state in states:
        if state not in STATES:
            raise ConfigError(f"There is no state {state!r}.", where="state", wanted=state, choices=STATES)
    wanted = [(key_of(rows, key), given) for key, given in (filters or {}).items()] if rows else []
    kept = [row for row in rows if not states or row.facts.state in states]
    return [
        row
        for row in kept
        if all(key in row.facts.params and _fits(row.facts.params[key], given) for key, given in wanted)
    ]


def key_of(rows: Iterable[Listed], written: str) -> str:
    """Return the param that is meant by a key, or by the end of one.

    Raises:
        ConfigError: if no run has it, or several end so.
    """
    known = list(dict.fromkeys(key for row in rows for key in row.facts.params))
    ending = [key for key in known if key == written or key.endswith(f".{written}")]
    if written in known or len(ending) == 1:
        return written if written in known else ending[0]
    if ending:
        raise ConfigError(f"{written!r} may be several params.", where="filter", choices=ending)
    near = nearest(written, known) or nearest(written, (key.rpartition(".")[2] for key in known))
    raise ConfigError(
        f"No run has a param {written!r}.",
        where="filter",
        hint=f"did you mean: {near}" if near else None,
        choices=known,
    )


def _fits(value: object, given: object) -> bool:
    if callable(given):
        return bool(given(value))
    options = given if isinstance(given, list | tuple | set | frozenset) and value != given else [given]
    # True is no 1 here, as in YAML; a sweep's 1 and 1.0 are the same.
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in options)


def newest_first(rows: Iterable[Listed]) -> list[Listed]:
    """Return runs by when they were begun, those of which that is not known at the end."""
    return sorted(rows, key=lambda row: -(row.facts.began if row.facts.began is not None else -math.inf))


def arranged(rows: Sequence[Listed]) -> list[Listed]:
    """Return runs in the order of what differs between them, then of when they were begun."""
    keys = [key for key in differing([row.facts.params for row in rows if row.facts.params]) if key != "seed"]

    def place(row: Listed) -> tuple[Any, ...]:
        return *(order(row.facts.params.get(key)) for key in keys), row.facts.began or 0.0

    return sorted(rows, key=place)


def best_first(rows: Iterable[Listed], metric: Metric) -> list[Listed]:
    """Return runs by their value of a metric; those that have none, or no number, at the end."""
    sign = 1 if metric.goal == "minimize" else -1

    def place(row: Listed) -> tuple[bool, float]:
        value = row.facts.summary.get(metric.name, math.nan)
        return math.isnan(value), 0.0 if math.isnan(value) else sign * value

    return sorted(rows, key=place)


def metric_of(
    rows: Sequence[Listed], wanted: str | None = None, goal: str | None = None, sweeps: Metric | None = None
) -> Metric | None:
    """Return what runs are compared by: what is wanted, else what they kept their best by, else a guess.

    The guess is what the first evaluation of the newest run returns, else its first metric.

    Args:
        rows: the runs; the newest that says something decides.
        wanted: the name of a metric, or `NAME/best`.
        goal: "minimize" or "maximize"; what is recorded, else what the name suggests, if None.
        sweeps: what the sweep of the runs is after, where they are one's.

    Raises:
        ConfigError: if no run has logged the metric that is wanted.
    """
    ordered = newest_first(rows)
    known = list(dict.fromkeys(name for row in ordered for name in metrics_of(row.facts)))
    if wanted is not None:
        if wanted.removesuffix(BEST) not in known and wanted not in known:
            raise ConfigError(
                f"No run has logged a metric {wanted!r}.", where="metric", wanted=wanted, choices=known
            )
        said = [*([sweeps] if sweeps else []), *_recorded(ordered)]
        aims = (one.goal for one in said if one.name == wanted.removesuffix(BEST))
        return Metric(wanted, goal or next(aims, summary.goal_of(wanted)), ASKED)
    found = next(_recorded(ordered), None) or sweeps or next(_evaluated(ordered), None)
    if found is None and known:
        found = Metric(known[0], summary.goal_of(known[0]), "the first that was logged")
    return Metric(found.name, goal or found.goal, found.why) if found else None


def metrics_of(facts: Facts) -> list[str]:
    """Return the names of what a run has logged, without those of best values."""
    known = facts.summary
    return [name for name in known if not (name.endswith(BEST) and name.removesuffix(BEST) in known)]


def _recorded(rows: Iterable[Listed]) -> Iterator[Metric]:
    """Yield by what runs kept their best checkpoint."""
    for row in rows:
        folder = row.source.folder
        best = checkpoint_index.read(folder).get(checkpoint_index.BEST, {})
        schedule = json_file.read(folder / local_runs.FACTS).get("schedule")
        asked = schedule if isinstance(schedule, dict) else {}
        for name, mode in (
            (best.get("metric"), best.get("mode")),
            (asked.get("best_metric"), asked.get("best_mode")),
        ):
            if isinstance(name, str) and name in row.facts.summary:
                goal = GOAL_OF.get(str(mode), summary.goal_of(name))
                yield Metric(name, goal, "the best of it is kept")


def _evaluated(rows: Iterable[Listed]) -> Iterator[Metric]:
    """Yield what runs' evaluations returned, in the order of the configuration."""
    for row in rows:
        there = metrics_of(row.facts)
        for evaluation in _evaluations(row.facts.params):
            for name in there:
                if name == evaluation or name.startswith(f"{evaluation}/"):
                    yield Metric(name, summary.goal_of(name), "the first evaluation")


def _evaluations(params: Mapping[str, Any]) -> list[str]:
    return [
        key.removeprefix("eval.").removesuffix(".class")
        for key in params
        if key.startswith("eval.") and key.endswith(".class") and ".params." not in key
    ]
