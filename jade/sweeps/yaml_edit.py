"""Values put into a YAML text whose comments, order and `$VARIABLES` stay where nothing changes.

Pure. It may fail where a text plays with aliases; whoever calls it reads the result again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from jade import scalars


@dataclass(frozen=True)
class _Edit:
    begin: int
    end: int
    text: str


def put(text: str, now: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return a text that says `wanted`.

    Args:
        text: of a mapping, which says `now`.
        now: its values, variables expanded; a key that is missing counts as changed.
        wanted: the values it is to say.

    Raises:
        yaml.YAMLError: if the text is no YAML.
    """
    node = yaml.compose(text, Loader=scalars.Loader)
    edits = list(_edits(node, now, wanted)) if isinstance(node, yaml.MappingNode) else []
    for edit in sorted(edits, key=lambda one: one.begin, reverse=True):
        text = text[: edit.begin] + edit.text + text[edit.end :]
    return text


def _edits(node: yaml.MappingNode, now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[_Edit]:
    for key, value in node.value:
        name = str(key.value)
        if name not in wanted or _is_same(now.get(name, _MISSING), wanted[name]):
            continue
        inner, other = now.get(name), wanted[name]
        if _is_mapping_of_same_keys(value, inner, other):
            yield from _edits(value, inner, other)  # type: ignore[arg-type]
        else:
            yield _replaced(key, value, other)


_MISSING = object()


def _is_same(one: object, other: object) -> bool:
    # An empty `params:` is read as no params. 1 and True, or 1 and 1.0, are not the same value.
    return repr(one) == repr(other) or (one is None and other == {})


def _is_mapping_of_same_keys(node: yaml.Node, now: object, wanted: object) -> bool:
    if not (isinstance(node, yaml.MappingNode) and isinstance(now, Mapping) and isinstance(wanted, Mapping)):
        return False
    written = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)}
    # A description without `params:` has none.
    return written == {key for key, value in wanted.items() if key in written or value != {}}


def _replaced(key: yaml.Node, value: yaml.Node, wanted: object) -> _Edit:
    # From the end of the key: what stands on lines of its own may not be indented further than the key.
    block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
    text = f": {scalars.dump(wanted, flow=True)}" + ("\n" if block else "")
    return _Edit(key.end_mark.index, _end(value), text)


def _end(node: yaml.Node) -> int:
    """Return where the last value in a node ends: the end of a block is that of the comments after it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(node, yaml.MappingNode) else last)
    return int(node.end_mark.index)
