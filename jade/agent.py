"""What the agent of a W&B sweep hands a trial: its params in a file, and again on the command line.

The command line has them as text that does not say its type, or as JSON. `options` asks here what was meant;
nothing is checked against a configuration yet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jade.errors import ConfigError

# As `${args}` and `${args_no_hyphens}` write a param, and the macros that are named after hydra.
_PREFIXES = ("--", "", "+", "++")


def handed(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the params of the trial that the environment belongs to; none outside of a sweep.

    A file that cannot be read counts as none: the tracker, whose file it is, tells of that.
    """
    path = environ.get("WANDB_SWEEP_PARAM_PATH")
    if not path or not environ.get("WANDB_SWEEP_ID"):
        return {}
    try:
        written = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    known = written.items() if isinstance(written, dict) else ()
    return {str(key): node["value"] for key, node in known if isinstance(node, dict) and "value" in node}


def taken(arguments: Sequence[str], params: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Take what the agent wrote out of a command line.

    Args:
        arguments: the command line.
        params: what the agent may have written there, as `handed` returns it.

    Returns:
        The rest of the command line, and those of `params` that were on it.
    """
    forms = {form: key for key, value in params.items() for form in _forms(key, value)}
    rest: list[str] = []
    found: dict[str, Any] = {}
    waiting = list(arguments)
    while waiting:
        # `${args_no_equals}` writes a param as two arguments.
        for number in (2, 1):
            key = forms.get(tuple(waiting[:number]))
            if key is not None:
                found[key] = params[key]
                del waiting[:number]
                break
        else:
            rest.append(waiting.pop(0))
    return rest, found


def _forms(key: str, value: object) -> Iterator[tuple[str, ...]]:
    yield from ((f"{prefix}{key}={value}",) for prefix in _PREFIXES)
    yield (f"--{key}", str(value))
    if value is True:
        yield (f"--{key}",)  # `${args_no_boolean_flags}` leaves out what is false


def of_json(text: str, where: str) -> dict[str, Any]:
    """Return the params that a JSON text holds, dotted or nested.

    Raises:
        ConfigError: if it is not JSON, no mapping, or has a key twice.
    """
    try:
        found = json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"This is not JSON: {error.msg}.", where=f"{where}:{error.lineno} (column {error.colno})"
        ) from None
    except ValueError as error:
        raise ConfigError(str(error), where=where) from None
    except RecursionError:
        raise ConfigError("This JSON is nested too deeply.", where=where) from None
    if not isinstance(found, dict):
        raise ConfigError(
            "This JSON is no mapping of params to values.",
            where=where,
            hint='It is written {"model.params.beta": 0.1}',
        )
    return found


def read_json(path: Path) -> dict[str, Any]:
    """Return the params that a JSON file holds, dotted or nested.

    Raises:
        ConfigError: if there is no such file, or it is not as `of_json` wants it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}.", where="command line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", where="command line") from None
    return of_json(text, str(path))


def _without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"The key {key!r} stands twice in one mapping.")
        found[key] = value
    return found
