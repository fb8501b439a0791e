"""One sweep file to values and places, as W&B reads it: by YAML 1.1, with nothing expanded.

Unlike in a configuration, which `yaml_file` reads, `1e-3` is text and `${env}` stays as it is. What the
values mean is `sweep_file`'s affair.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from jade import scalars, yaml_file
from jade.errors import ConfigError, JadeError, raise_all

Where = Callable[[str], str]


def read(path: Path) -> tuple[dict[str, Any], Where, list[JadeError]]:
    """Return the values of a sweep file, what gives the place of a dotted key, and the faults of the text.

    Raises:
        ConfigError: if the text cannot be read.
    """
    text, node = yaml_file.root_of(path, str(path), yaml.SafeLoader)
    walk = _Walk(path)
    walk.mapping(node, "")
    raise_all(walk.fatal)
    try:
        values: dict[str, Any] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise yaml_file.syntax_error(path, text, error) from None
    except ValueError as error:  # a date that no calendar has
        raise ConfigError(f"{path} cannot be read: {error}.", where=str(path)) from None
    return values, walk.where, walk.faults


class _Walk:
    """Goes through the nodes of a file for the line of each key, and for what YAML 1.1 takes amiss.

    A key may hold dots; what is written flat and what is nested have the same dotted key.
    """

    def __init__(self, path: Path) -> None:
        self.faults: list[JadeError] = []
        self.fatal: list[JadeError] = []  # those with which nothing else can be said of the file
        self._path = path
        self._origins: dict[str, str] = {}
        self._open: list[yaml.Node] = []

    def where(self, key: str) -> str:
        """Return the place of a dotted key, or of the nearest one above it."""
        name = key
        while name and name not in self._origins:
            name = name[: max(name.rfind("."), name.rfind("["), 0)]
        place = self._origins.get(name, f"{self._path}:1")
        return f"{place} ({key})" if key else place

    def mapping(self, node: yaml.MappingNode, prefix: str) -> None:
        """Note the keys of a mapping and what is inside of them."""
        names: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag == scalars.MERGE:
                self._merged(value_node, prefix)
                continue
            name = self._name(key_node, prefix)
            if name in names:
                first = names[name].start_mark.line + 1
                self._fault(
                    f"The key {name!r} stands twice in one mapping; first at {self._path}:{first}.",
                    key_node,
                    prefix + name,
                    hint="W&B takes the last one without a word.",
                )
            names[name] = key_node
            self._origins[f"{prefix}{name}"] = self._place(key_node)
            self._value(value_node, f"{prefix}{name}")

    def _merged(self, node: yaml.Node, prefix: str) -> None:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode) and source not in self._open:
                self._open.append(source)
                self.mapping(source, prefix)
                self._open.pop()

    def _name(self, node: yaml.Node, prefix: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fatal.append(self._fault("A key must be text.", node, prefix.rstrip(".")))
            return "…"
        if node.tag != scalars.TEXT:
            value = scalars.by_yaml_1_1(node.value)
            self._fault(
                f"The key {node.value!r} is no text: W&B reads it as {value!r}.",
                node,
                f"{prefix}{node.value}",
                hint=f'Quote it: "{node.value}":',
            )
        return str(node.value)

    def _value(self, node: yaml.Node, key: str) -> None:
        if node in self._open:
            self.fatal.append(self._fault("An alias contains itself.", node, key))
            return
        self._open.append(node)
        if isinstance(node, yaml.MappingNode):
            self.mapping(node, f"{key}.")
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._origins[f"{key}[{index}]"] = self._place(item)
                self._value(item, f"{key}[{index}]")
        elif isinstance(node, yaml.ScalarNode) and node.style is None:
            self._surprise(node, key)
        self._open.pop()

    def _surprise(self, node: yaml.ScalarNode, key: str) -> None:
        """Refuse numbers and dates that are not what they look like; text that looks like a number stays."""
        if node.tag.endswith((":timestamp", ":binary")):
            self._fault(
                f"W&B reads {node.value} as a date.", node, key, hint=f"Text goes in quotes: '{node.value}'"
            )
        if node.tag.endswith((":int", ":float")):
            value, meant = scalars.by_yaml_1_1(node.value), scalars.typed(node.value)
            if repr(value) != repr(meant):
                self._fault(
                    f"W&B reads {node.value} as the number {value}.",
                    node,
                    key,
                    hint=f"Write {meant}" + (" in quotes." if isinstance(meant, str) else "."),
                )

    def _place(self, node: yaml.Node) -> str:
        return f"{self._path}:{node.start_mark.line + 1}"

    def _fault(self, problem: str, node: yaml.Node, key: str, hint: str | None = None) -> ConfigError:
        fault = ConfigError(problem, where=f"{self._place(node)} ({key})", hint=hint)
        self.faults.append(fault)
        return fault
