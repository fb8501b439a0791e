"""Which params the next trial of a sweep gets, and which trials stop early, as functions of what came before.

The server calls it within one transaction, and stores what it returns. Nothing here remembers anything: the
same sweep, trials and seed give the same proposal in any process.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jade.server import bayes
from jade.server.hyperband import losers
from jade.server.refusal import faults
from jade.server.space import Goal, Params, Space, Trial

__all__ = ["Params", "Space", "Trial", "faults", "losers", "propose"]


def propose(config: Mapping[str, Any], trials: Sequence[Trial], seed: int) -> Params | None:
    """Return the params of the next trial.

    Args:
        config: a sweep in which `faults` finds none.
        trials: every trial that was proposed before, whatever became of it, in that order.
        seed: of the sweep.

    Returns:
        Dotted params, or None if the sweep is exhausted: every point of the grid is taken, `run_cap` trials
        were made, or one has come to the metric's `target`.
    """
    cap, goal = config.get("run_cap"), Goal.of(config)
    if (cap is not None and len(trials) >= cap) or any(goal.reached_by(trial) for trial in trials):
        return None
    space = Space.parse(config["parameters"])
    if config["method"] == "grid":
        return _first_free(space, trials)
    if config["method"] == "bayes":
        return bayes.suggest(space, trials, goal, seed)
    return space.drawn(seed, len(trials))


def _first_free(space: Space, trials: Sequence[Trial]) -> Params | None:
    """Return the first point of the grid, the first parameter changing slowest, that no trial has."""
    counts = [distribution.count() or 0 for distribution in space.distributions.values()]
    taken = {_place(space, counts, trial) for trial in trials}
    place = next(place for place in range(len(taken) + 1) if place not in taken)
    if place >= math.prod(counts):
        return None
    points: list[int] = []
    for count in reversed(counts):
        place, point = divmod(place, count)
        points.append(point)
    return {
        name: distribution.point(point)
        for (name, distribution), point in zip(space.distributions.items(), reversed(points), strict=True)
    }


def _place(space: Space, counts: Sequence[int], trial: Trial) -> int | None:
    """Return where a trial's params stand in the grid; None if they are no point of it."""
    place = 0
    for (name, distribution), count in zip(space.distributions.items(), counts, strict=True):
        point = distribution.index(trial.params[name]) if name in trial.params else None
        if point is None:
            return None
        place = place * count + point
    return place
