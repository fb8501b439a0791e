"""The arguments of GraphQL's fields: of the types that the schema gives them, whatever a client calls them.

`graphql` takes the types of an operation's variables away, so that a client of another version is served.
What arrives in them is looked at here, before any field is answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from graphql import Undefined

from jade.server.runs import RefusedError

INPUT = "input"  # of a mutation: an object, of whatever fields
# Of those that are understood, the ones that are texts; a sweep's config is YAML.
_TEXTS = frozenset(
    (
        "entityName", "projectName", "modelName", "runName", "name", "displayName", "description", "notes",
        "groupName", "jobType", "commit", "jobProgram", "jobRepo", "host", "sweep", "state", "config",
        "title", "text", "id", "digest", "clientID", "artifactID", "controller", "scheduler",
    )
)  # fmt: skip
_OBJECTS = frozenset(("runState", "priorRunsFilters", "summaryMetrics"))


def taken(name: str, given: Any, kind: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return an argument without the fields whose variables were not sent.

    Args:
        name: of the argument.
        given: its value.
        kind: its type, as the schema writes it.

    Raises:
        RefusedError: if it is of another type.
    """
    value = _defined(given)
    if name == INPUT:
        _check_input(value)
    if value is not None and kind in _FITS and not _FITS[kind](value):
        raise RefusedError(f"{name} is a value of {kind}, not {_shown(value)}.")
    return value


def _check_input(value: Any) -> None:  # noqa: ANN401 - any JSON value
    if not isinstance(value, Mapping):
        raise RefusedError(f"The input of a mutation is an object, not {_shown(value)}.")
    for field, given in value.items():
        if given is None:
            continue
        if field in _TEXTS and not isinstance(given, str):
            raise RefusedError(f"{field} is a text, not {_shown(given)}.")
        if field in _OBJECTS and not isinstance(_parsed(given), dict):
            raise RefusedError(f"{field} is the text of a JSON object, not {_shown(given)}.")


def _parsed(text: Any) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return json.loads(text or "{}")
    except (TypeError, ValueError, RecursionError):
        return None


def _defined(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items() if item is not Undefined}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if value is Undefined else value


def _shown(value: object) -> str:
    return f"{str(value)[:100]!r}"


def _is_json(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        json.loads(value or "null")  # an empty filter is none
    except (ValueError, RecursionError):
        return False
    return True


def _one_or_more(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """One value stands for a list of one, in GraphQL."""
    return lambda value: all(map(fits, value)) if isinstance(value, list) else fits(value)


_FITS: dict[str, Callable[[Any], bool]] = {
    "Int": lambda value: type(value) is int and abs(value) < 2**31,
    "Boolean": lambda value: isinstance(value, bool),
    "String": lambda value: isinstance(value, str),
    "ID": lambda value: isinstance(value, str),
    "JSONString": _is_json,
}
_FITS |= {f"[{kind}]": _one_or_more(fits) for kind, fits in _FITS.items()}
