"""The configuration of a stored run on this machine: what the environment says is read anew.

A run's `config.yml` has the values as they were; its `yaml/` has the files as they were written, with the
names of variables in them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jade import params
from jade.config import SECTIONS, Config
from jade.errors import JadeError
from jade.yaml_file import read_yaml

_log = logging.getLogger(__name__)
_told: set[tuple[str, str]] = set()


def expanded(config: Config, folder: Path, recorded: Mapping[str, str], environ: Mapping[str, str]) -> Config:
    """Return a run's configuration with what came from variables as they are set now.

    A value that a flag or a sweep had put in place of the file's stays. Where a variable is not set now, the
    run's own value of it is used, which is told once.

    Args:
        config: as the run recorded it.
        folder: of the files as they were written, `model.yml` and so on.
        recorded: the variables that the files named, as the run had them.
        environ: the variables of this machine.
    """
    now = {**recorded, **environ}
    values, origins = dict(config.flat), dict(config.origins)
    for section in SECTIONS:
        path = folder / f"{section}.yml"
        for key, before, value in _changed(path, section, recorded, now):
            if key in values and repr(values[key]) == repr(before):
                values[key] = value
                origins[key] = str(path)
    for name in sorted(set(recorded) - set(environ)):
        if (name, recorded[name]) not in _told:
            _told.add((name, recorded[name]))
            _log.warning("%s is not set here: it is %r, as the run had it.", name, recorded[name])
    variables = {name: now[name] for name in recorded}
    return replace(config, values=params.inflate(values), origins=origins, variables=variables)


def _changed(
    path: Path, section: str, before: Mapping[str, str], now: Mapping[str, str]
) -> Iterator[tuple[str, Any, Any]]:
    """Yield each key whose value is another one now, with both."""
    if not path.is_file():
        return
    try:
        old, new = (_flat(path, section, variables) for variables in (before, now))
    except JadeError as error:
        # Of a run that did not record its variables: every value is as it was then.
        _log.debug("%s is not read anew: %s", path, error)
        return
    for key, value in new.items():
        if key in old and repr(old[key]) != repr(value):
            yield key, old[key], value


def _flat(path: Path, section: str, variables: Mapping[str, str]) -> Mapping[str, Any]:
    return params.flatten({section: read_yaml(path, variables, section).values})
