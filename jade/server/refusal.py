"""Why a sweep cannot be searched, found when it is made and before any agent has asked for a trial.

What the search needs and no more: a name that only the client reads is not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jade.errors import ConfigError, JadeError
from jade.server import bayes
from jade.server.hyperband import DEFAULT_ETA
from jade.server.space import Space

METHODS = ("bayes", "grid", "random")
GOALS = ("maximize", "minimize")
RULES = ("eta", "max_iter", "min_iter", "s", "strict", "type")


def faults(config: Mapping[str, Any]) -> list[JadeError]:
    """Return why the sweep `config` cannot be searched: every reason, none if it can."""
    return [
        *_of_method(config),
        *_of_parameters(config),
        *_of_metric(config),
        *_of_cap(config),
        *_of_stopping(config),
    ]


def _of_method(config: Mapping[str, Any]) -> Iterator[JadeError]:
    method = config.get("method")
    if method not in METHODS:
        problem = f"The method {method!r} is not known." if "method" in config else "The sweep has no method."
        yield ConfigError(problem, where="method", wanted=str(method), choices=METHODS)
    if method == "bayes":
        try:
            bayes.load_optuna()
        except ConfigError as fault:
            yield fault


def _of_parameters(config: Mapping[str, Any]) -> Iterator[JadeError]:
    parameters = config.get("parameters")
    if not isinstance(parameters, Mapping) or not parameters:
        yield ConfigError(
            "The sweep has no parameters.",
            where="parameters",
            hint="Write parameters: {lr: {values: [1, 2]}}",
        )
        return
    try:
        space = Space.parse(parameters)
    except ConfigError as fault:
        yield fault
        return
    for name, distribution in space.distributions.items():
        if config.get("method") == "grid" and distribution.count() is None:
            yield ConfigError(
                f"{name} is {distribution.name}, whose values a grid cannot list.",
                where=f"parameters.{name}",
                hint="Write values: […], whole min and max, or distribution: q_uniform.",
            )


def _of_metric(config: Mapping[str, Any]) -> Iterator[JadeError]:
    metric = config.get("metric")
    if metric is None:
        needed = [name for name in ("method: bayes", "early_terminate") if _asks_for(config, name)]
        if needed:
            yield ConfigError(
                f"The sweep has no metric, which {' and '.join(needed)} must judge by.",
                where="metric",
                hint="Write metric: {name: …, goal: minimize}",
            )
        return
    if not isinstance(metric, Mapping) or not isinstance(metric.get("name"), str):
        yield ConfigError(
            f"The metric {metric!r} has no name.",
            where="metric",
            hint="Write metric: {name: …, goal: minimize}",
        )
        return
    if metric.get("goal", "minimize") not in GOALS:
        yield ConfigError(
            f"The goal {metric['goal']!r} is not known.",
            where="metric.goal",
            wanted=str(metric["goal"]),
            choices=GOALS,
        )
    if metric.get("target") is not None and not _is_number(metric["target"]):
        yield ConfigError(f"The target is {metric['target']!r}; a number is expected.", where="metric.target")


def _asks_for(config: Mapping[str, Any], name: str) -> bool:
    return config.get("method") == "bayes" if name == "method: bayes" else bool(config.get(name))


def _of_cap(config: Mapping[str, Any]) -> Iterator[JadeError]:
    cap = config.get("run_cap")
    if cap is not None and not _is_count(cap):
        yield ConfigError(f"run_cap is {cap!r}; a whole number above 0 is expected.", where="run_cap")


def _of_stopping(config: Mapping[str, Any]) -> Iterator[JadeError]:
    rules = config.get("early_terminate")
    if rules is None or rules == {}:
        return
    kind = rules.get("type") if isinstance(rules, Mapping) else None
    if not isinstance(rules, Mapping) or kind != "hyperband":
        yield ConfigError(
            f"early_terminate is {rules!r}; W&B knows the type hyperband only.",
            where="early_terminate",
            hint="Write early_terminate: {type: hyperband, min_iter: 3}",
        )
        return
    for name in rules:
        if name not in RULES:
            yield ConfigError(
                f"hyperband has no {name!r}.",
                where=f"early_terminate.{name}",
                wanted=str(name),
                choices=RULES,
            )
    yield from _of_brackets(rules)


def _of_brackets(rules: Mapping[str, Any]) -> Iterator[JadeError]:
    kinds = {
        "min_iter": (_is_count, "a whole number above 0"),
        "max_iter": (_is_count, "a whole number above 0"),
        "s": (_is_count, "a whole number above 0"),
        "eta": (lambda value: _is_number(value) and value > 1, "a number above 1"),
        "strict": (lambda value: isinstance(value, bool), "true or false"),
    }
    wrong = [name for name, (is_right, _) in kinds.items() if name in rules and not is_right(rules[name])]
    for name in wrong:
        yield ConfigError(
            f"{name} of hyperband is {rules[name]!r}; {kinds[name][1]} is expected.",
            where=f"early_terminate.{name}",
        )
    if "min_iter" not in rules and not {"max_iter", "s"} <= set(rules):
        yield ConfigError("hyperband has neither min_iter, nor max_iter and s.", where="early_terminate")
    elif not wrong and rules.get("max_iter", math.inf) < rules.get("eta", DEFAULT_ETA):
        yield ConfigError(
            "max_iter of hyperband is below eta: no trial is ever judged.", where="early_terminate.max_iter"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
