"""A sweep against the program that it starts: its flags, its configuration, each parameter, the metric.

What `python -m jade sweep check` finds out before the first trial. Nothing is built or trained, and torch is
imported only where a class must be looked at.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jade import config, logged, params, scalars, summary, sweep_program
from jade.config import Config
from jade.distributions import Distribution
from jade.errors import ConfigError, JadeError, PluginError
from jade.options import is_option
from jade.plugins import Plugins
from jade.stored import reference
from jade.stored.find import experiments_root
from jade.sweep_file import Sweep
from jade.sweep_program import indented

# Somewhere within a range, where a number that may be broken is broken.
_INSIDE = 0.381966


@dataclass
class Checked:
    """What was found: faults, warnings, and what the sweep is, in a few words."""

    text: str
    faults: list[JadeError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(sweep: Sweep, environ: Mapping[str, str]) -> Checked:
    """Return what is wrong with a sweep that is right by its form.

    The files that the command names are looked for in the current folder, in which an agent starts it.

    Args:
        sweep: the sweep.
        environ: the environment of a trial.
    """
    checked = Checked(described(sweep))
    try:
        program, accepted = sweep_program.started(sweep, environ)
    except JadeError as fault:
        checked.faults.append(fault)
        return checked
    if program is None or accepted is None:
        what = program.name if program else "its command"
        checked.text += f"; {what} is no program of JADE's: only the form of the file was checked"
        return checked
    check = _Check(sweep, accepted, Plugins(program.folder), checked)
    check.runs = (program.root or experiments_root(environ), environ)
    check.all()
    return checked


def described(sweep: Sweep) -> str:
    """Return what a sweep does, on one line."""
    text = f"{sweep.method} over {', '.join(sweep.parameters)}"
    if sweep.metric:
        text += f"; {sweep.metric.goal} {sweep.metric.name}"
    if sweep.method == "grid" and (trials := trials_of(sweep)) is not None:
        text += f"; {trials} trials"
    elif sweep.run_cap:
        text += f"; at most {sweep.run_cap} trials"
    return text


def trials_of(sweep: Sweep) -> int | None:
    """Return how many trials a sweep has at most; None if there is no end to them."""
    counts = [found.count() for found in sweep.parameters.values()]
    if sweep.method != "grid" or None in counts:
        return sweep.run_cap
    trials = math.prod(count for count in counts if count)
    return min(trials, sweep.run_cap or trials)


class _Check:
    """Holds each parameter and the metric against a configuration."""

    def __init__(self, sweep: Sweep, accepted: Config, plugins: Plugins, checked: Checked) -> None:
        self._sweep = sweep
        self._config = accepted
        self._flat = accepted.declared
        self._plugins = plugins
        self._faults = checked.faults
        self._warnings = checked.warnings
        self._variants = [accepted]  # one for each class that a trial may have
        self.runs: tuple[Path, Mapping[str, str]] = (Path(), {})  # where those are whose weights are taken

    def all(self) -> None:
        """Find everything."""
        meant: dict[str, str] = {}
        for key, distribution in self._sweep.parameters.items():
            name = params.full_key(key, self._flat) or key
            place = self._place(key)
            if name in meant:
                self._fault(f"{name} is swept twice, as {meant[name]} and as {key}.", place)
            elif name != key:
                self._warnings.append(f"{place}: {key} is read as {name}.")
            meant[name] = key
            self._parameter(key, name, distribution)
        if "arch_impl" not in meant:
            self._architecture(self._config.values["arch_impl"], self._config.where("arch_impl"))
        if "init_from" not in meant and "init_from" in self._config.values:
            self._beginning(self._config.values["init_from"], self._config.where("init_from"))
        self._classes()
        self._metrics()

    def _parameter(self, key: str, name: str, distribution: Distribution) -> None:
        if name not in self._flat and is_option(name):
            self._fault(
                f"{key} is an option, which says where a run happens; only configuration can be swept.",
                self._place(key),
                hint=f"Give it to every trial alike: a word --{key}=… of the command.",
            )
            return
        for index, value in enumerate(_tried(distribution)):
            known = name in self._flat
            self._value(
                name, value, self._place_of_value(key, distribution, index) if known else self._place(key)
            )
        self._warn_of_exponents(key, name, distribution)
        whole = isinstance(self._flat.get(name), int) and not isinstance(self._flat[name], bool)
        broken = [v for v in _tried(distribution) if isinstance(v, float) and not v.is_integer()]
        if whole and broken and name not in ("seed", "epochs"):
            self._warnings.append(
                f"{self._place(key)}: {name} is a whole number, {self._flat[name]}; the sweep also gives"
                f" numbers such as {broken[-1]:.4g}."
            )

    def _warn_of_exponents(self, key: str, name: str, distribution: Distribution) -> None:
        """Warn where min and max look like values, but are powers of e as W&B has it."""
        default = self._flat.get(name)
        if not distribution.name.endswith("log_uniform") or not isinstance(default, int | float):
            return
        low, high = distribution.lower, distribution.upper
        if not low <= default <= high:
            self._warnings.append(
                f"{self._place(key)}: {name} is between {low:.4g} and {high:.4g}, as {distribution.name}"
                f" takes powers of e; the file has {default!r}. For values write {distribution.name}_values."
            )

    def _value(self, name: str, value: object, place: str) -> None:
        default = self._flat.get(name, "")
        items = value if isinstance(value, list) and not _holds_text(default) else [value]
        hint = next((hint for item in items if (hint := scalars.text_of_a_number(item))), None)
        if hint and not isinstance(default, str):
            self._fault(f"{name} gets {value!r}; {_expected(default)}.", place, hint=hint)
            return
        origin = place.rpartition(" (")[0] or place  # an error adds the key itself
        try:
            changed = config.override(self._config, {name: value}, origin)
        except JadeError as fault:
            self._faults.append(fault)
            return
        if name == "arch_impl":
            self._architecture(str(value), place)
        if name == "init_from" and value:
            self._beginning(str(value), place)
        if _is_class(name):
            wrong = self._class(changed)
            problem = f"With {name} {value!r} the configuration cannot be built.\n{indented(wrong)}"
            self._faults += [ConfigError(problem, where=place)] if wrong else []

    def _beginning(self, run: str, place: str) -> None:
        """Look for the run whose weights a trial is to begin with, on this machine only."""
        try:
            is_here = reference.is_here(run, *self.runs, place)
        except JadeError as fault:
            self._faults.append(fault)
            return
        if not is_here:
            self._warnings.append(
                f"{place}: there is no run {run} in {self.runs[0]}; a trial looks for it on W&B."
            )

    def _architecture(self, path: str, place: str) -> None:
        file = self._plugins.located(Path(path))
        if not file.is_file():
            beside = [str(Path(path).parent / other.name) for other in sorted(file.parent.glob("*.py"))]
            self._faults.append(
                PluginError(
                    f"There is no architecture file {path}.", where=place, wanted=path, choices=beside
                )
            )
            return
        try:
            ast.parse(file.read_text(encoding="utf-8-sig"))
        except (SyntaxError, ValueError, OSError) as error:
            self._fault(f"The architecture file {path} is no Python: {error}.", place)

    def _class(self, changed: Config) -> JadeError | None:
        from jade import assembly  # imports torch, which nothing else here needs

        try:
            assembly.verify(changed, self._plugins)
        except JadeError as fault:
            return fault
        self._variants.append(changed)
        return None

    def _classes(self) -> None:
        """Have the classes of the configuration looked at if one of them is not in the project's files."""
        values = self._config.values
        named = [("model", values["model"]["class"])]
        named += [(kind, node["class"]) for kind in ("data", "eval") for node in values[kind].values()]
        if any(not self._is_there(kind, name) for kind, name in named):
            fault = self._class(self._config)
            self._faults += [fault] if fault else []

    def _is_there(self, kind: str, name: str) -> bool:
        return self._plugins.source(kind, name) is not None or self._plugins.exports(kind, name)

    def _metrics(self) -> None:
        found = logged.Names()
        for variant in self._variants:
            found |= logged.names(variant, self._plugins)
        several = self._sweep.values.get("metrics")
        asked = [(f"metrics[{i}]", m["name"]) for i, m in enumerate(several or []) if _has_name(m)]
        if self._sweep.metric:
            asked.append(("metric", self._sweep.metric.name))
        for key, name in asked:
            place = self._sweep.where(f"{key}.name")
            there = found.has(name)
            self._warn_of_goal(key, name)
            if name.endswith(summary.BEST) and self._sweep.early_terminate:
                self._fault(
                    f"{name} is no row of a run's history, by which early_terminate judges.",
                    place,
                    hint=f"name: {name.removesuffix(summary.BEST)}",
                )
                continue
            if there is None:
                self._warnings.append(
                    f"{place}: whether a run logs {name!r} cannot be told from the source, where such names"
                    " are made while it runs."
                )
            elif not there:
                self._faults.append(
                    ConfigError(
                        f"No run of this sweep logs a number as {name!r}.",
                        where=place,
                        wanted=name,
                        choices=found.certain,
                        hint="A metric is an evaluation of --eval_conf by its name, or a loss item.",
                    )
                )

    def _warn_of_goal(self, key: str, name: str) -> None:
        if key == "metric" and "goal" not in self._sweep.values["metric"] and summary.more_is_better(name):
            place = self._sweep.where("metric")
            self._warnings.append(
                f"{place}: without a goal, {name} is minimized; goal: maximize looks for more."
            )

    def _place(self, key: str) -> str:
        return self._sweep.where(self._sweep.places.get(key, key))

    def _place_of_value(self, key: str, distribution: Distribution, index: int) -> str:
        inside = {"constant": ".value"}.get(distribution.name, "")
        if distribution.name.startswith("categorical"):
            inside = f".values[{index}]"
        return self._sweep.where(f"{self._sweep.places.get(key, key)}{inside}")

    def _fault(self, problem: str, place: str, hint: str | None = None) -> None:
        self._faults.append(ConfigError(problem, where=place, hint=hint))


def _tried(distribution: Distribution) -> Iterator[Any]:
    yield from distribution.examples()
    if distribution.name not in ("constant", "categorical", "categorical_w_probabilities"):
        yield distribution.quantile(_INSIDE)


def _holds_text(default: object) -> bool:
    return isinstance(default, list) and any(isinstance(item, str) for item in default)


def _expected(default: object) -> str:
    return f"{scalars.kind_of(default)} is expected, as in the file's {default!r}"


def _is_class(name: str) -> bool:
    section, _, rest = name.partition(".")
    return name == "model.class" or (
        section in ("data", "eval") and rest.count(".") == 1 and rest.endswith(".class")
    )


def _has_name(metric: object) -> bool:
    return isinstance(metric, dict) and isinstance(metric.get("name"), str)
