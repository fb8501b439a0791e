"""Short names of parameters, for where a table or a picture has little room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def shortened(keys: Sequence[str]) -> dict[str, str]:
    """Return for each dotted key its last parts, as many as tell it from the others: `beta`, `model.lr`."""
    parts = {key: key.split(".") for key in keys}
    short = {key: parts[key][-1] for key in keys}
    for length in range(2, max(map(len, parts.values()), default=1) + 1):
        counted = Counter(short.values())
        for key, name in short.items():
            if counted[name] > 1:
                short[key] = ".".join(parts[key][-length:])
    return short
