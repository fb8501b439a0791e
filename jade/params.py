"""Nested configuration to flat dotted params and back, and the check of what a flag or a sweep hands back.

`flatten` and `inflate` are each other's inverse. `accept` is the one gate through which a value that was
not written in a configuration file may enter. `config` calls all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from jade import scalars
from jade.errors import ConfigError, JadeError, nearest, raise_all

Flat = dict[str, Any]


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Flat:
    """Return the leaves of `nested` under dotted keys; lists, None and `{}` are leaves."""
    flat: Flat = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
            continue
        flat[f"{prefix}{key}"] = value
    return flat


def inflate(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested form of `flat`: `inflate(flatten(x)) == x` where no key of `x` holds a dot."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return nested


def parse_override(text: str) -> tuple[str, Any]:
    """Return key and typed value of one `key=value` from the command line.

    The value is YAML: `0.1` is a number, `[8, 4]` a list, `null` nothing, anything else text.

    Raises:
        ConfigError: if there is no `=`, no key, or the value is not YAML.
    """
    key, equals, written = text.partition("=")
    key = key.removeprefix("--").strip()
    if not equals or not key:
        raise ConfigError(
            f"{text!r} is no override.",
            where="command line",
            hint="An override is written model.params.beta=0.1",
        )
    try:
        return key, scalars.parse(written)
    except yaml.YAMLError:
        raise ConfigError(
            f"The value {written!r} of the override {key!r} is not YAML.",
            where="command line",
            hint=f"Text with special characters goes in quotes: {key}='\"…\"'",
        ) from None


def accept(declared: Mapping[str, Any], given: Mapping[str, Any], where: str) -> Flat:
    """Return `declared` with the values of `given` put in.

    Args:
        declared: flat params as the files define them; they say which keys there are and of what kind.
        given: dotted or nested params from a flag or a sweep. `_wandb` is ignored. Text is typed as YAML
            where the default is not text, an integral float becomes an int where the default is one.
        where: who gives them, for errors ("sweep", "command line").

    Raises:
        ConfigError: for every key that no file defines, every value of another kind and every param that is
            given two values, all at once.
    """
    accepted = dict(declared)
    faults: list[JadeError] = []
    found: dict[str, list[tuple[str, Any]]] = {}
    for key, value in _leaves_of(given, declared):
        name = full_key(key, declared)
        if name is None:
            faults.append(_unknown(key, declared, where))
            continue
        try:
            fitting = _accepted(name, value, declared[name], where)
        except ConfigError as fault:
            faults.append(fault)
            continue
        found.setdefault(name, []).append((key, fitting))
    for name, values in found.items():
        # A tracker hands back every declared key, so a default beside another value is nobody's wish.
        wished = [(key, value) for key, value in values if not _is_same(value, declared[name])]
        accepted[name] = (wished or values)[-1][1]
        if any(not _is_same(value, accepted[name]) for _, value in wished):
            shown = " and as ".join(f"{key}={scalars.dump(value, flow=True)}" for key, value in wished)
            faults.append(ConfigError(f"{name} is set twice, as {shown}.", where=where))
    raise_all(faults)
    return accepted


def aliases(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Return the keys of `given` that are read as another one, and as which."""
    names = {key: full_key(key, declared) for key, _ in _leaves_of(given, declared)}
    return {key: name for key, name in names.items() if name and name != key}


def _is_same(one: object, other: object) -> bool:
    return one == other or repr(one) == repr(other)  # NaN is not equal to itself


def _accepted(name: str, value: Any, default: Any, where: str) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, Mapping) and any("." in inner for inner in _keys(value)):
        raise ConfigError(f"{name} is set to {value!r}, whose keys hold dots.", where=where)
    try:
        return _of_same_kind(default, value)
    except ValueError as expected:
        raise _wrong_kind(name, value, default, str(expected), where) from None


