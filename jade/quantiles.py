"""The distributions of W&B's sweeps: the value at a share of the probability, and the points of a grid.

Plain mathematics on the standard library: no text is checked here, no random number drawn. `distributions`
makes a `Distribution` of what a sweep says.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from statistics import NormalDist
from typing import Any, overload

# A trial never gets a value from further out: the largest float below 1 is 8.2 standard deviations away.
_OUTERMOST = 2.0**-53
_MOST_TERMS = 100_000
_TINY = 1e-300
_ENOUGH = 1e-15
_HALVINGS = 1100  # from 1 down to the smallest float above 0


@dataclass(frozen=True)
class Distribution:
    """How one parameter is chosen.

    Attributes:
        name: W&B's name: "log_uniform_values", "categorical", "constant", "int_uniform", …
        shape: "listed", "whole" (numbers), "uniform", "log_uniform", "normal", "log_normal" or "beta"; the
            names whose bounds are exponents or inverses differ from the others in `lower` and `upper` only.
        values: what is chosen among, where `shape` is "listed".
        probabilities: of each of `values`; None if all are equally likely.
        lower: no value is below it.
        upper: no value is above it.
        form: mean and deviation of a normal distribution (of the logarithm), the two shapes of a beta one.
        q: values are multiples of it; None if they are not rounded.
    """

    name: str
    shape: str
    values: tuple[Any, ...] = ()
    probabilities: tuple[float, ...] | None = None
    lower: float = -math.inf
    upper: float = math.inf
    form: tuple[float, float] = (0.0, 1.0)
    q: float | None = None

    def quantile(self, u: float) -> Any:  # noqa: ANN401 - a listed value may be anything
        """Return the value that a share `u`, in (0, 1), of the probability lies below."""
        if self.shape == "listed":
            return self.values[self._chosen(u)]
        if self.shape == "whole":
            first, last = int(self.lower), int(self.upper)
            return min(last, first + math.floor(Fraction(u) * (last - first + 1)))
        value = min(self.upper, max(self.lower, self._unrounded(u)))
        return value if self.q is None else self._rounded(value)

    def share(self, value: float) -> float:
        """Return the share of a normal or beta distribution below `value`: `quantile(share(x))` is `x`."""
        if self.shape == "beta":
            below = _beta_share(value, *self.form)
        elif self.shape == "log_normal":
            below = NormalDist(*self.form).cdf(math.log(value)) if value > 0 else 0.0
        else:
            below = NormalDist(*self.form).cdf(value)
        return min(1 - _OUTERMOST, max(_OUTERMOST, below))

    def grid(self) -> Sequence[Any] | None:
        """Return every value in order, none of them held in memory; None where they cannot be counted."""
        return None if self.count() is None else Points(self)

    def examples(self) -> list[Any]:
        """Return values of every kind that a trial may get: all that are listed, or both ends of a range.

        A distribution without ends shows the values that one trial in a thousand lies beyond.
        """
        if self.shape == "listed":
            return list(self.values)
        if self.shape in ("normal", "log_normal"):
            return [self.quantile(0.001), self.quantile(0.999)]
        if self.shape == "whole":
            return [int(self.lower), int(self.upper)]
        ends = [float(self.lower), float(self.upper)]
        return ends if self.q is None else [self._rounded(end) for end in ends]

    def count(self) -> int | None:
        """Return how many values there are; None where they cannot be counted."""
        if self.shape == "listed":
            return len(self._unlike)
        multiples = self.multiples()
        return multiples and multiples[1] - multiples[0] + 1

    def point(self, index: int) -> Any:  # noqa: ANN401 - a listed value may be anything
        """Return the value of the grid at `index`, from 0."""
        if self.shape == "listed":
            return [*self._unlike.values()][index]
        multiples = self.multiples()
        assert multiples is not None, "only a grid has points"
        return self.multiple(multiples[0] + index)

    def index(self, value: Any) -> int | None:  # noqa: ANN401 - a listed value may be anything
        """Return where `value` stands in the grid; None if it does not. 1, 1.0 and true are three values."""
        if self.shape == "listed":
            return self._indices.get(text_of(value))
        multiples = self.multiples()
        if multiples is None or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not self.lower <= value <= self.upper:
            return None
        times = round(_exact(value) / _exact(self.q or 1))
        return times - multiples[0] if self.multiple(times) == value else None

    def multiples(self) -> tuple[int, int] | None:
        """Return how many times `q` the least and the largest value are; None if there are no such two."""
        return self._multiples

    @cached_property
    def _multiples(self) -> tuple[int, int] | None:
        q = 1 if self.shape == "whole" else self.q
        if q is None or math.isinf(self.lower) or math.isinf(self.upper):
            return None
        return math.ceil(_exact(self.lower) / _exact(q)), math.floor(_exact(self.upper) / _exact(q))

    def multiple(self, times: int) -> int | float:
        """Return `times` times `q` as a person would write it: 3 times 0.1 is 0.3."""
        if self.q is None or isinstance(self.q, int):
            return times * int(self.q or 1)
        return float(_exact(self.q) * times)

    def _chosen(self, u: float) -> int:
        last = len(self.values) - 1
        if self.probabilities is None:
            return min(last, int(u * len(self.values)))
        below = list(accumulate(self.probabilities))
        chosen = bisect_right(below, u * below[-1])
        # A value of probability 0 is never chosen, not even by a rounding error at the end.
        likely = [index for index, chance in enumerate(self.probabilities) if chance > 0]
        return min(chosen, likely[-1])

    def _unrounded(self, u: float) -> float:
        if self.shape == "uniform":
            # Either product is finite, which the difference of the bounds need not be.
            return self.lower * (1 - u) + self.upper * u
        if self.shape == "log_uniform":
            return math.exp(math.log(self.lower) * (1 - u) + math.log(self.upper) * u)
        if self.shape == "beta":
            return _beta_quantile(u, *self.form)
        drawn = NormalDist(*self.form).inv_cdf(u)
        return drawn if self.shape == "normal" else math.exp(drawn)

    def _rounded(self, value: float) -> int | float:
        times = round(_exact(value) / _exact(self.q or 1))
        # W&B rounds beyond the ends where they are no multiples; nobody who writes `max: 0.9` wants 1.0.
        first, last = self.multiples() or (times, times)
        return self.multiple(min(last, max(first, times)))

    @cached_property
    def _unlike(self) -> dict[str, Any]:
        unlike: dict[str, Any] = {}
        for value in self.values:
            unlike.setdefault(text_of(value), value)
        return unlike

    @cached_property
    def _indices(self) -> dict[str, int]:
        return {text: index for index, text in enumerate(self._unlike)}


class Points(Sequence[Any]):
    """The values of a grid in order, each made when it is asked for: there may be 10**9 of them."""

    def __init__(self, of: Distribution) -> None:
        self._of = of

    def __len__(self) -> int:
        return self._of.count() or 0

    @overload
    def __getitem__(self, index: int) -> Any: ...  # noqa: ANN401 - a listed value may be anything
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self._of.point(at) for at in range(*index.indices(len(self)))]
        return self._of.point(range(len(self))[index])

    def __iter__(self) -> Iterator[Any]:
        return map(self._of.point, range(len(self)))


def text_of(value: object) -> str:
    """Return a text that two values share only if they are the same: 1, 1.0, true and "1" have four.

    What JSON cannot hold (a date, a number as a mapping's key) has the text of what is stored in its place.
    """
    if isinstance(value, Mapping):
        return f"{{{', '.join(sorted(f'{str(key)!r}: {text_of(inner)}' for key, inner in value.items()))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(text_of(inner) for inner in value)}]"
    return repr(value) if isinstance(value, int | float | None) else repr(str(value))


def _exact(number: float) -> Fraction:
    """Return the number that was written: 0.1 is a tenth, not the float next to it."""
    return Fraction(repr(number))


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the share of the beta distribution of shape `a`, `b` (both above 0) that lies below `x`."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    # The fraction converges fast on one side of the mean only; the distribution is its own mirror image.
    if x < (a + 1) / (a + b + 2):
        return math.exp(log_front) * _fraction(x, a, b) / a
    return 1 - math.exp(log_front) * _fraction(1 - x, b, a) / b


def _beta_quantile(u: float, a: float, b: float) -> float:
    """Return the value that a share `u`, in (0, 1), of the beta distribution lies below."""
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if high - low <= _ENOUGH * high or middle in (low, high):
            break
        low, high = (middle, high) if _beta_share(middle, a, b) < u else (low, middle)
    return (low + high) / 2


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / _apart_from_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            c, d = _apart_from_zero(1 + term / c), 1 / _apart_from_zero(1 + term * d)
            result *= c * d
        if abs(c * d - 1) < _ENOUGH:
            break
    return result


def _apart_from_zero(x: float) -> float:
    return x if abs(x) > _TINY else _TINY
