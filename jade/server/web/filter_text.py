"""The text of a filter: words, and comparisons such as `lr<0.01 state=failed`; all of them must hold.

A word is looked for in every cell. A name is that of a column, or the end of one behind a dot. Text with
spaces stands in double quotes, and a minus sign in front turns a part around.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jade.errors import ConfigError, JadeError, raise_all
from jade.server.web import words

LONGEST = 1000
MOST_FAULTS = 5  # that are shown
_MOST_NAMES = 300  # among which the nearest one is looked for: that takes time
_LONGEST_NAME = 60
_MOST_ENDING = 10
_BETWEEN = "\0"  # cells
_TEXT = r'"[^"]*"|[^\s"<>=!]+'
_PART = re.compile(rf"(?P<no>-?)(?P<first>{_TEXT})(?:\s*(?P<sign><=|>=|!=|==|=|<|>)\s*(?P<second>{_TEXT})?)?")
_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Cells = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """One part of a filter.

    Attributes:
        name: of a column; None for a word.
        sign: how it compares.
        text: what is looked for.
        is_turned: whether it must not hold.
    """

    name: str | None
    sign: str
    text: str
    is_turned: bool

    def holds(self, cells: Cells, text: str) -> bool:
        """Say whether it holds for a row, given all that its cells say in small letters."""
        return self._holds(cells, text) is not self.is_turned

    def _holds(self, cells: Cells, text: str) -> bool:
        if self.name is None:
            return self.text.lower() in text
        cell = cells.get(self.name)
        if self.sign in _SIGNS:
            number = words.as_float(cell)
            return number is not None and _SIGNS[self.sign](number, float(self.text))
        return _same(cell, self.text) is (self.sign != "!=")


def finds(conditions: Sequence[Condition], cells: Cells) -> bool:
    """Say whether all conditions hold for a row."""
    has_words = any(condition.name is None for condition in conditions)
    text = _BETWEEN.join(words.value(cell) for cell in cells.values()).lower() if has_words else ""
    return all(condition.holds(cells, text) for condition in conditions)


def parse(text: str, names: Collection[str]) -> list[Condition]:
    """Return the parts of a filter.

    Args:
        text: as somebody wrote it.
        names: of the columns.

    Raises:
        ConfigError: for every part that cannot be, at most `MOST_FAULTS` of them at once.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"A filter has up to {LONGEST} characters.", where="filter")
    if text.count('"') % 2:
        text += '"'  # it is still being written
    found: list[Condition] = []
    faults: list[JadeError] = []
    end = 0
    for part in _PART.finditer(text):
        if len(faults) >= MOST_FAULTS:
            break
        _refuse_between(text[end : part.start()], faults)
        end = part.end()
        try:
            found.append(_condition(part, names))
        except ConfigError as fault:
            faults.append(fault)
    if len(faults) < MOST_FAULTS:
        _refuse_between(text[end:], faults)
    raise_all(faults)
    return found


def _refuse_between(rest: str, faults: list[JadeError]) -> None:
    if rest.strip():
        faults.append(
            ConfigError(
                f"{rest.strip()!r} stands alone.",
                where="filter",
                hint='A comparison is a name, a sign and a value: lr<0.01, state=failed, name="my run".',
            )
        )


def _condition(part: re.Match[str], names: Collection[str]) -> Condition:
    first, second = (_unquoted(part[group] or "") for group in ("first", "second"))
    is_turned = bool(part["no"])
    if part["sign"] is None:
        return Condition(None, "", first, is_turned)
    name, sign = _named(first, names), part["sign"].replace("==", "=")
    if part["second"] is None:
        raise ConfigError(f"Nothing stands behind {first}{part['sign']}.", where="filter")
    if sign in _SIGNS and not _is_number(second):
        raise ConfigError(
            f"{first}{sign}{second} compares with {second!r}, which is no number.",
            where="filter",
            hint="Texts are compared by = and != only.",
        )
    return Condition(name, sign, second, is_turned)


def _named(name: str, names: Collection[str]) -> str:
    """Return the column that a name means: its own, or the only one that ends in it behind a dot."""
    if name in names:
        return name
    ending = [known for known in names if known.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    problem = f"{name} could be {' or '.join(sorted(ending)[:_MOST_ENDING])}."
    if not ending:
        problem = f"There is no column {name}."
    near = islice((known for known in names if len(known) <= _LONGEST_NAME), _MOST_NAMES)
    raise ConfigError(problem, where="filter", wanted=name[:_LONGEST_NAME], choices=near)


def _unquoted(text: str) -> str:
    return text.strip('"')


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _same(cell: object, text: str) -> bool:
    number = words.as_float(cell)
    if number is not None and _is_number(text):
        return number == float(text) or words.number(number) == text
    return words.value(cell).lower() == text.lower()
