"""One YAML file to nested values, environment variables expanded, with the origin of each.

The only reader of configuration files: all faults of a file come out together, each with its line. What the
values mean is `config`'s affair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
import yaml.reader

from jade import scalars
from jade.errors import ConfigError, JadeError, nearest, raise_all

_REFERENCE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<bare>[A-Za-z_]\w*)|\{(?P<name>[A-Za-z_]\w*)(?P<default>:-[^{}]*)?\}"
    r"|(?P<broken>\{[^}]*\}?))"
)
_NO_SPACE = re.compile(r"\s*[\w-]+:[^\s/]")
_NO_COLON = re.compile(r"\s*[A-Za-z_][\w-]*(\s+[\w.]+)?\s*$")
_BRACED = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)[^}\n]*\}")


@dataclass(frozen=True)
class Tree:
    """One YAML file: its text, its values, and for each dotted key the place (`file:line`) of it.

    Attributes:
        variables: those of the environment that it names and that are set, with their values.
    """

    path: Path
    text: str
    values: dict[str, Any]
    origins: dict[str, str]
    variables: dict[str, str] = field(default_factory=dict)


def read_yaml(path: Path, environ: Mapping[str, str], section: str = "") -> Tree:
    """Return the values of one YAML file, environment variables expanded, with the origin of each.

    `$A`, `${A}` and `${A:-default}` are expanded in plain scalars, which are typed afterwards, and in
    double-quoted ones, which stay text. `$$` is a dollar sign. Single quotes and blocks are left as they are.

    Args:
        path: the file.
        environ: the variables that it may name.
        section: what errors put before its keys: "model", "data" or "eval".

    Raises:
        ConfigError: if the file cannot be read, is empty or is no mapping; for duplicate keys, keys with a
            dot, scalars that run over several lines and variables that are not set; all of a file at once.
    """
    text, node = root_of(path, f"--{section}_conf" if section else str(path), scalars.Loader)
    reader = _Reader(path, environ, text, section)
    values = reader.mapping(node, "")
    raise_all(reader.faults)
    return Tree(path, text, values, reader.origins, reader.variables)


def root_of(path: Path, where: str, loader: type[yaml.SafeLoader]) -> tuple[str, yaml.MappingNode]:
    """Return the text of a YAML file and the node of the mapping that it holds.

    Args:
        path: the file.
        where: what names it, for the error of a file that is not there.
        loader: what resolves the tags of the nodes.

    Raises:
        ConfigError: if the file cannot be read, is not YAML, is empty or is no mapping.
    """
    text = _text(path, where)
    try:
        node = yaml.compose(text, Loader=loader)
        scalars.refuse_bomb(node)
    except yaml.YAMLError as error:
        raise syntax_error(path, text, error) from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply.", where=str(path)) from None
    if node is None:
        raise ConfigError(f"{path} is empty.", where=f"{path}:1", hint="A file without entries holds {}")
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(
            f"{path} holds {'a list' if isinstance(node, yaml.SequenceNode) else 'a single value'};"
            " a mapping of names to values is expected.",
            where=f"{path}:1",
        )
    return text, node


def _text(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        folder = path.parent
        beside = [str(other) for other in folder.glob("*.y*ml")] if folder.is_dir() else []
        raise ConfigError(
            f"There is no file {path}.", where=where, wanted=str(path), choices=beside
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path} cannot be read: {reason}.", where=str(path)) from None


def syntax_error(path: Path, text: str, error: yaml.YAMLError) -> ConfigError:
    """Return the error of a text that is not YAML, with its line and what was probably meant."""
    if isinstance(error, yaml.reader.ReaderError):
        number = text.count("\n", 0, error.position) + 1
        return ConfigError(
            f"{path} is not YAML: the character {chr(error.character)!r} is not allowed.",
            where=f"{path}:{number}",
        )
    lines = text.splitlines()
    # The end of a file is one line behind its last one; what was open there began at the context's mark.
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    mark = next((mark for mark in marks if mark is not None and mark.line < len(lines)), None)
    number = mark.line if mark else max(len(lines) - 1, 0)
    line = lines[number] if lines else ""
    problem = getattr(error, "problem", None) or "the text cannot be read"
    hint = f"The line reads: {line.strip()}" if line.strip() else None
    braced = _BRACED.search(line)
    if braced and marks[0] is not None and _in_flow(lines[: number + 1], marks[0].column):
        hint = f"Inside [ ] and {{ }} YAML takes {braced[0]} for a mapping: write ${braced['name']} there."
    elif "\t" in line:
        hint = "The line holds a tab; YAML is indented with spaces."
    else:
        hint = _slip_near(lines, number) or hint
    return ConfigError(f"{path} is not YAML: {problem}.", where=f"{path}:{number + 1}", hint=hint)


def _slip_near(lines: list[str], number: int) -> str | None:
    """Return what is wrong with the faulty line or the one above it, where the cause often is."""
    above = next((index for index in range(number - 1, -1, -1) if lines[index].strip()), number)
    for index in (number, above):
        if _NO_SPACE.match(lines[index]):
            return f"A space is missing behind the colon in line {index + 1}: {lines[index].strip()}"
        if _NO_COLON.match(lines[index]):
            return f"Is a colon missing in line {index + 1}? {lines[index].strip()}"
    return None


def _in_flow(lines: list[str], column: int) -> bool:
    """Say whether the end of `lines`, cut at `column`, is inside of brackets or braces."""
    before = "\n".join([*lines[:-1], lines[-1][: column + 1]])
    plain = _BRACED.sub("", before).replace("${", "")
    return plain.count("[") > plain.count("]") or plain.count("{") > plain.count("}")


class _Reader:
    """Turns the nodes of one file into values, gathering origins and faults on the way."""

    def __init__(self, path: Path, environ: Mapping[str, str], text: str, section: str) -> None:
        self.faults: list[JadeError] = []
        self.origins: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self._path = path
        self._section = section
        self._environ = environ
        self._lines = text.splitlines()
        self._open: list[yaml.Node] = []  # the nodes around the present one: an alias to one is a circle

    def mapping(self, node: yaml.MappingNode, prefix: str) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        # Merged keys come first, so that the origins of the keys written here replace theirs.
        for key_node, value_node in node.value:
            if key_node.tag == scalars.MERGE:
                merged = {**self._merged(value_node, prefix), **merged}
        for key_node, value_node in node.value:
            if key_node.tag == scalars.MERGE:
                continue
            name = self._key(key_node, prefix)
            if name is None:
                continue
            key = f"{prefix}{name}"
            if name in values:
                self._fault(
                    f"The key {name!r} stands twice in one mapping; first at {self.origins[key]}.",
                    key_node,
                    key,
                )
                continue
            self.origins[key] = f"{self._path}:{key_node.start_mark.line + 1}"
            values[name] = self._value(value_node, key)
        return {**merged, **values}

    def _merged(self, node: yaml.Node, prefix: str) -> dict[str, Any]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in reversed(sources):
            if source in self._open or not isinstance(source, yaml.MappingNode):
                itself = source in self._open
                problem = "An alias contains itself." if itself else "<< merges mappings, and this is none."
                self._fault(problem, source, prefix.rstrip("."))
                continue
            with self._inside(source):
                merged |= self.mapping(source, prefix)
        return merged

    @contextmanager
    def _inside(self, node: yaml.Node) -> Iterator[None]:
        self._open.append(node)
        try:
            yield
        finally:
            self._open.pop()

    def _key(self, node: yaml.Node, prefix: str) -> str | None:
        shown = node.value if isinstance(node, yaml.ScalarNode) else "…"
        if not isinstance(node, yaml.ScalarNode):
            self._fault("A key must be text.", node, prefix.rstrip("."), hint="Is a {NAME} missing its $?")
            return None
        if (
            node.style is None
            and isinstance(scalars.typed(shown), int | float | None)
            and (
                not isinstance(scalars.typed(shown), bool)  # `on:` and `no:` are meant as names
            )
        ):
            self._fault(
                f"The key {shown!r} is no text.", node, f"{prefix}{shown}", hint=f'Quote it: "{shown}":'
            )
            return None
        if "." in shown or not shown:
            problem = (
                f"The key {shown!r} holds a dot, which separates levels." if shown else "A key is empty."
            )
            hint = "Write the levels as nested mappings, each on its own line." if shown else None
            self._fault(problem, node, f"{prefix}{shown}", hint=hint)
            return None
        return shown

    def _value(self, node: yaml.Node, key: str) -> Any:  # noqa: ANN401 - any YAML value
        if node in self._open:
            self._fault("An alias contains itself.", node, key)
            return None
        if not scalars.known_tag(node):
            self._fault(
                f"The tag {node.tag!r} is not understood.", node, key, hint="Write the value without it."
            )
            return None
        with self._inside(node):
            if isinstance(node, yaml.MappingNode):
                return self.mapping(node, f"{key}.")
            if isinstance(node, yaml.SequenceNode):
                return [self._value(item, f"{key}[{index}]") for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.ScalarNode)  # the third and last kind of node there is
            return self._scalar(node, key)

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Any:  # noqa: ANN401 - any YAML value
        if node.style is None and node.start_mark.line != node.end_mark.line:
            self._fault(
                f"The value {node.value!r} runs over several lines.",
                node,
                key,
                hint=self._meant_by(node, key),
            )
            return None
        if node.style not in (None, '"'):
            return node.value
        expanded = _REFERENCE.sub(lambda match: self._variable(match, node, key), node.value)
        if node.style == '"':
            return expanded
        # A variable may hold a whole list, LAYERS="[64, 32]"; it is one only where it is the whole value.
        if _REFERENCE.fullmatch(node.value) and expanded[:1] in ("[", "{"):
            try:
                return scalars.parse(expanded)
            except yaml.YAMLError:
                return expanded
        return scalars.of_scalar(node, expanded.strip())

    def _variable(self, match: re.Match[str], node: yaml.Node, key: str) -> str:
        if match["escaped"]:
            return "$"
        if match["broken"]:
            self._fault(
                f"{match[0]!r} is no reference to an environment variable.",
                node,
                key,
                hint="Write $NAME, ${NAME} or ${NAME:-default}; a dollar sign is $$, or in single quotes.",
            )
            return ""
        name = match["bare"] or match["name"]
        if self._environ.get(name):
            self.variables[name] = self._environ[name]
            return self._environ[name]
        if match["default"]:
            default = match["default"].removeprefix(":-")
            return _REFERENCE.sub(lambda inner: self._variable(inner, node, key), default)
        state = "empty" if name in self._environ else "not set"
        near = nearest(name, self._environ)
        hint = f"export {name}=…, or add it to .env, or write ${{{name}:-default}}."
        self._fault(
            f"The environment variable {name} is {state}.",
            node,
            key,
            hint=f"did you mean: {near}\n{hint}" if near and near != name else hint,
        )
        return ""

    def _meant_by(self, node: yaml.ScalarNode, key: str) -> str:
        lines = [line.strip() for line in self._lines[node.start_mark.line : node.end_mark.line + 1]]
        lines[0] = lines[0].partition(": ")[2].strip() if ": " in lines[0] else lines[0]
        if not all(line.startswith("-") for line in lines if line):
            return 'Text over several lines goes in quotes or behind "|"; a list has "- " before each item.'
        items = "\n".join(f"  - {line.removeprefix('-').strip()}" for line in lines if line)
        return f"A list needs a space after each dash:\n{key.rpartition('.')[2]}:\n{items}"

    def _fault(self, problem: str, node: yaml.Node, key: str, hint: str | None = None) -> None:
        place = f"{self._path}:{node.start_mark.line + 1}"
        whole = ".".join(part for part in (self._section, key) if part)
        self.faults.append(ConfigError(problem, where=f"{place} ({whole})" if whole else place, hint=hint))
