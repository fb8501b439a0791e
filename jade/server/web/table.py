"""A table of a page: its rows filtered, in order, and cut into pages. Pure functions of rows in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jade.errors import ConfigError
from jade.server.web import filter_text, words
from jade.server.web.wanted import Wanted

PAGE = 100
_LONGEST = 200  # characters of a cell


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        key: its name in addresses and filters, and of the cells.
        title: what stands above it.
        kind: "link", "text", "number", "state", "span" (of seconds) or "moment".
    """

    key: str
    title: str
    kind: str = "text"

    @property
    def is_number(self) -> bool:
        """Whether its cells stand to the right."""
        return self.kind in ("number", "span")


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        key: what it is known by: the name of its run.
        cells: its values by column; None where there is none.
        address: where its link leads; None if there is nothing yet.
        mark: a word that distinguishes it.
        links: where cells of other columns lead.
    """

    key: str
    cells: Mapping[str, Any]
    address: str | None = None
    mark: str = ""
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What a page shows of rows.

    Attributes:
        columns: from left to right.
        rows: all of them.
        wanted: what the reader asks for.
        order: key of the column that they are in the order of unless asked otherwise, and "asc" or "desc".
        searched: what a filter may name beside the columns.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    wanted: Wanted
    order: tuple[str, str]
    searched: Sequence[str] = field(default=())

    @cached_property
    def _filtered(self) -> tuple[list[Row], str]:
        """The rows that the filter finds, or all of them and what is wrong with it."""
        names = [*(column.key for column in self.columns), *self.searched]
        faults = [str(fault) for fault in self.wanted.faults]
        conditions: list[filter_text.Condition] = []
        try:
            conditions = filter_text.parse(self.wanted.one("q"), names)
        except ConfigError as fault:
            faults.append(str(fault))
        found = [
            row
            for row in self.rows
            if _is_within(row, self.wanted) and filter_text.finds(conditions, row.cells)
        ]
        return found, "\n\n".join(faults)

    @property
    def found(self) -> list[Row]:
        """The rows that the filter finds."""
        return self._filtered[0]

    @property
    def fault(self) -> str:
        """What is wrong with the filter."""
        return self._filtered[1]

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The column that rows are in the order of, and whether it is the descending one."""
        key = self.wanted.one("sort")
        if key not in {column.key for column in self.columns}:
            return self.order[0], self.order[1] == "desc"
        return key, self.wanted.one("order") == "desc"

    @cached_property
    def in_order(self) -> list[Row]:
        """The rows that the filter finds, in order."""
        return ordered(self.found, *self.sorted_by)

    @property
    def page_count(self) -> int:
        """How many pages there are."""
        return max(1, math.ceil(len(self.found) / PAGE))

    @property
    def page(self) -> int:
        """Which page is shown, from 1."""
        return min(self.wanted.page, self.page_count)

    @property
    def shown(self) -> list[Row]:
        """The rows of the page."""
        return self.in_order[(self.page - 1) * PAGE : self.page * PAGE]

    def aria_sort(self, column: Column) -> str:
        """Return which way the rows are in the order of a column, as ARIA says it."""
        key, is_down = self.sorted_by
        if column.key != key:
            return "none"
        return "descending" if is_down else "ascending"

    def sort_address(self, column: Column) -> str:
        """Return where the same rows are in the order of a column, or in the opposite one."""
        return self.wanted.address(
            sort=column.key, order="desc" if self.aria_sort(column) == "ascending" else "asc"
        )

    def address(self, page: int) -> str:
        """Return where a page is."""
        return self.wanted.address(page=page)

    @cached_property
    def texts(self) -> Mapping[str, Mapping[float, str]]:
        """The numbers of each column as text, of one form in a column."""
        return {
            column.key: words.alike(row.cells.get(column.key) for row in self.rows)
            for column in self.columns
            if column.kind == "number"
        }

    def text(self, row: Row, column: Column) -> str:
        """Return what stands in a cell."""
        cell = row.cells.get(column.key)
        number = words.as_float(cell)
        known = self.texts.get(column.key, {})
        if number is not None and number in known:
            return known[number]
        text = words.value(cell)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def ordered(rows: Sequence[Row], key: str, is_down: bool) -> list[Row]:
    """Return rows in the order of a column, numbers before texts; those without a value come last."""
    known = [(rank, row) for row in rows if (rank := _rank(row.cells.get(key))) is not None]
    known.sort(key=lambda pair: pair[0], reverse=is_down)
    unknown = [row for row in rows if _rank(row.cells.get(key)) is None]
    return [row for _, row in known] + unknown


def _rank(value: object) -> tuple[int, Any] | None:
    number = words.as_float(value)
    if number is not None:
        return None if math.isnan(number) else (0, number)
    return None if value is None else (1, words.value(value).lower())


def _is_within(row: Row, wanted: Wanted) -> bool:
    return all(within.holds(row.cells.get(key)) for key, within in wanted.ranges.items()) and all(
        words.value(row.cells.get(key)) in texts for key, texts in wanted.choices.items()
    )
