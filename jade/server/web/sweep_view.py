"""What the page of a sweep shows: its trials judged by one metric, as rows, as axes, the best of them.

Pure, but for the two reads of `View.of`.
"""

from __future__ import annotations

import math
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jade.distributions import Distribution
from jade.server import runs, sweeps
from jade.server.curves import Curve
from jade.server.space import Space
from jade.server.web import addresses, axes, trials, words
from jade.server.web.axes import Axis
from jade.server.web.run_metrics import COUNTERS
from jade.server.web.table import Column, Row, Table
from jade.server.web.trials import Trial
from jade.server.web.wanted import Wanted

FAILED = ("failed", "crashed")
GOALS = ("minimize", "maximize")
_OWN = ("number", "name", "state", "epochs", "last", "best", "seconds")


@dataclass(frozen=True)
class View:
    """A sweep as its page shows it.

    Attributes:
        sweep: its row, with `entity` and `project_name`.
        config: what its file says.
        wanted: what the reader asks for.
        trials: all of them.
        metrics: the names that can be chosen among, the sweep's own first.
        curves: of the metric, by the name of the run.
    """

    sweep: Mapping[str, Any]
    config: Mapping[str, Any]
    wanted: Wanted
    trials: Sequence[Trial]
    metrics: Sequence[str]
    curves: Mapping[str, Curve]

    @classmethod
    def of(cls, db: sqlite3.Connection, sweep: sqlite3.Row, wanted: Wanted, now: float) -> View:
        """Return a sweep as it is now.

        Args:
            db: a connection that reads.
            sweep: its row, with `entity` and `project_name`.
            wanted: what the reader asks for.
            now: seconds since the epoch.
        """
        config = sweeps.content(sweep["config"])
        known = trials.of_sweep(db, sweep, Space.parse(config["parameters"]).distributions, now)
        own, _ = trials.metric_of(config)
        logged = [name for name in trials.metrics(db, known) if name not in (own, *COUNTERS)]
        metrics = [*([own] if own else []), *logged]
        metric = _chosen(wanted.one("metric"), metrics)
        curves = trials.curves_of(db, known, metric) if metric else {}
        return cls(dict(sweep), config, wanted, known, metrics, curves)

    @cached_property
    def metric(self) -> str:
        """The name of the metric that is shown; an empty text if no trial has logged any."""
        return _chosen(self.wanted.one("metric"), self.metrics)

    @property
    def own_metric(self) -> str:
        """The metric that the sweep names; an empty text if it names none."""
        return trials.metric_of(self.config)[0]

    @property
    def usual_goal(self) -> str:
        """What the sweep is for, "minimize" or "maximize"."""
        return trials.metric_of(self.config)[1]

    @property
    def goal(self) -> str:
        """What is better, as the reader asks, else as the sweep says."""
        asked = self.wanted.one("goal")
        return asked if asked in GOALS else self.usual_goal

    @property
    def is_highest_best(self) -> bool:
        """Whether more is better."""
        return self.goal == "maximize"

    @cached_property
    def distributions(self) -> Mapping[str, Distribution]:
        """The parameters of which there is more than one value to try."""
        known = Space.parse(self.config["parameters"]).distributions
        return {name: one for name, one in known.items() if one.count() != 1}

    @cached_property
    def constants(self) -> Mapping[str, Any]:
        """The values of the others."""
        known = Space.parse(self.config["parameters"]).distributions
        return {name: one.point(0) for name, one in known.items() if one.count() == 1}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """The parameters' names, as short as they are told apart by."""
        return words.shortened([*self.distributions, *self.constants])

    def column_of(self, param: str) -> str:
        """Return the key of a parameter's column, which is its name unless a column of ours has it."""
        return f"params.{param}" if param in _OWN else param

    @cached_property
    def best(self) -> Trial | None:
        """The finished trial whose last value of the metric is the best; of those under way before one is."""
        known = [trial for trial in self.trials if self._last(trial) is not None]
        able = [trial for trial in known if trial.state == "finished"] or [
            trial for trial in known if trial.state not in FAILED
        ]
        return min(able, key=lambda trial: self._loss(self._last(trial)), default=None)

    def best_value(self) -> float | None:
        """Return the value that the best trial has."""
        return self._last(self.best) if self.best else None

    def _loss(self, value: float | None) -> float:
        return math.inf if value is None else -value if self.is_highest_best else value

    def _last(self, trial: Trial) -> float | None:
        last = trial.last(self.metric) if self.metric else None
        return last if last is not None and math.isfinite(last) else None

    def _extreme(self, trial: Trial) -> float | None:
        curve = self.curves.get(trial.run)
        return None if curve is None else curve.most if self.is_highest_best else curve.least

    def counts(self) -> list[tuple[str, int]]:
        """Return how many trials are in each state, the most frequent first."""
        return Counter(trial.state for trial in self.trials if trial.number is not None).most_common()

    @property
    def is_under_way(self) -> bool:
        """Whether there is something left for agents to do."""
        return self.sweep["state"] != "FINISHED" or any(trial.state in runs.LIVE for trial in self.trials)

    def others(self) -> int:
        """Return how many runs are no trial's."""
        return sum(trial.number is None for trial in self.trials)

    @cached_property
    def table(self) -> Table:
        """The table of trials."""
        columns = [
            Column("number", "#", "number"),
            Column("name", "Trial", "link"),
            Column("state", "State", "state"),
            *(
                Column(self.column_of(name), self.titles[name], self._kind(name))
                for name in self.distributions
            ),
            Column("epochs", "Epochs", "number"),
            Column("last", f"{self.metric or 'Metric'}, last", "number"),
            Column("best", "best", "number"),
            Column("seconds", "Time", "span"),
        ]
        order = ("last", "desc" if self.is_highest_best else "asc") if self.metric else ("number", "asc")
        return Table(columns, [self._row(trial) for trial in self.trials], self.wanted, order)

    def _kind(self, name: str) -> str:
        return "text" if self.axis(name).scale == "category" and not self._is_numeric(name) else "number"

    def _is_numeric(self, name: str) -> bool:
        values = [trial.params.get(name) for trial in self.trials]
        return all(value is None or words.as_float(value) is not None for value in values)

    def _row(self, trial: Trial) -> Row:
        cells = {
            "number": trial.number,
            "name": trial.name,
            "state": trial.state,
            **{self.column_of(name): trial.params.get(name) for name in self.distributions},
            "epochs": trial.last("epochs"),
            "last": trial.last(self.metric) if self.metric else None,
            "best": self._extreme(trial),
            "seconds": trial.seconds,
        }
        address = None
        if trial.row is not None:
            address = addresses.run(self.sweep["entity"], self.sweep["project_name"], trial.run)
        return Row(trial.run, cells, address, "best" if trial is self.best else "")

    @cached_property
    def _axes(self) -> dict[str, Axis]:
        return {
            name: axes.of_parameter(
                self.column_of(name),
                self.titles[name],
                distribution,
                (trial.params.get(name) for trial in self.trials),
            )
            for name, distribution in self.distributions.items()
        }

    def axis(self, name: str) -> Axis:
        """Return the axis of a parameter."""
        return self._axes[name]

    @property
    def axes(self) -> list[Axis]:
        """The axes of the parameters, and the metric's as the last one if there is a metric."""
        return [*self._axes.values(), *([self.metric_axis] if self.metric else [])]

    @cached_property
    def metric_axis(self) -> Axis:
        """The axis of the metric: of its last values."""
        known = [value for trial in self.trials if (value := self._last(trial)) is not None]
        return Axis("last", self.metric, axes.scale_of(known))


def _chosen(asked: str, metrics: Sequence[str]) -> str:
    return asked if asked in metrics else next(iter(metrics), "")
