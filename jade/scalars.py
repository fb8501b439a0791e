"""YAML text to typed values, with the surprises of YAML 1.1 taken out.

The one set of typing rules that configuration files, overrides and sweeps share. It knows nothing of
files or of JADE's sections; `config` and `params` call it.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

_INT = re.compile(r"[-+]?[0-9][0-9_]{0,400}|0x[0-9a-fA-F][0-9a-fA-F_]*|0o[0-7][0-7_]*|0b[01][01_]*")
_FLOAT = re.compile(
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
)
_SPECIAL_FLOATS = {
    sign + dot + word
    for dot, words in ((".", ("inf", "Inf", "INF")),)
    for word in words
    for sign in ("", "+", "-")
} | {".nan", ".NaN", ".NAN"}
_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"}
_FALSE = {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"}


MOST_VALUES = 1_000_000
UNTAGGED = "untagged"
TEXT = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
_CONTAINERS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Loader(yaml.SafeLoader):
    """A YAML reader that leaves the types of scalars to `typed`; only the merge key `<<` is told apart."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:  # noqa: ANN401 - as in PyYAML
        """Return the tag of a node that has none."""
        if kind is not yaml.ScalarNode:
            return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
        return MERGE if implicit[0] and value == "<<" else UNTAGGED


def known_tag(node: yaml.Node) -> bool:
    """Say whether a node has no tag of its own, or one that changes nothing but text."""
    return node.tag in (UNTAGGED, TEXT, MERGE, *_CONTAINERS)


def typed(text: str) -> Any:  # noqa: ANN401 - a YAML scalar may be anything
    """Return the value that a plain YAML scalar stands for.

    `1e-4` is a float, `010` is ten, `12:30` and dates stay text, `yes`/`no`/`on`/`off` are booleans.
    """
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text.replace("_", ""), 0 if text[:2].lower() in ("0x", "0o", "0b") else 10)
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    if text in _SPECIAL_FLOATS:
        return float(text.replace(".", ""))
    return text


def by_yaml_1_1(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value that YAML 1.1, by which W&B reads a sweep's file, takes a scalar for."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text


def text_of_a_number(value: object) -> str | None:
    """Return what to write for a number that YAML 1.1 takes for text, such as `1e-3`; None if it is none."""
    meant = typed(value) if isinstance(value, str) else None
    if isinstance(meant, bool) or not isinstance(meant, int | float):
        return None
    if not isinstance(by_yaml_1_1(str(value)), str):
        return None  # W&B would have taken it for a number, so it was quoted
    mantissa, exponent, power = str(value).lower().partition("e")
    if not exponent:
        return f"W&B reads {value} as text. Write {meant!r}"
    dot = mantissa if "." in mantissa else f"{mantissa}.0"
    signed = power if power[0] in "+-" else f"+{power}"
    return f"W&B reads {value} as text. Write {dot}e{signed}"


def parse(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value of a short YAML text, as it stands behind `key=` on a command line.

    Raises:
        yaml.YAMLError: if `text` is not YAML, or YAML that stands for no plain value: an alias within itself,
            a tag, a key that is no text, stands twice or holds a dot.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
        refuse_bomb(node)
        return None if node is None else _value(node, ())
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    finally:
        loader.dispose()


def refuse_bomb(node: yaml.Node | None) -> None:
    """Refuse a text whose aliases stand for so much that nobody has meant it.

    Raises:
        yaml.YAMLError: if it does.
        RecursionError: if it is nested too deeply.
    """
    if node is not None and _count(node, {}) > MOST_VALUES:
        raise yaml.YAMLError(f"its aliases stand for more than {MOST_VALUES} values")


def _count(node: yaml.Node, known: dict[yaml.Node, int]) -> int:
    if isinstance(node, yaml.ScalarNode):
        return 1
    if node not in known:
        known[node] = 0  # of an alias within itself, which is somebody else's to refuse
        inner = (part for pair in node.value for part in (pair if isinstance(pair, tuple) else (pair,)))
        known[node] = 1 + sum(_count(part, known) for part in inner)
    return known[node]


def _value(node: yaml.Node, around: tuple[yaml.Node, ...]) -> Any:  # noqa: ANN401 - any YAML value
    if node in around or not known_tag(node):
        raise yaml.YAMLError("an alias within itself, or a tag")
    inside = (*around, node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, inside) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        names = [
            key.value if isinstance(key, yaml.ScalarNode) and key.tag != MERGE else "."
            for key, _ in node.value
        ]
        if len(set(names)) < len(names) or any("." in name for name in names):
            raise yaml.YAMLError("keys that are no text, stand twice or hold a dot")
        return {name: _value(value, inside) for name, (_, value) in zip(names, node.value, strict=True)}
    return of_scalar(node, node.value)


def of_scalar(node: yaml.Node, text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value of a scalar whose text is `text`: typed if it is plain, text if it is quoted."""
    return typed(text) if node.tag == UNTAGGED and getattr(node, "style", None) is None else text


class _Dumper(yaml.SafeDumper):
    """A YAML writer whose text comes back as the same text by the rules above."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    # `1e-4` and `010` are text to PyYAML when plain, and a `$` would be expanded when it is read again.
    style = '"' if "\n" in text else "'" if typed(text) != text or "$" in text else None
    if style == '"':
        text = text.replace("$", "$$")
    return dumper.represent_scalar(TEXT, text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump(value: object, *, flow: bool = False) -> str:
    """Return YAML that is read back as `value`; on one line, without its end, if `flow`."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=flow
    )
    return text.removesuffix("\n").removesuffix("\n...").strip() if flow else text


def kind_of(value: object) -> str:
    """Return the word that error messages use for the type of `value`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, dict) else type(value).__name__


def number(value: object) -> float | None:
    """Return a value that a file says, if it is a finite number, which true and false are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float reaches
        return None


def whole(value: object) -> int | None:
    """Return a value that a file says, if it is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if number(value) is not None else None
