"""What is seen of runs that are compared: which metrics, under which names, in which colors, how smooth.

Pure but for the colors, which are matplotlib's; `curve_picture` draws it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jade.errors import ConfigError
from jade.stored.history import Column, History
from jade.stored.source import Facts
from jade.texts import plain, shortened, shortened_in_the_middle, text_of
from jade.trials import differing

ACROSS = ("iterations", "epochs", "time")
MOST_PANELS = 9
LONGEST_NAME = 44
_KEYS = 3  # params in a name
# Okabe and Ito's colors, which the color-blind tell apart; without their yellow, which is pale on white.
# https://jfly.uni-koeln.de/color/
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Logged:
    """A run, and what it logged."""

    facts: Facts
    history: History


@dataclass(frozen=True)
class Wanted:
    """What is to be seen.

    Attributes:
        metrics: a panel for each; if there are none, those that were logged.
        across: one of `ACROSS`.
        smooth: what is left of a value's weight in the running mean after a hundredth of the axis, from 0,
            which smooths nothing, to below 1.
        is_log: whether values stand on logarithmic axes.
    """

    metrics: tuple[str, ...] = ()
    across: str = "iterations"
    smooth: float = 0.0
    is_log: bool = False


def metrics_of(runs: Sequence[Logged], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the metrics to draw, and those for which there is no room; there is for all that are wanted.

    Raises:
        ConfigError: if no run has logged one of them, or anything.
    """
    known = list(dict.fromkeys(name for run in runs for name in run.history.metrics))
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"No run has logged a metric {name!r}.", where="--metric", wanted=name, choices=known
            )
    if not known:
        raise ConfigError("No metric has been logged yet.", where="RUN")
    if wanted:
        return list(dict.fromkeys(wanted)), []
    return known[:MOST_PANELS], known[MOST_PANELS:]


def names(runs: Sequence[Facts]) -> list[str]:
    """Return for each run its name, what tells it from the others, and its state if it has not finished."""
    keys = differing([one.params for one in runs if one.params]) if len(runs) > 1 else ()
    short = shortened(keys)
    return [plain(shortened_in_the_middle("  ".join(_parts(one, keys, short)), LONGEST_NAME)) for one in runs]


def _parts(run: Facts, keys: Sequence[str], short: Mapping[str, str]) -> Iterator[str]:
    params = [f"{short[key]}={text_of(run.params[key])}" for key in keys[:_KEYS] if key in run.params]
    yield shortened_in_the_middle(run.name, LONGEST_NAME // 2 if params else LONGEST_NAME)
    if params:
        yield " ".join(params) + (" …" if len(keys) > _KEYS else "")
    if run.state != "finished":
        yield f"({run.state})"


def colors(runs: Sequence[Facts]) -> list[Any]:
    """Return a color for each run: a few are far apart, many go from dark to pale by what differs."""
    if len(runs) <= len(PALETTE):
        return list(PALETTE[: len(runs)])
    from matplotlib import colormaps  # takes a while

    places = _places(runs)
    return [colormaps["viridis"](0.92 * place / max(*places, 1)) for place in places]


def _places(runs: Sequence[Facts]) -> list[int]:
    """Return for each run its place: by the one number in which they differ, else as they come."""
    keys = [key for key in differing([one.params for one in runs]) if key != "seed"]
    values = [one.params.get(keys[0]) for one in runs] if len(keys) == 1 else []
    numbers = [value for value in values if isinstance(value, int | float)]
    if not values or len(numbers) < len(values):
        return list(range(len(runs)))
    ordered = sorted(set(numbers))
    return [ordered.index(value) for value in numbers]


def unit_of_time(runs: Sequence[Logged]) -> tuple[float, str]:
    """Return the seconds of a unit in which the runs' times are read, and what is written at the axis."""
    longest = max((float(np.nanmax(run.history["runtime"], initial=0.0)) for run in runs), default=0.0)
    unit, seconds = next(
        ((unit, size) for unit, size in (("h", 3600), ("min", 60)) if longest >= 3 * size), ("s", 1)
    )
    return float(seconds), f"time of the run in {unit}"


def smoothed(values: Column, across: Column, share: float, span: float) -> Column:
    """Return the running mean of values, in which the past fades the same, however often it was logged.

    What is no finite number counts for nothing, and stays what it is.

    Args:
        values: to be smoothed.
        across: where each of them stands on the axis.
        share: what is left of the weight of a value after a hundredth of the axis.
        span: of the axis, from end to end.
    """
    result = np.array(values, dtype=np.float64)
    total = weight = before = 0.0
    for number, value in enumerate(result):
        if not np.isfinite(value):
            continue
        left = share ** (max(0.0, float(across[number]) - before) * 100 / span) if span > 0 else share
        total, weight, before = left * total + value, left * weight + 1, float(across[number])
        result[number] = total / weight
    return result
