"""Numbers, times and values as a page shows them. Pure functions, which the templates call."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

NONE = "–"
_DIGITS = 4
_MOST_WHOLE = 10**9
_MOST_DECIMALS = 6
_LIKE = 100  # numbers of like size: the greatest is at most so many times the least


def as_float(given: object) -> float | None:
    """Return a number as a float, infinity for one that is too large; None for what is no number."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    try:
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf


def number(given: object) -> str:
    """Return a number with four digits that count; whole ones up to a billion as they are."""
    known = as_float(given)
    if known is None:
        return value(given)
    if math.isnan(known):
        return "NaN"
    if math.isinf(known):
        return "∞" if known > 0 else "−∞"
    if known == int(known) and abs(known) < _MOST_WHOLE:
        return str(int(known))
    return f"{known:.{_DIGITS}g}"


def alike(given: Iterable[object]) -> dict[float, str]:
    """Return numbers as texts of one form: as many decimals for all, where they are of like size.

    Whole numbers stay as they are; what is no number is left out.
    """
    known = {found for one in given if (found := as_float(one)) is not None}
    sizes = [abs(one) for one in known if math.isfinite(one) and one != 0]
    if not sizes or all(one == int(one) for one in sizes) or max(sizes) > min(sizes) * _LIKE:
        return {one: number(one) for one in known}
    size = math.floor(math.log10(max(sizes)))
    decimals = _DIGITS if size == 0 else _DIGITS - 1 - size  # of losses above and below 1, those below matter
    if not 0 <= decimals <= _MOST_DECIMALS:
        return {one: number(one) for one in known}
    return {one: f"{one:.{decimals}f}" if math.isfinite(one) else number(one) for one in known}


def shortened(names: Sequence[str]) -> dict[str, str]:
    """Return each dotted name without what comes before its last dots, as far as no two are the same."""
    return {name: _shortest(name, names) for name in names}


def _shortest(name: str, names: Sequence[str]) -> str:
    parts = name.split(".")
    for count in range(1, len(parts)):
        end = ".".join(parts[-count:])
        if not any(other != name and f".{other}".endswith(f".{end}") for other in names):
            return end
    return name


def value(given: object) -> str:
    """Return any JSON value as text: a dash for nothing, true and false as YAML has them."""
    if given is None:
        return NONE
    if isinstance(given, str):
        return given
    if isinstance(given, int | float) and not isinstance(given, bool):
        return number(given)
    return json.dumps(given, ensure_ascii=False)


def span(seconds: float | None) -> str:
    """Return how long something took: "12 s", "3 m 05 s", "2 h 07 m", "3 d 04 h"."""
    if seconds is None or not 0 <= seconds < math.inf:
        return NONE
    whole = round(seconds)
    for size, unit, smaller, rest in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // smaller:02d} {rest}"
    return f"{whole} s"


def size(given: int) -> str:
    """Return a number of bytes: "512 B", "1.2 MB"."""
    known = float(given)
    for unit in ("B", "kB", "MB", "GB"):
        if known < 1000:
            return f"{known:.0f} {unit}" if unit == "B" or known >= 100 else f"{known:.1f} {unit}"
        known /= 1000
    return f"{known:.1f} TB"


def time_text(seconds: float | None) -> str:
    """Return a moment in UTC, for a reader; the page's script makes it local time."""
    return NONE if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def iso(seconds: float) -> str:
    """Return a moment as a browser reads it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
