"""The arguments of a command line, parted into flags, overrides and JSON.

What a flag means is `options`' affair; here only its name counts, and whether it takes a value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jade import agent, params
from jade.errors import ConfigError, JadeError, nearest

JSON = "JSON on the command line"


@dataclass
class Line:
    """A command line in parts.

    Attributes:
        flags: each in its one spelling, with its value joined by "=".
        overrides: dotted key to typed value.
        params: each JSON that was given, after its place.
        faults: what is none of these, or cannot be read.
    """

    flags: list[str] = field(default_factory=list)
    overrides: dict[str, Any] = field(default_factory=dict)
    params: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    faults: list[JadeError] = field(default_factory=list)

    def take_override(self, token: str) -> None:
        """Add one `key=value`."""
        try:
            key, value = params.parse_override(token)
        except JadeError as fault:
            self.faults.append(fault)
            return
        self.overrides[key] = value

    def take_json(self, text: str) -> None:
        """Add what a JSON text, or the file of that name, says."""
        where = JSON if is_json(text) else text
        try:
            found = agent.of_json(text, where) if is_json(text) else agent.read_json(Path(text))
        except JadeError as fault:
            self.faults.append(fault)
            return
        self.params.append((where, found))


def split(arguments: Sequence[str], flags: Mapping[str, bool]) -> Line:
    """Part a command line; what is neither flag nor override nor JSON becomes a fault.

    Args:
        arguments: the command line.
        flags: the flags that there are, and whether each takes a value.
    """
    spelled = {_folded(flag): flag for flag in flags}
    line = Line()
    waiting = list(arguments)
    while waiting:
        token = waiting.pop(0)
        name, equals, value = token.partition("=")
        flag = spelled.get(_folded(name)) if name.startswith("--") else None
        if token == "-h":
            line.flags.append(token)
        elif flag:
            # Joined by "=", so that a value that starts with a dash is not taken for a flag.
            joined = _with_value(token, waiting, spelled) if flags[flag] else token
            line.flags.append(f"{flag}{joined[len(name) :]}")
        elif is_json(token) or (token.endswith(".json") and _is_bare_word(token)):
            line.take_json(token)
        elif _is_override(name, equals):
            line.take_override(_with_value(token, waiting, spelled))
        else:
            line.faults.append(_not_a_flag(token, spelled))
            if name.startswith("--") and not equals and waiting and _is_bare_word(waiting[0]):
                waiting.pop(0)  # the value of the flag that there is not
    return line


def is_json(token: str) -> bool:
    """Say whether an argument is the text of a JSON mapping."""
    return token.lstrip().startswith("{")


def _with_value(token: str, waiting: list[str], spelled: Mapping[str, str]) -> str:
    """Return `token=value`, for which the next argument is taken where the value is still to come."""
    if "=" in token or not waiting or _is_flag(waiting[0], spelled):
        return token
    return f"{token}={waiting.pop(0)}"


def _is_flag(token: str, spelled: Mapping[str, str]) -> bool:
    name = token.partition("=")[0]
    return token.startswith("--") and (_folded(name) in spelled or _is_override(name, ""))


def _is_bare_word(token: str) -> bool:
    return not token.startswith("-") and "=" not in token


def _folded(name: str) -> str:
    return name.replace("_", "-")


def _is_override(name: str, equals: str) -> bool:
    return (bool(equals) and not name.startswith("-")) or (name.startswith("--") and "." in name)


def _not_a_flag(token: str, spelled: Mapping[str, str]) -> ConfigError:
    name = token.partition("=")[0]
    if not name.startswith("-"):
        return ConfigError(
            f"{token!r} is neither a flag nor an override.",
            where="command line",
            hint="An override is written key=value.",
        )
    wanted = _folded(name)
    begun = [flag for flag in spelled if flag.startswith(wanted)]
    near = begun[0] if begun else nearest(wanted, spelled)
    return ConfigError(
        f"There is no flag {name}.",
        where="command line",
        hint=(f"did you mean: {spelled[near]}\n" if near else "")
        + "--help lists the flags; dotted keys set params.",
    )
