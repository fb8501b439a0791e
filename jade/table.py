"""A sheet as a table for people: numbers aligned, with the digits that matter, as wide as there is room.

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jade.sheet import MOMENT, NUMBER, PARAM, SECONDS, Column, Sheet
from jade.texts import ago, duration, plain, shortened_in_the_middle, text_of

DIGITS = 4
HIDDEN = 9  # columns that yield that early are in no table
LONGEST = 28
_GAP = "  "


def text(sheet: Sheet, width: int | None, now: float = 0.0) -> str:
    """Return a sheet as a table.

    Args:
        sheet: its marked row begins with a star.
        width: of the terminal; None if there is no limit.
        now: seconds since 1970, from which moments are counted.
    """
    columns = [one for one in sheet.columns if one.yields < HIDDEN]
    by_key = {one.key: one for one in columns}
    written = {one.key: _column(one, by_key.get(one.like, one), now) for one in columns}
    left_out: list[str] = []
    while width is not None and _wide(written) > width:
        gone = _first_to_go(columns, written)
        if gone is None:
            break
        left_out.insert(0, gone.heading)
        del written[gone.key]
    lines = [
        ("* " if row == sheet.best else "  ") + _GAP.join(cells[row + 1] for cells in written.values())
        for row in range(-1, sheet.size)
    ]
    table = "".join(f"{line.rstrip()}\n" for line in lines)
    if left_out:
        table += f"no room for {', '.join(left_out)}; --format csv has all\n"
    return table


def _wide(written: dict[str, list[str]]) -> int:
    return 2 + sum(len(cells[0]) + len(_GAP) for cells in written.values()) - len(_GAP)


def _first_to_go(columns: Sequence[Column], written: dict[str, list[str]]) -> Column | None:
    """Return the column that is least needed; of several the last."""
    there = [one for one in columns if one.key in written and one.yields]
    return max(reversed(there), key=lambda one: one.yields, default=None)


def _column(column: Column, like: Column, now: float) -> list[str]:
    written = [plain(cell) for cell in (column.heading, *cells(column, like, now))]
    if not column.is_whole:
        written = [shortened_in_the_middle(cell, LONGEST) for cell in written]
    width = max(map(len, written))
    is_text = column.kind not in (NUMBER, SECONDS, MOMENT) and not _are_numbers(column.values)
    return [cell.ljust(width) if is_text else cell.rjust(width) for cell in written]


def cells(column: Column, like: Column, now: float) -> list[str]:
    """Return the values of a column as texts, which are not aligned yet.

    Args:
        column: whose values are written.
        like: the column as which its numbers are rounded.
        now: seconds since 1970, from which moments are counted.
    """
    if column.kind == MOMENT:
        return ["" if value is None else ago(now - value) for value in column.values]
    if column.kind == SECONDS:
        return [duration(value) for value in column.values]
    if column.kind in (NUMBER, PARAM) and _are_numbers(column.values):
        return numbers(column.values, like.values)
    return ["" if value is None and column.kind != PARAM else text_of(value) for value in column.values]


def _are_numbers(values: Sequence[object]) -> bool:
    return all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values
    )


def numbers(values: Sequence[float | None], like: Sequence[float | None] = ()) -> list[str]:
    """Return numbers so that they are read against each other: as many decimals, if their sizes allow it.

    Args:
        values: a column.
        like: another one, which says the decimals.
    """
    decimals = _decimals(like or values)
    form = f".{DIGITS}g" if decimals is None else f".{decimals}f"
    written = ["" if value is None else f"{value:{form}}" for value in values]
    are_own = like is values or not like
    return _without_zeros(written) if decimals is not None and are_own else written


def _decimals(values: Sequence[float | None]) -> int | None:
    """Return how many decimals the numbers of a column need; None if their sizes differ too much."""
    known = [abs(value) for value in values if value is not None and math.isfinite(value) and value != 0]
    if all(float(value).is_integer() and value < 10**9 for value in known):
        return 0
    low, high = min(known), max(known)
    if low < 1e-3 or high >= 1e5 or high >= low * 10**DIGITS:
        return None
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(low)))
    return min(decimals, max(1, DIGITS + 1 - math.floor(math.log10(high))))


def _without_zeros(written: list[str]) -> list[str]:
    """Return decimals without the zeros that all of them end with."""
    ends = [len(text) - len(text.rstrip("0")) for text in written if "." in text]
    return [text[: len(text) - min(ends)].rstrip(".") if "." in text else text for text in written]
