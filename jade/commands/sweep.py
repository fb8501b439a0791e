"""Check, write, run, show and export sweeps (`sweep check FILE`, `sweep run FILE`, …)."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jade import sweep_check, sweep_file, sweep_new
from jade.errors import ConfigError, JadeError, raise_all


def run(arguments: Sequence[str]) -> int:
    """Run one of the commands on sweeps; return the exit code."""
    name = arguments[0] if arguments else "--help"
    if name in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0
    if name not in _found():
        raise ConfigError(
            f"There is no command {name!r}.",
            where="python -m jade sweep",
            wanted=name,
            choices=_found(),
        )
    if name in _COMMANDS:
        return _COMMANDS[name](arguments[1:])
    code: int = getattr(importlib.import_module(f"{_ROOM}.{name}"), name)(arguments[1:])
    return code


def check(arguments: Sequence[str]) -> int:
    """Hold sweep files against the programs that they name."""
    parser = argparse.ArgumentParser(prog="python -m jade sweep check", description=check.__doc__)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="as `wandb sweep` takes it")
    faults: list[JadeError] = []
    for path in parser.parse_args(arguments).files:
        try:
            sweep, wrong = sweep_file.examine(path)
        except JadeError as fault:
            faults.append(fault)
            continue
        checked = sweep_check.check(sweep, os.environ)
        sys.stderr.writelines(f"warning: {warning}\n" for warning in checked.warnings)
        wrong += checked.faults
        faults += wrong
        if not wrong:
            sys.stdout.write(f"ok: {path}: {checked.text}\n")
    raise_all(faults)
    return 0


def new(arguments: Sequence[str]) -> int:
    """Write a sweep file for the configuration of a train command."""
    wanted = sweep_new.parse(arguments, os.environ)
    text, checked = sweep_new.text(wanted, os.environ)
    sys.stderr.writelines(f"warning: {warning}\n" for warning in checked.warnings)
    if wanted.output is None:
        sys.stdout.write(text)
        return 0
    sweep_new.write(text, wanted.output)
    start = f"python -m jade sweep run {wanted.output}"
    sys.stdout.write(f"{wanted.output}: {checked.text}\nStart it: {start}\n")
    return 0


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {"check": check, "new": new}
# Each is a function of its own name in a file of its own name; imported when it is wanted, for that takes a
# second.
_ROOM = "jade.sweeps"
_OF_THE_ROOM = {
    "run": "Run a sweep on this machine to its end; the same command again goes on with it.",
    "show": "Show the trials of a sweep, or the runs of a folder, as a table, as data or as a picture.",
    "export": "Write the configuration of a trial as YAML files.",
}


def _found() -> dict[str, str]:
    """Return the commands there are, each with what it does."""
    own = {name: str(command.__doc__) for name, command in _COMMANDS.items()}
    return own | (_OF_THE_ROOM if importlib.util.find_spec(_ROOM) else {})


def _overview() -> str:
    lines = ["usage: python -m jade sweep <command> …", "", "commands:"]
    lines += [f"  {name:<8}  {about}" for name, about in _found().items()]
    return "\n".join(lines) + "\n"
