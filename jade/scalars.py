"""YAML text to typed values, with the surprises of YAML 1.1 taken out.

The one set of typing rules that configuration files, overrides and sweeps share. It knows nothing of
files or of JADE's sections; `config` and `params` call it.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_INT = re.compile(r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+")
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


class Loader(yaml.SafeLoader):
    """A YAML reader whose plain scalars are all text: `typed` decides what they are."""


# Only the merge key keeps its meaning; every other plain scalar is typed by the rules below.
Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag == "tag:yaml.org,2002:merge"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


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


def parse(text: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return the value of a short YAML text, as it stands behind `key=` on a command line.

    Raises:
        yaml.YAMLError: if `text` is not YAML.
    """
    loader = Loader(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    return None if node is None else _value(node)


def _value(node: yaml.Node) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {key.value: _value(value) for key, value in node.value}
    assert isinstance(node, yaml.ScalarNode)  # the third and last kind of node there is
    return typed(node.value) if node.style is None else node.value


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
