"""Values, times and names as people read them in tables and pictures.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from jade import scalars

LONGEST = 20


def number_text(value: object) -> str:
    """Return a value as a table shows it: numbers with four digits that count."""
    if value is None:
        return ""
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4g}"
    if isinstance(value, float) and abs(value) < 10**15:
        return str(int(value))
    return str(value)


def duration(seconds: float | None) -> str:
    """Return a time as `48 s`, `3:05 min` or `2:10 h`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    if whole < 6000:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


def ago(seconds: float) -> str:
    """Return how long ago something was: `42 s ago`, `5 h ago`, `12 days ago`."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 36)):
        if seconds < size * most:
            return f"{max(0, round(seconds / size))} {unit} ago"
    return f"{round(seconds / 86400)} days ago"


def moment(time: float) -> str:
    """Return a time, in seconds since 1970, as ISO 8601 writes it, in UTC: `2026-05-01T12:30:00Z`."""
    try:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # beyond every calendar: a damaged file may say so
        return str(time)


def size(count: float) -> str:
    """Return a number of bytes as `512 B`, `1.2 MB`; a MB has a million."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def plain(text: str) -> str:
    """Return a text without what a terminal would obey: names may be somebody else's."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def text_of(value: object) -> str:
    """Return a value as the picture and the table write it."""
    if isinstance(value, bool) or value is None:
        return scalars.dump(value, flow=True)
    if isinstance(value, int | float):
        return number_text(value)
    return value if isinstance(value, str) else scalars.dump(value, flow=True)


def shortened_in_the_middle(text: str, longest: int = LONGEST) -> str:
    """Return a text with its middle left out if it is too long: the ends tell names apart."""
    if len(text) <= longest:
        return text
    ahead = (longest - 1) // 2
    return f"{text[:ahead]}…{text[len(text) - (longest - 1 - ahead) :]}"


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
