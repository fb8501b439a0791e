"""A training that came to no number: its run ends as failed, for nothing that follows is worth the time.

The loop asks where the means of the losses are read anyway, so that no step waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from jade.errors import DivergedError


def is_finite(values: Iterable[float]) -> bool:
    """Say whether all values are numbers, and none infinite."""
    return all(math.isfinite(value) for value in values)


def refuse(losses: Mapping[str, float], iterations: int, epochs: int) -> None:
    """Raise if the mean of a loss item is not finite.

    Args:
        losses: the mean of each loss item.
        iterations: made so far.
        epochs: passes made so far.

    Raises:
        DivergedError: that names each of these items.
    """
    wrong = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if not wrong:
        return
    shown = ", ".join(f"{name!r} is {value}" for name, value in wrong.items())
    raise DivergedError(
        f"The training came to no number: the mean of {shown}.",
        where=f"iteration {iterations}, epoch {epochs}",
        hint="Is the learning rate too high, or a logarithm taken of 0? --allow-nan trains on regardless.",
    )