def _leaves_of(given: Mapping[str, Any], declared: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(_leaves({key: value for key, value in given.items() if key != "_wandb"}, declared))


def _leaves(
    given: Mapping[str, Any], declared: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        key = f"{prefix}{name}"
        if key not in declared and isinstance(value, Mapping) and value:
            yield from _leaves(value, declared, f"{key}.")
            continue
        yield key, value


def _keys(nested: Mapping[str, Any]) -> Iterator[str]:
    for key, value in nested.items():
        yield str(key)
        if isinstance(value, Mapping):
            yield from _keys(value)


def full_key(key: str, declared: Mapping[str, Any]) -> str | None:
    """Return the declared key that `key` means, None if there is none."""
    if key in declared:
        return key
    # The user guide's own sweep writes model.z_dim for model.params.z_dim.
    section, _, rest = key.partition(".")
    longer = f"{section}.params.{rest}"
    if section == "model" and longer in declared:
        return longer
    return None


def _unknown(key: str, declared: Mapping[str, Any], where: str) -> ConfigError:
    inside = sorted(name for name in declared if name.startswith(f"{key}."))
    if inside:
        return ConfigError(
            f"{key!r} is a group of params and takes no value of its own.",
            where=where,
            hint=f"Set one of: {', '.join(inside)}",
        )
    last = key.rpartition(".")[2]
    if key.startswith("params."):
        homes = sorted(name for name in declared if name.endswith(f".{key}")) or [
            f"data.<name>.params.{last}"
        ]
        return ConfigError(
            f"{key!r} does not say whose param it is.",
            where=where,
            hint="Write the whole key: " + " or ".join(homes),
        )
    # The last part is what people remember: a right name in the wrong group is named first.
    namesakes = [name for name in declared if name.rpartition(".")[2] == last]
    section = [name for name in declared if name.partition(".")[0] == key.partition(".")[0]]
    near = " or ".join(sorted(namesakes)) or nearest(key, section or declared) or ""
    hint = "If the code has a default for it, list it in the YAML file first."
    return ConfigError(
        f"{key!r} is set, but no configuration file defines it.",
        where=where,
        hint=(f"did you mean: {near}\n" if near else "")
        + f"known: {', '.join(_neighbours(key, near, declared))}\n{hint}",
    )


def _neighbours(key: str, near: str, declared: Mapping[str, Any]) -> list[str]:
    """Return the declared keys of the group that `key` was most likely meant for, else all of them."""
    for name in (near.partition(" or ")[0], key):
        group = name.rpartition(".")[0]
        found = sorted(other for other in declared if group and other.startswith(f"{group}."))
        if found:
            return found
    return sorted(declared)


def _wrong_kind(key: str, value: object, default: object, expected: str, where: str) -> ConfigError:
    hint = None
    if isinstance(default, list) and isinstance(value, str):
        hint = f"A list is written {_as_list(value)}"
    if isinstance(default, str) and not isinstance(value, list | dict):
        hint = f"Text that looks like something else goes in quotes: {key}='\"{value}\"'"
    known = f", as in the file's {default!r}" if default != "" else ""
    return ConfigError(
        f"{key} is set to {value!r}, which is {scalars.kind_of(value)}; {expected} is expected{known}.",
        where=where,
        hint=hint,
    )


def _as_list(text: str) -> str:
    """Return the flow list that `-1024 -256` was meant to be."""
    items = [item.removeprefix("-") or item for item in text.replace(",", " ").split()]
    return f"[{', '.join(items)}]"


def _of_same_kind(default: Any, value: Any) -> Any:  # noqa: ANN401 - any YAML value
    """Return `value` in the kind of `default`; a ValueError names the kind that was expected."""
    if isinstance(value, str) and not isinstance(default, str):
        value = _typed(value)
    if default is None or value is None:
        return value
    if isinstance(default, list | tuple) and isinstance(value, list | tuple):
        return list(value)
    kind = scalars.kind_of(default)
    if scalars.kind_of(value) != kind:
        raise ValueError(kind)
    if isinstance(default, int) and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _typed(text: str) -> Any:  # noqa: ANN401 - any YAML value
    try:
        return scalars.parse(text)
    except yaml.YAMLError:
        return text
