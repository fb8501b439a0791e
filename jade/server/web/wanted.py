"""What the reader of a page asks for, as its address says it: order, filter, ranges, page, metric.

The address is all that a page remembers, so that it can be sent to somebody, and works without a script.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from jade.errors import ConfigError
from jade.server.web import words

LEAST, MOST, ONLY = "least.", "most.", "only."
_LAST_PAGE = 10**9


@dataclass(frozen=True)
class Range:
    """The values between two ends, either of which may be missing."""

    least: float = -math.inf
    most: float = math.inf

    def holds(self, value: object) -> bool:
        """Say whether a value is a number within it."""
        number = words.as_float(value)
        return number is not None and self.least <= number <= self.most


@dataclass(frozen=True)
class Wanted:
    """What an address asks for.

    Attributes:
        given: the address's own pairs of name and value.
        ranges: of the columns that are numbers.
        choices: texts of the values that are wanted of other columns.
        faults: what is asked for and cannot be.
    """

    given: tuple[tuple[str, str], ...] = ()
    ranges: Mapping[str, Range] = field(default_factory=dict)
    choices: Mapping[str, frozenset[str]] = field(default_factory=dict)
    faults: tuple[ConfigError, ...] = ()

    @classmethod
    def of(cls, query: QueryParams) -> Self:
        """Return what the part of an address behind the question mark asks for."""
        given = tuple((name, value) for name, value in query.multi_items() if value)
        ends: dict[str, dict[str, float]] = {}
        choices: dict[str, set[str]] = {}
        faults = []
        for name, value in given:
            if name.startswith(ONLY):
                choices.setdefault(name.removeprefix(ONLY), set()).add(value)
            elif name.startswith((LEAST, MOST)):
                end, _, column = name.partition(".")
                try:
                    ends.setdefault(column, {})[end] = float(value)
                except ValueError:
                    faults.append(
                        ConfigError(f"{value!r} is no number that {column} could have.", where="filter")
                    )
        return cls(
            given,
            {column: Range(**bounds) for column, bounds in ends.items()},
            {column: frozenset(values) for column, values in choices.items()},
            tuple(faults),
        )

    def one(self, name: str) -> str:
        """Return the value that is given for a name; an empty text if there is none."""
        return next((value for known, value in self.given if known == name), "")

    @property
    def page(self) -> int:
        """Which page of a table is wanted, from 1."""
        text = self.one("page")
        return min(max(1, int(text)), _LAST_PAGE) if text.isascii() and text.isdigit() else 1

    def address(self, **changes: object) -> str:
        """Return the same address with other values; it begins at the first page unless one is given."""
        kept = [(name, value) for name, value in self.given if name not in changes and name != "page"]
        changed = [(name, str(value)) for name, value in changes.items() if value not in (None, "")]
        return f"?{urlencode([*kept, *changed])}"
