"""The trials of a sweep as they stand, wherever they were read: one row each, and which of them is best.

Pure: no file, no network. Those who read trials fill it in; those who show, draw or continue a sweep ask it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As W&B has them; a run's folder says "stopped" of one that can go on, and "died" is one that said no more.
STATES = (
    "finished",
    "running",
    "pending",
    "preempted",
    "stopped",
    "killed",
    "died",
    "crashed",
    "failed",
)
GOALS = ("minimize", "maximize")
# As a person writes them.
GOAL_OF = {"min": "minimize", "max": "maximize", "minimize": "minimize", "maximize": "maximize"}


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        run_id: its id, which is its folder's name, too.
        name: as it is shown; the id if it has none of its own.
        state: one of `STATES`.
        params: by flat dotted key, at least those that the sweep varies.
        epochs: that it has trained so far.
        last: the metric's newest value, which is that of the final model once the trial has finished.
        best: the best value that the metric ever had.
        seconds: that it has taken so far.
        began: seconds since 1970.
        folder: the run's folder, if it is on this machine.
    """

    run_id: str
    name: str
    state: str
    params: Mapping[str, Any] = field(default_factory=dict)
    epochs: float | None = None
    last: float | None = None
    best: float | None = None
    seconds: float | None = None
    began: float | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class Trials:
    """A sweep, or what is taken for one, with its trials.

    Attributes:
        path: `entity/project/sweep`, or the folder of the runs.
        name: as it is shown.
        method: "grid", "random", "bayes", or "" where it is not known.
        metric: the name of what is optimized; None if nothing is.
        goal: "minimize" or "maximize".
        parameters: the keys that the sweep varies.
        state: of the sweep: "running", "finished", …; "" where there is none.
        run_cap: the largest number of trials.
        rows: the trials.
    """

    path: str
    name: str
    method: str
    metric: str | None
    goal: str
    parameters: tuple[str, ...]
    state: str
    run_cap: int | None
    rows: tuple[Trial, ...]


def value_of(trial: Trial) -> float | None:
    """Return the value by which a trial can win: the final one of a finished trial, if it is a number."""
    if trial.state != "finished" or trial.last is None or not math.isfinite(trial.last):
        return None
    return trial.last


def is_better(goal: str, value: float, than: float) -> bool:
    """Say whether one value of the metric is better than another."""
    return value < than if goal == "minimize" else value > than


def ranked(trials: Trials) -> list[Trial]:
    """Return the trials, best first; after them those that cannot win, by state, then as they were begun."""
    sign = 1 if trials.goal == "minimize" else -1
    rest = [trial for trial in in_order(trials.rows) if value_of(trial) is None]
    found = [
        (sign * value, trial) for trial in in_order(trials.rows) if (value := value_of(trial)) is not None
    ]
    winners = [trial for _, trial in sorted(found, key=lambda pair: pair[0])]
    return winners + sorted(rest, key=lambda trial: _place(trial.state))


def best_of(trials: Trials) -> Trial | None:
    """Return the trial whose final model is best, the earlier of two equal ones; None before there is one."""
    first = next(iter(ranked(trials)), None)
    return first if first is not None and value_of(first) is not None else None


def in_order(rows: Iterable[Trial]) -> list[Trial]:
    """Return trials in the order in which they were begun, those that were not at the end."""
    return sorted(rows, key=lambda trial: math.inf if trial.began is None else trial.began)


def best_so_far(trials: Trials) -> list[float | None]:
    """Return for each trial, as `in_order` gives them, the best value up to it; None before the first."""
    return list(_best_so_far(trials))


def tried_again(trials: Trials) -> frozenset[str]:
    """Return the runs of failed trials whose point was begun again by another run."""
    newest: dict[str, str] = {}
    for trial in in_order(trials.rows):
        newest[_point(trials, trial)] = trial.run_id
    kept = set(newest.values())
    return frozenset(
        trial.run_id
        for trial in trials.rows
        if trials.parameters and trial.state in ("failed", "crashed") and trial.run_id not in kept
    )


def _point(trials: Trials, trial: Trial) -> str:
    return repr([(key, trial.params.get(key)) for key in trials.parameters])


def counts(rows: Iterable[Trial]) -> dict[str, int]:
    """Return how many trials are in each state that occurs, in the order of `STATES`."""
    found: dict[str, int] = {}
    for trial in rows:
        found[trial.state] = found.get(trial.state, 0) + 1
    return {state: found[state] for state in sorted(found, key=_place)}


def differing(params: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the keys of which not all of `params` have the same value, in the order of the first ones."""
    keys = {key: None for given in params for key in given}
    shown = [{key: repr(value) for key, value in given.items()} for given in params]
    return tuple(key for key in keys if len({given.get(key) for given in shown}) > 1)


def _best_so_far(trials: Trials) -> Iterator[float | None]:
    best: float | None = None
    for trial in in_order(trials.rows):
        value = value_of(trial)
        if value is not None and (best is None or is_better(trials.goal, value, best)):
            best = value
        yield best


def _place(state: str) -> int:
    return STATES.index(state) if state in STATES else len(STATES)
