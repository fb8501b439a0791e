"""Several stored runs for a notebook: `jade.runs(...)` gives those of a folder, a project or a sweep."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import SupportsIndex, overload

from jade.errors import ConfigError
from jade.stored import display, selection
from jade.stored.find import project_environ
from jade.stored.find_several import runs_at
from jade.stored.run import StoredRun
from jade.stored.selection import Listed, Metric
from jade.trials import GOAL_OF

_log = logging.getLogger(__name__)


class Runs(list[StoredRun]):
    """Stored runs in an order, displayed as a table.

    Args:
        found: the runs.
        metric: what they are compared by.
    """

    def __init__(self, found: Iterable[StoredRun] = (), metric: Metric | None = None) -> None:
        super().__init__(found)
        self._metric = metric

    @overload
    def __getitem__(self, index: SupportsIndex) -> StoredRun: ...

    @overload
    def __getitem__(self, index: slice) -> Runs: ...

    def __getitem__(self, index: SupportsIndex | slice) -> StoredRun | Runs:
        """Return one of them, or some as a table again."""
        if isinstance(index, slice):
            return Runs(super().__getitem__(index), self._metric)
        return super().__getitem__(index)

    def _repr_html_(self) -> str:
        return display.runs([Listed(run.source, run.facts) for run in self], self._metric)


def runs(  # noqa: PLR0913 - a notebook names the few it needs
    where: str | Path | None = None,
    *,
    sweep: str | None = None,
    state: str | Sequence[str] | None = None,
    filters: Mapping[str, object] | None = None,
    metric: str | None = None,
    goal: str | None = None,
    limit: int | None = None,
) -> Runs:
    """Return the runs of a folder, a project or a sweep; nothing of them is fetched until they are asked.

    A notebook displays them as a table of the params in which they differ, and the metric.

    Args:
        where: a folder of runs (default: the experiments root), or on W&B `entity/project`, or a sweep's
            `entity/project/id`.
        sweep: only trials of this one: its id, or `entity/project/id`.
        state: only these, such as "finished".
        filters: by dotted key, or by its end where no other key ends so, what a param must be: a value, one
            of a list of values, or what a function returns true for.
        metric: of which the best come first, as runs that have none come last; that of a sweep if it is not
            said, and where there is none the newest come first. `NAME/best` is the best value that a run had,
            `NAME` the last.
        goal: "minimize" or "maximize", "min" or "max"; what the runs recorded, or the name suggests, if None.
        limit: how many at most.

    Raises:
        ConfigError: if there is no such place, state, param or metric; near ones are named.
        TrackingError: if W&B does not give them.
    """
    if goal is not None and goal not in GOAL_OF:
        raise ConfigError(f"There is no goal {goal!r}.", where="goal", wanted=goal, choices=GOAL_OF)
    environ = project_environ()
    place = runs_at(where, environ)
    for warning in place.warnings:
        _log.warning("%s", warning)
    states = [state] if isinstance(state, str) else list(state or ())
    rows = selection.chosen(_of_sweep(place.rows, sweep), states, filters)
    is_of_one_sweep = sweep is not None or place.sweeps is not None
    is_ordered = metric is not None or is_of_one_sweep
    aim = None if goal is None else GOAL_OF[goal]
    by = selection.metric_of(place.rows, metric, aim, place.sweeps) if is_ordered else None
    rows = selection.best_first(rows, by) if by else selection.newest_first(rows)
    shown = by or selection.metric_of(rows, sweeps=place.sweeps)
    return Runs((_opened(row, environ) for row in rows[:limit]), shown)


def _opened(row: Listed, environ: Mapping[str, str]) -> StoredRun:
    found = StoredRun(row.source, environ)
    found.facts = row.facts  # a server has said them of all at once, and need not be asked of each
    return found


def _of_sweep(rows: Sequence[Listed], sweep: str | None) -> list[Listed]:
    """Return the trials of a sweep.

    Raises:
        ConfigError: if no run is one; the sweeps of the runs are named.
    """
    if sweep is None:
        return list(rows)
    chosen = [row for row in rows if sweep in _names_of(row.facts.sweep)]
    if not chosen:
        known = {row.facts.sweep for row in rows if row.facts.sweep}
        raise ConfigError(f"No run is a trial of {sweep!r}.", where="sweep", wanted=sweep, choices=known)
    return chosen


def _names_of(path: str | None) -> tuple[str, ...]:
    return (path, path.rpartition("/")[2]) if path else ()
