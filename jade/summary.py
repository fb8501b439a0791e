"""The text that a run ends with: each metric's last and best value, the folder, the way to W&B."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What the best value of a metric is called beside its last one: NAME/best.
BEST = "/best"

# Metrics of which more is better go by such names; of everything else, less is taken to be better.
_MORE_IS_BETTER = (
    "acc",
    "auc",
    "f1",
    "precision",
    "recall",
    "score",
    "reward",
    "return",
    "likelihood",
    "elbo",
    "r2",
    "psnr",
)
_LESS_IS_BETTER = ("error", "loss", "distance", "divergence", "neg")


@dataclass
class Series:
    """The last and the best value of one metric, each with its iteration."""

    last: float
    last_at: int
    best: float
    best_at: int
    more_is_better: bool


class Metrics:
    """Last and best value of everything logged as a number.

    Attributes:
        series: by name.
        modes: "min" or "max" for metrics of which it was said; of all others the name suggests it.
    """

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.modes: dict[str, str] = {}

    def add(self, name: str, value: float, iterations: int) -> bool:
        """Take one value in; return whether it is the best so far, which a NaN never is."""
        series = self.series.get(name)
        if series is None:
            more = self.modes[name] == "max" if name in self.modes else more_is_better(name)
            self.series[name] = Series(value, iterations, value, iterations, more)
            return not math.isnan(value)
        series.last, series.last_at = value, iterations
        better = value > series.best if series.more_is_better else value < series.best
        if better or math.isnan(series.best):
            series.best, series.best_at = value, iterations
            return not math.isnan(value)
        return False


def goal_of(name: str) -> str:
    """Return the goal that the name of a metric suggests: "minimize" or "maximize"."""
    return "maximize" if more_is_better(name) else "minimize"


def more_is_better(name: str) -> bool:
    """Guess from its name whether a metric is to grow (`TestAccuracy`) or to shrink (`Rec Loss`)."""
    words = name.lower()
    if any(word in words for word in _LESS_IS_BETTER):
        return False
    return any(re.search(rf"(?<![a-z]){word}" if len(word) == 2 else word, words) for word in _MORE_IS_BETTER)


def is_max(name: str, written: Mapping[str, Any]) -> bool:
    """Say whether the best value of a metric that a run's status gives is its highest.

    Args:
        name: of the metric.
        written: what `status.json` has of it.
    """
    return written["mode"] == "max" if written.get("mode") in ("min", "max") else more_is_better(name)


def text(metrics: Metrics, status: str, directory: Path, way: str | None) -> str:
    """Return the closing summary of a run."""
    rows = [("metric", "last", "best", "")]
    for name, series in metrics.series.items():
        direction = "highest" if series.more_is_better else "lowest"
        rows.append(
            (name, _number(series.last), _number(series.best), f"{direction}, at iteration {series.best_at}")
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [
        f"  {name:<{widths[0]}}  {last:>{widths[1]}}  {best:>{widths[2]}}  {at}".rstrip()
        for name, last, best, at in rows
    ]
    lines = [f"The run has {status}.", *(table if metrics.series else []), f"folder  {directory}"]
    if status == "stopped":
        lines.append(f"go on   python train.py --resume {shlex.quote(str(directory))}")
    if way:
        lines.append(f"{'upload' if way.startswith('wandb ') else 'W&B   '}  {way}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.5g}"
