"""Where a value stands on an axis of the picture, from 0 to 1, and what is written beside the axis.

Pure. Parameters are linear, logarithmic or a row of categories; the metric's axis leaves out what would
flatten the rest.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from jade.sheet import order
from jade.texts import number_text, shortened_in_the_middle, text_of

DECADES = 2  # from which on an axis of positive numbers is logarithmic
FEW = 8  # so many different numbers, some of them tried again, stand in a row as categories do
MOST_LABELS = 10
# How many times further from the middle than most of them a value is left out; wider where there are few.
_FAR, _FAR_OF_FEW, _FEW_VALUES = 10.0, 100.0, 10


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        kind: "linear", "log" or "categories".
        low: of numbers, the logarithm where the axis has that; at 0.
        high: the same, at 1.
        categories: their labels, from 0 to 1.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    categories: tuple[str, ...] = ()

    def at(self, value: object) -> float | None:
        """Return where a value stands: below 0 or above 1 if it is left out, None if it has no place."""
        if self.kind == "categories":
            label = text_of(value)
            return self._of_category(self.categories.index(label)) if label in self.categories else None
        if not _is_number(value):
            return None
        if self.kind == "log" and float(value) <= 0:  # type: ignore[arg-type]
            return None
        number = self._moved(float(value))  # type: ignore[arg-type]
        return 0.5 if self.high == self.low else (number - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        """Return what is written where, few enough to be read."""
        if self.kind == "categories":
            every = -(-len(self.categories) // MOST_LABELS)
            return [
                (self._of_category(index), shortened_in_the_middle(label))
                for index, label in enumerate(_without_folder(self.categories))
                if index % every == 0
            ]
        if self.high == self.low:
            return [(0.5, number_text(10**self.low if self.kind == "log" else self.low))]
        numbers = _decades(self.low, self.high) if self.kind == "log" else _round_numbers(self.low, self.high)
        placed = [(self.at(number), number) for number in numbers]
        return [(at, f"{number:.10g}") for at, number in placed if at is not None and -1e-9 <= at <= 1 + 1e-9]

    def _moved(self, number: float) -> float:
        return math.log10(number) if self.kind == "log" else number

    def _of_category(self, index: int) -> float:
        count = len(self.categories)
        return (index + 0.5) / count


def of_values(values: Sequence[object]) -> Scale:
    """Return the axis of a parameter.

    Args:
        values: one for each trial that has one.
    """
    numbers = [float(value) for value in values if _is_number(value)]  # type: ignore[arg-type]
    different = set(numbers)
    are_tried_again = len(different) < len(numbers) and len(different) <= FEW
    if not numbers or len(numbers) < len(values) or are_tried_again or len(different) == 1:
        return Scale(
            "categories", categories=tuple(dict.fromkeys(text_of(v) for v in sorted(values, key=order)))
        )
    low, high = min(numbers), max(numbers)
    if low > 0 and _is_wide(numbers):
        return Scale("log", math.log10(low), math.log10(high))
    return Scale("linear", low, high)


def _is_wide(numbers: Sequence[float]) -> bool:
    """Say whether positive numbers span decades: most of them, for of any many from 0 on, one is near 0."""
    ordered = sorted(numbers)
    outer = len(ordered) // 20
    return ordered[-1 - outer] > ordered[outer] * 10.0**DECADES


def of_metric(values: Sequence[float], goal: str) -> Scale:
    """Return the axis of the metric, on which values that are far worse than most are left out.

    Args:
        values: finite ones.
        goal: "minimize" or "maximize".
    """
    if not values:
        return Scale("linear")
    ordered = sorted(values)
    is_log = ordered[0] > 0 and len(values) >= _FEW_VALUES and _is_wide(values)
    moved = [math.log10(value) if is_log else value for value in ordered]
    sign = 1 if goal == "minimize" else -1
    worse = sorted(sign * value for value in moved)
    quarters = quantiles(worse, n=4) if len(worse) > 1 else [worse[0]] * 3
    spread = max(quarters[2] - quarters[0] if len(worse) >= _FEW_VALUES else 0.0, median(worse) - worse[0])
    limit = median(worse) + spread * (_FAR if len(worse) >= _FEW_VALUES else _FAR_OF_FEW)
    kept = [sign * value for value in worse if value <= limit or spread == 0]
    return Scale("log" if is_log else "linear", min(kept), max(kept))


def _without_folder(labels: Sequence[str]) -> list[str]:
    """Return labels without the folder that all of them begin with."""
    common = os.path.commonprefix(labels).rpartition("/")[0] if len(labels) > 1 else ""
    return [label[len(common) + 1 :] if common else label for label in labels]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _decades(low: float, high: float) -> list[float]:
    powers = range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)
    every = max(1, -(-len(powers) // 6))
    return [10.0**power for power in powers if power % every == 0]


def _round_numbers(low: float, high: float) -> list[float]:
    """Return numbers to write at an axis, four to nine of them in steps of 1, 2 or 5."""
    rough = (high - low) / 5
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    return [step * index for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
