"""`method: bayes`: the next params by Optuna's tree-structured Parzen estimator.

A study is built anew from the trials each time, so that nothing but them and the seed decides. Only `search`
calls it; Optuna is imported here alone, when a sweep needs it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from random import Random
from types import ModuleType
from typing import Any

from jade.distributions import Distribution
from jade.errors import ConfigError
from jade.server.space import Goal, Params, Space, Trial

Numbers = dict[str, float]

# The states of a trial that may still get a better value of the metric.
WAITING = ("pending", "running", "preempting", "preempted")
# Those of a trial whose last value speaks for its params: what was stopped early had its reasons, too.
JUDGED = ("finished", "killed")
DRAWN_FIRST = 8
_MOST_GOOD_ONES = 25
_OUTERMOST = 2.0**-53


def suggest(space: Space, trials: Sequence[Trial], goal: Goal, seed: int) -> Params:
    """Return the params of the next trial.

    The first ones are drawn by chance. A trial that waits for its value keeps others away from its params;
    one that failed counts as bad as the worst that did not.

    Raises:
        ConfigError: if Optuna is not installed.
    """
    drawn, losses = space.drawn(seed, len(trials)), _losses(trials, goal)
    if len(trials) < DRAWN_FIRST or not any(loss is not None for loss in losses):
        return drawn
    searched = {name: each for name, each in space.distributions.items() if not _is_fixed(each)}
    known = [
        (numbers, loss)
        for trial, loss in zip(trials, losses, strict=True)
        if (numbers := _numbers(searched, trial.params)) is not None
    ]
    found = _asked(searched, known, f"{seed}/{len(trials)}")
    return drawn | {name: _value(searched[name], number) for name, number in found.items()}


def load_optuna() -> ModuleType:
    """Return Optuna, told to be quiet.

    Raises:
        ConfigError: if it is not installed.
    """
    try:
        import optuna  # optional, and slow to import
    except ImportError:
        raise ConfigError(
            "method: bayes needs Optuna, which is not installed.",
            where="method",
            hint="pip install optuna",
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _losses(trials: Sequence[Trial], goal: Goal) -> list[float | None]:
    """Return what each trial counts as; None where that is not known yet."""
    judged = [goal.loss(trial.metric) if trial.state in JUDGED else math.inf for trial in trials]
    worst = max((loss for loss in judged if math.isfinite(loss)), default=None)
    return [
        None if trial.state in WAITING else loss if math.isfinite(loss) else worst
        for trial, loss in zip(trials, judged, strict=True)
    ]


def _asked(
    searched: Mapping[str, Distribution], known: Sequence[tuple[Numbers, float | None]], seed: str
) -> Numbers:
    optuna = load_optuna()
    ranges = {name: _range(optuna.distributions, each) for name, each in searched.items()}
    states = optuna.trial.TrialState
    with warnings.catch_warnings():
        # Optuna 4 calls the last two experimental, and 5 would rather have its own way with the first.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)
        sampler = optuna.samplers.TPESampler(
            gamma=_good_ones,
            n_startup_trials=1,
            seed=Random(seed).getrandbits(32),
            multivariate=True,
            constant_liar=True,
        )
    study = optuna.create_study(sampler=sampler)
    for numbers, loss in known:
        state = states.RUNNING if loss is None else states.COMPLETE
        study.add_trial(
            optuna.trial.create_trial(params=numbers, distributions=ranges, value=loss, state=state)
        )
    found: Numbers = study.ask(ranges).params
    return found


def _good_ones(trials: int) -> int:
    """Return how many of the trials the next one is to resemble.

    A quarter: by Optuna's own tenth, the three best of thirty say so little that random search wins three
    times as often.
    """
    return min(_MOST_GOOD_ONES, math.ceil(trials / 4))


def _is_fixed(distribution: Distribution) -> bool:
    return distribution.count() == 1 or distribution.lower == distribution.upper


def _range(ranges: ModuleType, distribution: Distribution) -> Any:  # noqa: ANN401 - a type of Optuna
    """Return the numbers that Optuna searches; `_number` and `_value` lead there and back."""
    multiples, log = distribution.multiples(), distribution.shape == "log_uniform"
    if distribution.shape == "listed":
        return ranges.CategoricalDistribution(range(distribution.count() or 0))
    if multiples is not None:
        return ranges.IntDistribution(*multiples, log=log)
    if log or distribution.shape == "uniform":
        return ranges.FloatDistribution(distribution.lower, distribution.upper, log=log)
    return ranges.FloatDistribution(_OUTERMOST, 1 - _OUTERMOST)


def _value(distribution: Distribution, number: float) -> Any:  # noqa: ANN401 - a listed value may be anything
    multiples = distribution.multiples()
    if distribution.shape == "listed":
        return distribution.point(int(number))
    if multiples is not None:
        return distribution.multiple(int(number))
    if distribution.shape in ("uniform", "log_uniform"):
        return number
    return distribution.quantile(number)


def _numbers(searched: Mapping[str, Distribution], params: Params) -> Numbers | None:
    """Return what Optuna knows a trial's params by; None if the sweep never proposes these."""
    numbers = {name: _number(each, params.get(name)) for name, each in searched.items()}
    known = {name: number for name, number in numbers.items() if number is not None}
    return known if len(known) == len(numbers) else None


def _number(distribution: Distribution, value: Any) -> float | None:  # noqa: ANN401 - as in `_value`
    multiples, place = distribution.multiples(), distribution.index(value)
    if distribution.shape == "listed" or (multiples is not None and place is None):
        return place
    if multiples is not None:
        return multiples[0] + (place or 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    if distribution.shape in ("uniform", "log_uniform"):
        return min(distribution.upper, max(distribution.lower, float(value)))
    return distribution.share(value)
