"""What a program printed, as a page shows it: lines without the marks that a terminal acts on.

Pure functions. A line is as the client streams it: text with a time before it, or JSON.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST = 4000  # characters of a line that are shown
_TIMED = re.compile(r"^(ERROR )?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?Z? ")
# A color or a style; what moves the cursor; a title of the window; a set of characters; another mark.
_ESCAPE = re.compile(
    r"\x1b\[([0-9;]*)m|\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[()*+][0-~]|\x1b[=>78DEHMc]?"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_STYLES: Mapping[int, str] = {1: "bold", 2: "faint", 3: "italic", 4: "underlined"}
_ENDS: Mapping[int, frozenset[str]] = {
    22: frozenset({"bold", "faint"}),
    23: frozenset({"italic"}),
    24: frozenset({"underlined"}),
}
_FOREGROUND, _BACKGROUND = 38, 48
_EXTENDED = (_FOREGROUND, _BACKGROUND)
_EXTENT: Mapping[int, int] = {2: 3, 5: 1}  # numbers of a color: red, green and blue, or its place in a table


@dataclass(frozen=True)
class Span:
    """A part of a line in one style: names of classes, and the text."""

    classes: str
    text: str


@dataclass(frozen=True)
class Line:
    """A line: its number from 1 on, when it was printed as text of UTC or "", and its parts."""

    number: int
    time: str
    spans: list[Span]


def line(number: int, streamed: str) -> Line:
    """Return a line as it is shown."""
    time, text = _parted(streamed)
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text)} characters)"
    return Line(number, time, _spans(shown))


def plain(streamed: str) -> str:
    """Return the text of a line, without any style."""
    return _CONTROL.sub("", _ESCAPE.sub("", _last_written(_parted(streamed)[1])))


def _parted(streamed: str) -> tuple[str, str]:
    """Return when a line was printed, and its text."""
    known = None
    if streamed.startswith("{"):
        try:
            known = json.loads(streamed)
        except (ValueError, RecursionError):
            known = None
    if isinstance(known, dict) and isinstance(known.get("content"), str):
        time, text = str(known.get("ts") or ""), known["content"]
        return (time[11:19] if len(time) >= len("2026-01-01T00:00:00") else ""), text
    found = _TIMED.match(streamed)
    return (found[2][11:], streamed[found.end() :]) if found else ("", streamed)


def _last_written(text: str) -> str:
    """Return a line without what was written over: what comes after a return without a new line does that."""
    return text.rstrip("\r\n").rpartition("\r")[2]


def _spans(text: str) -> list[Span]:
    text = _last_written(text)
    spans, styles, begin = [], _Styles(), 0
    for escape in _ESCAPE.finditer(text):
        spans.append(Span(styles.classes, _CONTROL.sub("", text[begin : escape.start()])))
        begin = escape.end()
        if escape[1] is not None:
            styles.apply(escape[1])
    spans.append(Span(styles.classes, _CONTROL.sub("", text[begin:])))
    return [span for span in spans if span.text]


class _Styles:
    """The styles that are on at a place of a line."""

    def __init__(self) -> None:
        self._on: set[str] = set()
        self._color = ""

    @property
    def classes(self) -> str:
        return " ".join(sorted({f"ansi-{name}" for name in {*self._on, self._color} if name}))

    def apply(self, codes: str) -> None:
        numbers = iter([int(one or 0) for one in codes[:100].split(";")])
        for code in numbers:
            if code == 0:
                self._on, self._color = set(), ""
            elif code in _EXTENDED:  # what follows chooses a color of many, and is no style
                kind = next(numbers, 0)
                self._color = "" if code == _FOREGROUND else self._color
                list(itertools.islice(numbers, _EXTENT.get(kind, 0)))
            elif code in _STYLES:
                self._on.add(_STYLES[code])
            elif code in _ENDS:
                self._on -= _ENDS[code]
            elif code in range(30, 38) or code in range(90, 98):
                self._color = _COLORS[code % 10]
            elif code == 39:
                self._color = ""
