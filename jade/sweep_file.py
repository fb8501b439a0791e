"""The form of a W&B sweep file: from YAML, or from a mapping, to a `Sweep`, all faults at once.

`sweep check` hands in a file, `sweep new` the mapping that it is about to write. What one parameter may say
is said in `distributions`; whether a sweep fits a program, `sweep_check` finds out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jade import distributions, scalars, sweep_command, sweep_yaml
from jade.distributions import Distribution
from jade.errors import ConfigError, JadeError, raise_all
from jade.sweep_yaml import Where
from jade.trials import GOALS

METHODS = ("grid", "random", "bayes", "custom")

_TEXTS = ("name", "description", "program", "project", "entity", "job", "image_uri", "apiVersion", "kind")
_MAPPINGS = ("controller", "scheduler", "settings", "launch")
_KEYS = (
    *_TEXTS,
    *_MAPPINGS,
    "method",
    "metric",
    "metrics",
    "parameters",
    "command",
    "early_terminate",
    "run_cap",
)
_METRIC_KEYS = ("name", "goal", "target", "impute", "impute_while_running")
_HYPERBAND_KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")


@dataclass(frozen=True)
class Metric:
    """What a sweep optimizes; `target` ends the sweep when a run reaches it."""

    name: str
    goal: str = "minimize"
    target: float | None = None


@dataclass(frozen=True)
class Hyperband:
    """Which trials are stopped early: by the first bracket, or by the last one and how many there are."""

    min_iter: int | None = None
    max_iter: int | None = None
    s: int | None = None
    eta: float = 3
    strict: bool = False


@dataclass(frozen=True)
class Sweep:
    """A sweep as its file describes it.

    Attributes:
        method: "grid", "random", "bayes" or "custom".
        parameters: by flat dotted key, those inside of a nested `parameters` among them.
        program: the file that a trial runs, None if there is none.
        command: the words of a trial's command, macros as they were written; none if they are wrong.
        metric: what is optimized.
        early_terminate: which trials are stopped.
        run_cap: the largest number of trials.
        name: as W&B shows it.
        values: everything, as it was read.
        places: for each parameter, its dotted key in the file.
        where: gives the place of a dotted key of the file, for errors.
    """

    method: str
    parameters: Mapping[str, Distribution]
    program: str | None = None
    command: tuple[str, ...] = sweep_command.DEFAULT
    metric: Metric | None = None
    early_terminate: Hyperband | None = None
    run_cap: int | None = None
    name: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    where: Where = field(default=str, compare=False, repr=False)


def read(path: Path) -> Sweep:
    """Return the sweep that a file describes.

    Raises:
        ConfigError: with all faults of the file, each with its line.
    """
    sweep, faults = examine(path)
    raise_all(faults)
    return sweep


def examine(path: Path) -> tuple[Sweep, list[JadeError]]:
    """Return what is right in a sweep file, and all that is wrong in it.

    Raises:
        ConfigError: if nothing can be said of the file.
    """
    values, where, faults = sweep_yaml.read(path)
    sweep, others = examine_values(values, where)
    return sweep, [*faults, *others]


def examine_values(values: Mapping[str, Any], where: Where) -> tuple[Sweep, list[JadeError]]:
    """Return what is right in the content of a sweep file, and all that is wrong in it."""
    reader = _Reader(values, where)
    sweep = reader.sweep()
    return sweep, reader.faults


class _Reader:
    """Turns values into a `Sweep`, gathering faults on the way."""

    def __init__(self, values: Mapping[str, Any], where: Where) -> None:
        self.faults: list[JadeError] = []
        self._values = values
        self._where = where
        self._places: dict[str, str] = {}

    def sweep(self) -> Sweep:
        """Return the sweep, with what is faulty left out."""
        values = self._values
        self._known(values, "", _KEYS, "A sweep file")
        for key in _TEXTS:
            self._is(key, values, str)
        for key in _MAPPINGS:
            self._is(key, values, dict)
        method = self._method()
        parameters = dict(self._parameters())
        metric = self._metric()
        self._metrics()
        stopping = self._hyperband()
        self._together(method, parameters)
        return Sweep(
            method=method,
            parameters=parameters,
            program=self._text("program"),
            command=self._command(),
            metric=metric,
            early_terminate=stopping,
            run_cap=self._whole("run_cap", values, "", 1),
            name=self._text("name"),
            values=values,
            places=self._places,
            where=self._where,
        )

    def _method(self) -> str:
        method = self._values.get("method")
        if method is None:
            self._fault("The sweep has no method.", "method", hint=f"method: {', '.join(METHODS[:3])}")
        elif method not in METHODS:
            self._fault(f"There is no method {method!r}.", "method", wanted=str(method), choices=METHODS)
        return str(method)

    def _together(self, method: str, parameters: Mapping[str, Distribution]) -> None:
        """Refuse what is right by itself, but not together."""
        searched = [key for key, found in parameters.items() if found.grid() is None]
        for key in searched if method == "grid" else []:
            self._fault(
                f"A grid cannot try every value of {key}, whose distribution is {parameters[key].name}.",
                self._places[key],
                hint="List its values, or take another method: random or bayes.",
            )
        needs = {"bayes": method == "bayes", "early_terminate": bool(self._values.get("early_terminate"))}
        if self._values.get("metric") is None and self._values.get("metrics") is None:
            for what in [what for what, needed in needs.items() if needed]:
                place = "method" if what == "bayes" else what
                self._fault(
                    f"{what} needs a metric, and the sweep has none.",
                    place,
                    hint="metric:\n  name: NameInTheLog\n  goal: minimize",
                )
        by_others = any(self._values.get(key) for key in ("scheduler", "job", "image_uri", "controller"))
        if method == "custom" and not by_others:
            self._fault(
                "The method custom needs a scheduler.", "method", hint=f"Others: {', '.join(METHODS[:3])}."
            )

    def _parameters(self) -> Iterator[tuple[str, Distribution]]:
        described = self._values.get("parameters")
        if described is None and self._values.get("method") == "custom":
            return
        if not isinstance(described, Mapping) or not described:
            found = "no parameters" if described in (None, {}) else f"parameters that are {_kind(described)}"
            self._fault(
                f"The sweep has {found}.",
                "parameters",
                hint="parameters:\n  model.params.lr:\n    values: [0.1, 0.01]",
            )
            return
        yield from self._flat(described, "", "parameters")

    def _flat(
        self, described: Mapping[str, Any], prefix: str, above: str
    ) -> Iterator[tuple[str, Distribution]]:
        for name, spec in described.items():
            key, place = f"{prefix}{name}", f"{above}.{name}"
            if isinstance(spec, Mapping) and "parameters" in spec:
                yield from self._nested(spec, key, place)
            elif key in self._places:
                self._fault(f"{key} is a parameter twice; first at {self._where(self._places[key])}.", place)
            else:
                self._places[key] = place
                if not prefix and isinstance(spec, Mapping):
                    self._bounds(key, spec, place)
                yield from self._distribution(key, spec, place)

    def _bounds(self, key: str, spec: Mapping[str, Any], place: str) -> None:
        """Refuse a whole and a broken bound, as `wandb sweep` does; it does not look into nested ones."""
        bounds = [spec.get(name) for name in ("min", "max")]
        if "distribution" not in spec and {type(bound) for bound in bounds} == {int, float}:
            whole = next(bound for bound in bounds if isinstance(bound, int))
            self._fault(
                f"{key} has a bound with a dot and one without, {bounds[0]} and {bounds[1]}: wandb takes"
                " neither for sure.",
                place,
                hint=f"Write {float(whole)}, or name the distribution.",
            )

    def _nested(self, spec: Mapping[str, Any], key: str, place: str) -> Iterator[tuple[str, Distribution]]:
        inner = spec["parameters"]
        for name in spec:
            if name != "parameters":
                self._fault(f"{key} holds parameters, so it takes no {name!r} of its own.", f"{place}.{name}")
        if not isinstance(inner, Mapping) or not inner:
            self._fault(f"The parameters of {key} are {_kind(inner)}.", f"{place}.parameters")
            return
        yield from self._flat(inner, f"{key}.", f"{place}.parameters")

    def _distribution(
        self, key: str, spec: Mapping[str, Any], place: str
    ) -> Iterator[tuple[str, Distribution]]:
        def where(name: str = "") -> str:
            return self._where(f"{place}.{name}" if name else place)

        try:
            yield key, distributions.parse(key, spec, where)
        except JadeError as fault:
            self.faults.append(fault)

    def _command(self) -> tuple[str, ...]:
        command = self._values.get("command")
        if command is None:
            return sweep_command.DEFAULT
        if not isinstance(command, list) or not command:
            # The agent takes its own command instead of anything but a list.
            hint = "\n".join(f"  - {word}" for word in sweep_command.DEFAULT)
            self._fault(
                f"command is {_kind(command)}; a list of words is expected.",
                "command",
                hint=f"command:\n{hint}",
            )
            return ()
        found = [
            fault
            for index, word in enumerate(command)
            for fault in sweep_command.faults(word, self._where(f"command[{index}]"))
        ]
        self.faults += found
        return () if found else tuple(str(word) for word in command)

    def _metric(self) -> Metric | None:
        metric = self._values.get("metric")
        if metric is None:
            return None
        return self._one_metric(metric, "metric")

    def _metrics(self) -> None:
        metrics = self._values.get("metrics")
        if metrics is None:
            return
        if not isinstance(metrics, list) or len(metrics) < 2:
            self._fault("metrics is a list of two or more; a single one is called metric.", "metrics")
            return
        if "metric" in self._values:
            self._fault("A sweep has a metric or metrics, not both.", "metrics")
        for index, metric in enumerate(metrics):
            self._one_metric(metric, f"metrics[{index}]")

    def _one_metric(self, metric: object, place: str) -> Metric | None:
        if not isinstance(metric, Mapping):
            self._fault(
                f"{place} is {_kind(metric)}; a mapping with a name is expected.",
                place,
                hint=f"metric:\n  name: {metric if isinstance(metric, str) else 'NameInTheLog'}"
                "\n  goal: minimize",
            )
            return None
        self._known(metric, f"{place}.", _METRIC_KEYS, "A metric")
        name, goal = metric.get("name"), metric.get("goal", "minimize")
        if not isinstance(name, str) or not name:
            found = "has no name" if name is None else f"is called {name!r}, which is {_kind(name)}"
            self._fault(f"The metric {found}.", f"{place}.name")
            name = None
        if goal not in GOALS:
            self._fault(
                f"There is no goal {goal!r}.", f"{place}.goal", wanted=_goal_meant(goal), choices=GOALS
            )
        target = self._number("target", metric, f"{place}.")
        return Metric(name, str(goal), target) if name else None

    def _hyperband(self) -> Hyperband | None:
        rule = self._values.get("early_terminate")
        if rule is None:
            return None
        place = "early_terminate."
        if not isinstance(rule, Mapping):
            self._fault(
                f"early_terminate is {_kind(rule)}; a mapping is expected.",
                "early_terminate",
                hint="early_terminate:\n  type: hyperband\n  min_iter: 3",
            )
            return None
        self._known(rule, place, _HYPERBAND_KEYS, "early_terminate")
        if rule.get("type") != "hyperband":
            found = f"the type {rule['type']!r}" if "type" in rule else "no type"
            self._fault(f"early_terminate has {found}.", f"{place}type", hint="type: hyperband")
        if "min_iter" not in rule and not ("max_iter" in rule and "s" in rule):
            self._fault("hyperband needs min_iter, or max_iter and s.", "early_terminate")
        eta = self._number("eta", rule, place)
        if eta is not None and eta <= 1:
            self._fault(f"eta is {eta}; a number above 1 is expected.", f"{place}eta")
        self._is("strict", rule, bool, place)
        made = Hyperband(
            self._whole("min_iter", rule, place, 1),
            self._whole("max_iter", rule, place, 1),
            self._whole("s", rule, place, 1),
            3 if eta is None else eta,
            bool(rule.get("strict", False)),
        )
        if made.max_iter is not None and made.max_iter < made.eta:
            self._fault(
                f"max_iter of hyperband is {made.max_iter}, below its eta of {made.eta}: no trial is ever"
                " judged.",
                f"{place}max_iter",
            )
        return made

    def _known(self, given: Mapping[str, Any], prefix: str, known: tuple[str, ...], what: str) -> None:
        for name in given:
            if name not in known:
                self._fault(
                    f"{what} has no key {name!r}.", f"{prefix}{name}", wanted=str(name), choices=known
                )

    def _is(self, name: str, given: Mapping[str, Any], kind: type, prefix: str = "") -> None:
        words = {str: "text", dict: "a mapping", bool: "true or false"}
        value = given.get(name)
        if name in given and not isinstance(value, kind):
            self._fault(f"{name} is {value!r}; {words[kind]} is expected.", f"{prefix}{name}")

    def _text(self, name: str) -> str | None:
        value = self._values.get(name)
        return value if isinstance(value, str) else None

    def _whole(self, name: str, given: Mapping[str, Any], prefix: str, least: int) -> int | None:
        value = given.get(name)
        if name not in given:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            self._fault(
                f"{name} is {value!r}; a whole number of at least {least} is expected.", f"{prefix}{name}"
            )
            return None
        return value

    def _number(self, name: str, given: Mapping[str, Any], prefix: str) -> float | None:
        value = given.get(name)
        if name not in given:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        hint = scalars.text_of_a_number(value)
        self._fault(f"{name} is {value!r}; a number is expected.", f"{prefix}{name}", hint=hint)
        return None

    def _fault(
        self,
        problem: str,
        key: str,
        *,
        wanted: str | None = None,
        choices: tuple[str, ...] = (),
        hint: str | None = None,
    ) -> None:
        self.faults.append(
            ConfigError(problem, where=self._where(key), wanted=wanted, choices=choices, hint=hint)
        )


def _goal_meant(goal: object) -> str:
    return {"max": "maximize", "min": "minimize"}.get(str(goal)[:3].lower(), str(goal))


def _kind(value: object) -> str:
    return "empty" if value in ({}, [], ()) else scalars.kind_of(value)
