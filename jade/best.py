"""Which state of a run is its best so far: one metric watched, as it is logged.

What is written then is the loop's affair, under which name `checkpoint`'s.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from jade import logged, summary
from jade.config import Config
from jade.entries import Entry
from jade.errors import ConfigError, nearest
from jade.plugins import Plugins
from jade.schedule import Aim

KNOWN_SHOWN = 20

_log = logging.getLogger(__name__)


class Best:
    """Watches one metric.

    Args:
        aim: which metric, and whether less or more of it is better.

    Attributes:
        is_new: whether a value came that is the best so far, of which no state was kept yet; whoever keeps it
            sets this to False.
    """

    def __init__(self, aim: Aim) -> None:
        self.is_new = False
        self._aim = aim
        self._value: float | None = None
        self._at = 0
        self._has_come = False
        self._has_told = False

    def take(self, entries: Sequence[Entry], iterations: int) -> None:
        """Look at what is logged; only a finite number can be the best, and only the first of equal ones."""
        values = {entry.name: entry.value for entry in entries if entry.kind == "scalar"}
        name = self._aim.metric
        # X/best is what W&B's summary calls the best value of X.
        value = values.get(name, values.get(name.removesuffix(summary.BEST)))
        if value is None:
            return
        self._has_come = True
        if math.isfinite(value) and (self._value is None or self._is_better(value, self._value)):
            self._value, self._at, self.is_new = value, iterations, True

    def _is_better(self, value: float, than: float) -> bool:
        return value > than if self._aim.mode == "max" else value < than

    def state(self) -> dict[str, Any]:
        """Return the best value so far, as every checkpoint holds it."""
        known = {"metric": self._aim.metric, "mode": self._aim.mode, "has_come": self._has_come}
        return {**known, "value": self._value, "iterations": self._at}

    def continue_from(self, earlier: Mapping[str, Any] | None, iterations: int, is_whole: bool) -> None:
        """Go on from what `state` gave, if its file is still there.

        Args:
            earlier: what it gave; None if no metric was watched.
            iterations: at which the run goes on.
            is_whole: whether `best.pt` is there, and as it was written.
        """
        name, mode = self._aim.metric, self._aim.mode
        if not earlier or (earlier["metric"], earlier["mode"]) != (name, mode):
            if iterations:
                way = "highest" if mode == "max" else "lowest"
                _log.info("best.pt is the state with the %s %r from iteration %d on.", way, name, iterations)
            return
        self._has_come = earlier["has_come"]
        if earlier["value"] is None:
            return
        if not is_whole:
            _log.warning(
                "best.pt, with the best %r so far (%.5g, at iteration %d), is missing or damaged: the best"
                " from iteration %d on is kept.",
                name,
                earlier["value"],
                earlier["iterations"],
                iterations,
            )
            return
        self._value, self._at = earlier["value"], earlier["iterations"]

    def miss(self, known: Collection[str], is_over: bool = False) -> None:
        """Warn, once, that the metric is not among those that were logged so far; once more at the end.

        Args:
            known: the names of all numbers that were logged.
            is_over: whether nothing more will be logged.
        """
        name = self._aim.metric
        if is_over and self._has_come and self._value is None:
            _log.warning("%r was never a finite number: there is no best.pt.", name)
        if self._has_come or (self._has_told and not is_over):
            return
        self._has_told = True
        near = nearest(name, known)
        _log.warning(
            "Nothing was logged as %r%s, so there is no best.pt.%s known: %s",
            name,
            "" if is_over else " so far",
            f" did you mean: {near}?" if near else "",
            ", ".join(sorted(known)[:KNOWN_SHOWN]) or "nothing",
        )


def verify(metric: str | None, config: Config, plugins: Plugins) -> None:
    """Refuse a metric that no run of this configuration logs, as far as its source tells.

    Args:
        metric: that `--best-metric` names; None or "none" for none.
        config: the configuration.
        plugins: the user's code.

    Raises:
        ConfigError: if it is certain that the metric is never logged.
    """
    if metric is None or metric.lower() == "none":
        return
    names = logged.names(config, plugins)
    if metric in logged.COUNTERS or names.has(metric) is False:
        raise ConfigError(
            f"No run of this configuration logs a number as {metric!r}.",
            where="--best-metric",
            wanted=metric,
            choices=sorted(names.certain),
            hint="It is an evaluation of --eval_conf by its name, or a loss item.",
        )
