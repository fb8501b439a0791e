"""Which running trials a sweep stops early: W&B's hyperband, as a function of the values logged so far.

A bracket is a count of logged values of the metric: the best 1/eta of the trials that came so far go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import count, islice, takewhile
from typing import Any

from jade.server.space import Goal, Trial

DEFAULT_ETA = 3


def losers(config: Mapping[str, Any], trials: Sequence[Trial]) -> list[int]:
    """Return the indices of the running trials that are to stop now.

    A trial is judged at the highest bracket that it has reached, by the best of its values up to there, among
    every trial that has reached it, whatever became of it. With `strict` it is judged at the brackets below,
    too, where trials that came later may have passed it by. A trial whose value at the bracket is NaN is the
    worst. Equals stay together.

    Args:
        config: a sweep in which no fault was found.
        trials: every trial that was proposed, in that order.
    """
    rules = config.get("early_terminate")
    if not rules:
        return []
    goal, eta = Goal.of(config), rules.get("eta", DEFAULT_ETA)
    longest = max((len(trial.history) for trial in trials), default=0)
    fallen: set[int] = set()
    judged: set[int] = set()
    for bracket in sorted(_brackets(rules, longest), reverse=True):
        losses = {
            index: _loss_at(bracket, trial, goal)
            for index, trial in enumerate(trials)
            if len(trial.history) >= bracket
        }
        last_kept = sorted(losses.values())[math.ceil(len(losses) / eta) - 1]
        worse = {index for index, loss in losses.items() if loss > last_kept}
        fallen |= worse if rules.get("strict") else worse - judged
        judged |= set(losses)
    return [index for index in sorted(fallen) if trials[index].state == "running"]


def _loss_at(bracket: int, trial: Trial, goal: Goal) -> float:
    if math.isnan(trial.history[bracket - 1]):
        return math.inf
    return min(goal.loss(value) for value in trial.history[:bracket])


def _brackets(rules: Mapping[str, Any], longest: int) -> set[int]:
    """Return the brackets up to `longest`: `s` of them from `max_iter` down, or all from `min_iter` up."""
    eta = rules.get("eta", DEFAULT_ETA)
    if "max_iter" in rules and "s" in rules:
        down = (int(rules["max_iter"] / eta**step) for step in count(1))
        steps = islice(takewhile(lambda bracket: bracket >= 1, down), rules["s"])
        return {bracket for bracket in steps if bracket <= longest}
    up = (int(rules["min_iter"] * eta**step) for step in count())
    return set(takewhile(lambda bracket: bracket <= longest, up))
