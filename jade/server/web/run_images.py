"""The images that a run has logged, by key and step."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from jade.server.runs import HISTORY, number_or_none

MOST_STEPS = 500  # of one key: more are left out evenly
MOST_AT_ONCE = 64  # images of one key at one step
_DEEPEST = 5


@dataclass(frozen=True)
class Image:
    """A file of a run that shows something: its name, and its caption or ""."""

    name: str
    caption: str


@dataclass(frozen=True)
class Step:
    """What was logged under one key at once; `at` counts iterations, or else steps."""

    at: float
    images: list[Image]


@dataclass
class Shown:
    """All images of one key, in the order in which they were logged."""

    key: str
    steps: list[Step] = field(default_factory=list)

    def last_until(self, at: float | None) -> int:
        """Return which step is the last one not after `at`; the first one if all are after it."""
        if at is None:
            return len(self.steps) - 1
        return max((i for i, step in enumerate(self.steps) if step.at <= at), default=0)


def of_run(db: sqlite3.Connection, run: int) -> list[Shown]:
    """Return the images of a run, by key; they are read from its rows.

    A row may arrive before the files that it names: these are left out until they are there.
    """
    there = {name for (name,) in db.execute("SELECT name FROM files WHERE run = ?", (run,))}
    found: dict[str, Shown] = {}
    rows = db.execute(
        "SELECT text FROM lines WHERE run = ? AND file = ?"
        " AND (instr(text, '\"image-file\"') OR instr(text, '\"images/separated\"')) ORDER BY number",
        (run, HISTORY),
    )
    for (text,) in rows:
        row = json.loads(text)
        at = next(
            (x for x in (number_or_none(row.get(key)) for key in ("iterations", "_step")) if x is not None),
            0.0,
        )
        for key, value in _media(row, "", 0):
            images = [image for image in _images(value) if image.name in there]
            if images:
                found.setdefault(key, Shown(key)).steps.append(Step(at, images))
    for shown in found.values():
        shown.steps = _thinned(shown.steps)
    return [found[key] for key in sorted(found)]


def _media(values: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give the media in a row, nested ones under dotted names."""
    for key, value in values.items():
        if not isinstance(value, Mapping):
            continue
        if "_type" in value:
            yield prefix + key, value
        elif depth < _DEEPEST:
            yield from _media(value, f"{prefix}{key}.", depth + 1)


def _images(value: Mapping[str, Any]) -> list[Image]:
    """Return the images of a value as wandb writes one or several; what is neither, or broken, has none."""
    names: list[object] = []
    captions: list[object] = []
    if value["_type"] == "image-file":
        names, captions = [value.get("path")], [value.get("caption")]
    elif value["_type"] == "images/separated":
        names, captions = _listed(value.get("filenames")), _listed(value.get("captions"))
    pairs = itertools.zip_longest(names[:MOST_AT_ONCE], captions[: len(names)])
    return [
        Image(name, caption if isinstance(caption, str) else "")
        for name, caption in pairs
        if isinstance(name, str)
    ]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _thinned(steps: list[Step]) -> list[Step]:
    stride = -(-len(steps) // MOST_STEPS)
    return steps[::-1][::stride][::-1] if stride > 1 else steps  # the last one stays
