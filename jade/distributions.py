"""What a sweep says of one parameter, checked, to a `Distribution`: W&B's names and which go together.

The border for a parameter's text: behind `parse`, a distribution is right. The search of the server and
`sweep check` call it; what is drawn from a distribution stands in `quantiles`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from jade import scalars
from jade.errors import ConfigError, JadeError, raise_all
from jade.quantiles import Distribution, text_of
from jade.scalars import kind_of

__all__ = ["KNOWN", "Distribution", "parse", "text_of"]

Where = Callable[[str], str]
Numbers = dict[str, float]

_RANGE, _BELL, _SHAPES = ("min", "max"), ("mu", "sigma"), ("a", "b")
# The names that each distribution needs, and those that it may have, beside `distribution` itself.
KNOWN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        "constant": (("value",), ()),
        "categorical": (("values",), ("probabilities",)),
        "categorical_w_probabilities": (("values", "probabilities"), ()),
        "int_uniform": (_RANGE, ()),
        "uniform": (_RANGE, ()),
        "q_uniform": (_RANGE, ("q",)),
        "log_uniform": (_RANGE, ()),
        "log_uniform_values": (_RANGE, ()),
        "q_log_uniform": (_RANGE, ("q",)),
        "q_log_uniform_values": (_RANGE, ("q",)),
        "inv_log_uniform": (_RANGE, ()),
        "inv_log_uniform_values": (_RANGE, ()),
        "normal": ((), _BELL),
        "q_normal": ((), (*_BELL, "q")),
        "log_normal": ((), _BELL),
        "q_log_normal": ((), (*_BELL, "q")),
        "beta": ((), _SHAPES),
        "q_beta": ((), (*_SHAPES, "q")),
    }
)
_DEFAULTS = {"mu": 0, "sigma": 1, "a": 1, "b": 1, "q": 1}
_NO_NUMBERS = ("value", "values", "probabilities")
_ABOVE_ZERO = ("sigma", "a", "b", "q")
_TOLERANCE = 1e-6
_LARGEST_EXPONENT = 709
_DEVIATIONS = 9  # a draw is never further out


def parse(name: str, spec: object, where: str | Where) -> Distribution:
    """Return how the parameter `name` is chosen.

    Args:
        name: of the parameter, dotted; for errors.
        spec: what the sweep says of it: `{"min": 0.0, "max": 1.0}`. No node with `parameters` of its own.
        where: the place, for errors; or what gives the place of a name within `spec` ("min"), and of all of
            it ("").

    Raises:
        ConfigError: for every fault of this parameter, all at once.
    """
    place = where if callable(where) else lambda _: where
    if not isinstance(spec, Mapping):
        if spec is None:
            problem, hint = "is empty", f"What belongs to {name} is indented further than it is."
        else:
            problem = f"is {spec!r}, which does not say how to choose it"
            hint = f"Write {'values' if isinstance(spec, list) else 'value'}: {spec!r} below {name}."
        raise ConfigError(f"{name} {problem}.", where=place(""), hint=hint)
    reader = _Reader(name, _name_of(name, spec, place), spec, place)
    reader.check_names()
    values, numbers = reader.values(), reader.numbers()
    probabilities = reader.probabilities(len(values))
    raise_all(reader.faults)
    if values:
        return Distribution(reader.kind, "listed", values=values, probabilities=probabilities)
    reader.check_range(numbers)
    raise_all(reader.faults)
    return _of_numbers(reader.kind, numbers)


def _name_of(parameter: str, spec: Mapping[str, Any], place: Where) -> str:
    if "distribution" in spec:
        name = spec["distribution"]
        if name not in list(KNOWN):  # a list may be asked for what cannot be hashed
            raise ConfigError(
                f"{parameter} has the distribution {name!r}, which W&B does not know.",
                where=place("distribution"),
                wanted=str(name),
                choices=KNOWN,
            )
        return str(name)
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical_w_probabilities" if "probabilities" in spec else "categorical"
    bounds = [spec[name] for name in _RANGE if name in spec]
    if not bounds:
        raise ConfigError(
            f"{parameter} does not say what to choose from.",
            where=place(""),
            hint="Write value, values, min and max, or distribution and what it needs.",
        )
    whole = all(isinstance(bound, int) and not isinstance(bound, bool) for bound in bounds)
    return "int_uniform" if whole else "uniform"


def _of_numbers(name: str, numbers: Numbers) -> Distribution:
    shape, q = name.removeprefix("q_").removeprefix("inv_").removesuffix("_values"), numbers.get("q")
    if shape == "beta":
        return Distribution(name, shape, lower=0.0, upper=1.0, form=(numbers["a"], numbers["b"]), q=q)
    if "min" not in numbers:
        lower = 0.0 if shape == "log_normal" else -math.inf
        return Distribution(name, shape, lower=lower, form=(numbers["mu"], numbers["sigma"]), q=q)
    lower, upper = _bounds(name, numbers)
    return Distribution(name, "whole" if name == "int_uniform" else shape, lower=lower, upper=upper, q=q)


def _bounds(name: str, numbers: Numbers) -> tuple[float, float]:
    low, high = numbers["min"], numbers["max"]
    if name == "int_uniform":
        return low, high
    if not _gives_exponents(name):
        return float(low), float(high)
    return (math.exp(-high), math.exp(-low)) if name.startswith("inv_") else (math.exp(low), math.exp(high))


def _gives_exponents(name: str) -> bool:
    return name.endswith("log_uniform")


class _Reader:
    """Reads what one parameter says, and keeps the faults.

    Args:
        parameter: its dotted name.
        kind: the name of its distribution.
        spec: what is said of it.
        place: gives the place of a name within `spec`.
    """

    def __init__(self, parameter: str, kind: str, spec: Mapping[str, Any], place: Where) -> None:
        self.kind = kind
        self.faults: list[JadeError] = []
        self._parameter, self._spec, self._place = parameter, spec, place
        self._needed, self._possible = KNOWN[kind]

    def check_names(self) -> None:
        """Find the names that the distribution does not have, and those that it lacks."""
        names = [*self._needed, *self._possible, "distribution"]
        for name in self._spec:
            if name not in names:
                self._fault(name, f"sets {name!r}, which {self.kind} does not have", known=names)
        for name in self._needed:
            if name not in self._spec:
                self._fault("", f"has no {name!r}, which {self.kind} needs")

    def values(self) -> tuple[Any, ...]:
        """Return what is listed; one value of a constant, none of a range."""
        if "value" in self._needed and "value" in self._spec:
            return (self._spec["value"],)
        if "values" not in self._needed or "values" not in self._spec:
            return ()
        values = self._spec["values"]
        if not isinstance(values, list | tuple):
            self._fault("values", f"has the values {values!r}; a list is expected", "Write values: [1, 2]")
            return ()
        if not values:
            self._fault("values", "has an empty list of values")
        return tuple(values)

    def probabilities(self, count: int) -> tuple[float, ...] | None:
        """Return the probability of each of `count` values, or None if nothing is said of it."""
        if "probabilities" not in self._spec or "values" not in self._needed:
            return None
        given = self._spec["probabilities"]
        if not isinstance(given, list | tuple):
            self._fault("probabilities", f"has the probabilities {given!r}; a list is expected")
            return None
        chances = [self._number("probabilities", chance) for chance in given]
        known = tuple(float(chance) for chance in chances if chance is not None)
        if count and len(given) != count:
            self._fault(
                "probabilities", f"has {count} values and {len(given)} probabilities; each value needs one"
            )
        elif any(chance < 0 for chance in known):
            self._fault("probabilities", f"has the probabilities {given!r}; none may be below 0")
        elif len(known) == len(given) and abs(sum(known) - 1) > _TOLERANCE:
            self._fault("probabilities", f"has probabilities that sum to {sum(known):g}; they must sum to 1")
        return known

    def numbers(self) -> Numbers:
        """Return every other name of the distribution, with W&B's defaults put in."""
        numbers: Numbers = {}
        for name in (*self._needed, *self._possible):
            if name in _NO_NUMBERS or (name not in self._spec and name not in _DEFAULTS):
                continue
            number = self._number(name, self._spec.get(name, _DEFAULTS.get(name)))
            if number is not None:
                numbers[name] = number
        for name in _ABOVE_ZERO:
            if numbers.get(name, 1) <= 0:
                self._fault(name, f"has the {name} {numbers[name]!r}; a number above 0 is expected")
        return numbers

    def check_range(self, numbers: Numbers) -> None:
        """Find the faults of numbers that are right by themselves."""
        if "min" not in numbers:
            self._check_bell(numbers)
            return
        low, high = numbers["min"], numbers["max"]
        if low > high:
            self._fault("min", f"has the min {low!r}, which is above its max {high!r}")
        elif "log_" in self.kind and not _gives_exponents(self.kind) and low <= 0:
            self._fault("min", f"has the min {low!r}; {self.kind} needs one above 0")
        elif _gives_exponents(self.kind) and max(abs(low), abs(high)) > _LARGEST_EXPONENT:
            hint = f"For min and max as values write distribution: {self.kind}_values"
            self._fault("max", f"has the exponents {low!r} to {high!r}: e to that power is no number", hint)
        elif "q" in numbers:
            self._check_multiples(_of_numbers(self.kind, numbers))

    def _check_bell(self, numbers: Numbers) -> None:
        if "log_normal" not in self.kind:
            return
        if abs(numbers["mu"]) + _DEVIATIONS * numbers["sigma"] > _LARGEST_EXPONENT:
            self._fault(
                "mu",
                "is e to the power of a draw that is too large",
                "mu and sigma are those of the logarithm.",
            )

    def _check_multiples(self, made: Distribution) -> None:
        first, last = made.multiples() or (0, 0)
        if first > last:
            self._fault("q", f"has no multiple of {made.q!r} between {made.lower!r} and {made.upper!r}")

    def _number(self, name: str, value: object) -> float | None:
        problem, hint = None, None
        if isinstance(value, bool) or not isinstance(value, int | float):
            problem = f"has the {name} {value!r}, which is {kind_of(value)}; a number is expected"
            hint = _as_number(value) if isinstance(value, str) else None
        elif not -math.inf < value < math.inf or abs(value) > 1.7e308:
            problem = f"has the {name} {value!r}; a finite number is expected"
        elif self.kind == "int_uniform" and int(value) != value:
            problem = f"has the {name} {value!r}; int_uniform needs a whole number"
            hint = "Write distribution: uniform for the numbers in between."
        if problem:
            self._fault(name, problem, hint)
            return None
        number: Any = value
        return int(number) if self.kind == "int_uniform" else number

    def _fault(
        self, name: str, problem: str, hint: str | None = None, known: list[str] | None = None
    ) -> None:
        self.faults.append(
            ConfigError(
                f"{self._parameter} {problem}.",
                where=self._place(name),
                wanted=name if known else None,
                choices=known or (),
                hint=hint,
            )
        )


def _as_number(text: str) -> str | None:
    number = scalars.typed(text.strip())
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return scalars.text_of_a_number(text.strip()) or f"Write {number!r} without quotes."
