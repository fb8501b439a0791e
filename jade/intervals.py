"""How often something happens: `"2 epochs"`, `"500 iterations"`, `"10 minutes"`, `never`.

Every "every" of JADE (evaluations, checkpoints, backups, the loss log) is one `Interval`; a `Due` remembers
when it last came round. The time is an argument, so tests need no clock.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from jade.errors import ConfigError

_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}
_UNITS = ("iteration", "epoch", *_SECONDS)
_FORM = 'a number above 0, "500 iterations", "2 epochs", "10 minutes" or never'
_TEXT = re.compile(r"\s*([-+]?[\d.]+(?:e[-+]?\d+)?)\s*([a-z]*)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Interval:
    """So many iterations, epochs or seconds; `never` is an interval of infinitely many.

    Attributes:
        amount: above 0; whole for iterations and epochs.
        unit: "iteration", "epoch" or "second".
    """

    amount: float
    unit: str

    def __str__(self) -> str:
        if math.isinf(self.amount):
            return "never"
        amount = int(self.amount) if float(self.amount).is_integer() else self.amount
        return f"{amount} {self.unit}{'' if amount == 1 else 's'}"


NEVER = Interval(math.inf, "epoch")


def parse(value: object, unit: str, where: str) -> Interval:
    """Return the interval that a number or a text stands for.

    Args:
        value: a number, counted in `unit`, or a text such as `"500 iterations"`.
        unit: what a bare number counts: "epoch" or "iteration".
        where: the flag or the param, for errors.

    Raises:
        ConfigError: if `value` is no interval, or not above 0.
    """
    if isinstance(value, str) and value.strip().lower() == "never":
        return NEVER
    match = _TEXT.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if match is None or isinstance(value, bool):
        raise ConfigError(f"{value!r} says not how often.", where=where, hint=f"Write {_FORM}.")
    try:
        amount = float(match[1])
    except ValueError:
        raise ConfigError(f"{value!r} holds no number.", where=where, hint=f"Write {_FORM}.") from None
    written = (match[2].lower().removesuffix("s") or match[2]) if match[2] else unit
    if written not in _UNITS:
        wanted = "iterations" if written.startswith("it") else match[2]
        raise ConfigError(
            f"{match[2]!r} is no unit.", where=where, wanted=wanted, choices=[f"{name}s" for name in _UNITS]
        )
    if not 0 < amount < math.inf:
        raise ConfigError(f"{value!r} is not above 0.", where=where, hint=f"Write {_FORM}.")
    if written in _SECONDS:
        return Interval(amount * _SECONDS[written], "second")
    if not amount.is_integer():
        raise ConfigError(f"{value!r} is no whole number of {written}s.", where=where, hint=f"Write {_FORM}.")
    return Interval(amount, written)


class Due:
    """Says when an interval has come round.

    Args:
        interval: how often.
        at_start: whether it is also due before the first iteration.
    """

    def __init__(self, interval: Interval, *, at_start: bool = False) -> None:
        self.interval = interval
        self._unit, self._amount = interval.unit, interval.amount
        # At the start nothing has happened yet; without `at_start` that counts as just done.
        self.last: tuple[int, int, float] = (-1, -1, -math.inf) if at_start else (0, 0, 0.0)
        if at_start and interval == NEVER:
            self.last = (0, 0, 0.0)

    def now(self, iterations: int, epochs: int, seconds: float) -> bool:
        """Say whether it is due and was not `done` at this very point.

        Args:
            iterations: done so far.
            epochs: done so far.
            seconds: of training so far.
        """
        if self._unit == "iteration":
            return iterations % self._amount == 0 and iterations != self.last[0]
        if self._unit == "epoch":
            return epochs % self._amount == 0 and epochs != self.last[1]
        return seconds - self.last[2] >= self._amount

    def done(self, iterations: int, epochs: int, seconds: float) -> None:
        """Remember that it was done at this point."""
        self.last = (iterations, epochs, seconds)

    def next_iteration(self, iterations: int) -> float:
        """Return the next iteration at which it is due; infinity if iterations do not matter."""
        return (iterations // self._amount + 1) * self._amount if self._unit == "iteration" else math.inf

    def next_second(self) -> float:
        """Return the second of training at which it is due; infinity if time does not matter."""
        return self.last[2] + self._amount if self._unit == "second" else math.inf
