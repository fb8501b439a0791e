"""What a sweep searches, and what came of it so far: its parameters, its trials, the goal they are judged by.

Values only; `search`, `bayes` and `hyperband` decide by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from jade import distributions
from jade.distributions import Distribution
from jade.errors import ConfigError, JadeError, raise_all

Params = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A trial that was proposed before.

    Attributes:
        params: its dotted params.
        state: "pending", "running", "preempting", "preempted", "finished", "failed", "crashed" or "killed".
        metric: the last value of the sweep's metric; may be NaN. None if there is none.
        history: the values of the metric in the order they were logged, without those that are missing.
    """

    params: Params
    state: str
    metric: float | None = None
    history: Sequence[float] = ()


@dataclass(frozen=True)
class Goal:
    """What is better: values of the metric as losses, of which the least is the best and NaN the worst."""

    sign: int
    target: float | None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Goal:
        """Return the goal of a sweep's `metric`; it is to minimize if nothing is said."""
        metric = config.get("metric") or {}
        return cls(-1 if metric.get("goal") == "maximize" else 1, metric.get("target"))

    def loss(self, value: float | None) -> float:
        """Return a value of the metric as a loss; infinity for none."""
        return math.inf if value is None or math.isnan(value) else self.sign * value

    def reached_by(self, trial: Trial) -> bool:
        """Say whether a trial has come to the value that the sweep was to reach."""
        if self.target is None:
            return False
        return any(self.loss(value) <= self.loss(self.target) for value in (trial.metric, *trial.history))


@dataclass(frozen=True)
class Space:
    """The parameters of a sweep, by their dotted names, in the order they are written."""

    distributions: Mapping[str, Distribution]

    @classmethod
    def parse(cls, parameters: Mapping[str, Any]) -> Space:
        """Return the space that a sweep's `parameters` describe; those within `parameters` are dotted.

        Raises:
            ConfigError: for every fault of every parameter, all at once.
        """
        found: dict[str, Distribution] = {}
        faults: list[JadeError] = []
        for name, spec in _leaves(parameters, faults):
            if name in found:
                faults.append(ConfigError(f"{name} is a parameter twice.", where=f"parameters.{name}"))
            try:
                found[name] = distributions.parse(name, spec, f"parameters.{name}")
            except ConfigError as fault:
                faults.append(fault)
        raise_all(faults)
        return cls(found)

    def drawn(self, seed: int, number: int) -> Params:
        """Return the params that chance gives to the trial of a number, from 0; the same ones each time."""
        return {
            name: distribution.quantile(_share(f"{seed}/{number}/{name}"))
            for name, distribution in self.distributions.items()
        }


def _leaves(
    parameters: Mapping[str, Any], faults: list[JadeError], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for key, spec in parameters.items():
        name = f"{prefix}{key}"
        inside = spec.get("parameters") if isinstance(spec, Mapping) else None
        if not isinstance(inside, Mapping):
            yield name, spec
            continue
        if len(spec) > 1 or not inside:
            problem = (
                f"{name} has other names beside its parameters." if inside else f"{name} has no parameters."
            )
            faults.append(ConfigError(problem, where=f"parameters.{name}"))
        yield from _leaves(inside, faults, f"{name}.")


def _share(text: str) -> float:
    """Return a number in (0, 1) that follows from a text; a text, as Python's own hash differs by process."""
    return (Random(text).getrandbits(52) + 0.5) / 2**52
