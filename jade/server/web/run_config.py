"""The config of a run as its page shows it: dotted names in groups, those of JADE's three files first."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jade.server.web import words

GROUPS = ("model", "data", "eval")
OTHERS = "run"
LONGEST = 80  # characters: what is longer is folded
MOST = 1000  # entries of a group: who looks for others searches for them
_DEEPEST = 20


@dataclass(frozen=True)
class Entry:
    """One value of a config: `summary` is what is shown of a long one, or ""."""

    name: str
    text: str
    summary: str
    is_swept: bool


@dataclass(frozen=True)
class Group:
    """The values of one of the three files, or all others; how many more there are than are shown."""

    name: str
    entries: list[Entry]
    unshown: int


def groups(config: Mapping[str, Any], swept: Mapping[str, Any], wanted: str = "") -> list[Group]:
    """Return a config in groups, without the empty ones.

    Args:
        config: as `runs.values_of` gives it.
        swept: the parameters of the trial.
        wanted: only entries that hold each of these words, in their name or value.
    """
    words_of_it = wanted.lower().split()
    found: dict[str, list[Entry]] = {name: [] for name in (*GROUPS, OTHERS)}
    for name, value in sorted(flat(config)):
        entry = _entry(name, value, name in swept)
        if all(word in f"{name} {entry.text}".lower() for word in words_of_it):
            first = name.partition(".")[0]
            found[first if first in GROUPS else OTHERS].append(entry)
    return [Group(name, all_[:MOST], max(0, len(all_) - MOST)) for name, all_ in found.items() if all_]


def flat(values: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Give the values of nested mappings under dotted names; an empty mapping is a value."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value and depth < _DEEPEST:
            yield from flat(value, f"{prefix}{key}.", depth + 1)
        else:
            yield prefix + key, value


def _entry(name: str, value: Any, is_swept: bool) -> Entry:  # noqa: ANN401 - any JSON value
    text = _text(value)
    if len(text) <= LONGEST:
        return Entry(name, text, "", is_swept)
    how_long = f"{len(value)} items" if isinstance(value, list) else f"{len(text)} characters"
    return Entry(name, text, f"{text[: LONGEST // 2]} … ({how_long})", is_swept)


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value as it was written: numbers of a config are not rounded."""
    if isinstance(value, str) or value is None:
        return words.value(value)
    return json.dumps(value, ensure_ascii=False)
