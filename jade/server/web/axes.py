"""The axes of a chart: one for each parameter that a sweep tries, and one for its metric."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jade.quantiles import Distribution
from jade.server.web import words

_DECADES = 2
_MOST_CATEGORIES = 24


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes:
        key: of the column whose values it shows.
        title: what stands at it.
        scale: "linear", "log" or "category".
        categories: the texts on it, in order, where it is of categories.
    """

    key: str
    title: str
    scale: str
    categories: list[str] = field(default_factory=list)

    def place(self, value: object) -> float | None:
        """Return where a value stands: itself, or the number of its category; None if nowhere."""
        if self.scale == "category":
            text = words.value(value)
            return self.categories.index(text) if value is not None and text in self.categories else None
        number = words.as_float(value)
        if number is None or not math.isfinite(number) or (self.scale == "log" and number <= 0):
            return None
        return number


def of_parameter(key: str, title: str, distribution: Distribution | None, values: Iterable[Any]) -> Axis:
    """Return the axis of a parameter.

    Args:
        key: its name.
        title: what stands at the axis.
        distribution: what the sweep says of it; None if it says nothing.
        values: those that trials have.
    """
    known = [value for value in values if value is not None]
    listed = [*distribution.values] if distribution is not None and distribution.shape == "listed" else []
    if listed or any(words.as_float(value) is None for value in known):
        texts = dict.fromkeys(words.value(value) for value in [*listed, *known])
        numbers = [number for value in [*listed, *known] if (number := words.as_float(value)) is not None]
        if len(texts) > _MOST_CATEGORIES and len(numbers) == len(listed) + len(known):
            return Axis(key, title, scale_of(numbers))
        return Axis(key, title, "category", list(texts))
    if distribution is None:
        return Axis(key, title, scale_of(filter(None, map(words.as_float, known))))
    is_log = "log" in distribution.name and all(value > 0 for value in known)
    return Axis(key, title, "log" if is_log else "linear")


def scale_of(numbers: Iterable[float]) -> str:
    """Return "log" for positive numbers over more than two decades, else "linear"."""
    known = [one for one in numbers if math.isfinite(one)]
    if not known or min(known) <= 0:
        return "linear"
    return "log" if max(known) > min(known) * 10**_DECADES else "linear"


def as_data(axis: Axis) -> Mapping[str, Any]:
    """Return an axis as the charts' script reads it."""
    return {"key": axis.key, "title": axis.title, "scale": axis.scale, "categories": axis.categories}
