"""Trials that differ by nothing but their seed, as one: mean and standard deviation of the metric.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from jade.trials import Trial, Trials, tried_again, value_of

SEED = "seed"


@dataclass(frozen=True)
class Group:
    """The trials of one point.

    Attributes:
        params: what the sweep varies, but for the seed.
        trials: all of them.
        values: of the metric, of those that have finished with a number.
    """

    params: Mapping[str, Any]
    trials: tuple[Trial, ...]
    values: tuple[float, ...]

    @property
    def uncounted(self) -> int:
        """How many have not finished, or with no number."""
        return len(self.trials) - len(self.values)

    @property
    def mean(self) -> float | None:
        """The mean of the values; None if there is none."""
        return fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the sample, over n - 1; None of fewer than two values."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def seconds(self) -> float | None:
        """The mean time of the trials that count."""
        known = [
            trial.seconds
            for trial in self.trials
            if value_of(trial) is not None and trial.seconds is not None
        ]
        return fmean(known) if known else None


def are_tried(trials: Trials) -> bool:
    """Say whether the seed is swept, and some point has more than one trial."""
    return SEED in trials.parameters and any(len(group.trials) > 1 for group in groups(trials))


def groups(trials: Trials) -> list[Group]:
    """Return the points of a sweep, the best mean first, those without a value last."""
    found: dict[str, list[Trial]] = {}
    keys = [key for key in trials.parameters if key != SEED]
    again = tried_again(trials)
    for trial in (trial for trial in trials.rows if trial.run_id not in again):
        found.setdefault(repr(_params(trial, keys)), []).append(trial)
    sign = -1 if trials.goal == "maximize" else 1
    made = [_group(rows, keys) for rows in found.values()]
    return sorted(made, key=lambda group: (group.mean is None, sign * (group.mean or 0.0)))


def _group(rows: list[Trial], keys: Iterable[str]) -> Group:
    values = tuple(value for row in rows if (value := value_of(row)) is not None)
    return Group(_params(rows[0], keys), tuple(rows), values)


def _params(trial: Trial, keys: Iterable[str]) -> dict[str, Any]:
    return {key: trial.params[key] for key in keys if key in trial.params}
