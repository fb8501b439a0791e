"""Check and write sweep files (`sweep check FILE`, `sweep new`)."""

from __future__ import annotations

import argparse
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
    if name not in _COMMANDS:
        raise ConfigError(
            f"There is no command {name!r}.",
            where="python -m jade sweep",
            wanted=name,
            choices=_COMMANDS,
        )
    return _COMMANDS[name](arguments[1:])


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
    # wandb sweep reads no .env, and without a project takes one of its own.
    project = os.environ.get("WANDB_PROJECT") or "your-project"
    start = f"wandb sweep --project {project} {wanted.output}"
    sys.stdout.write(f"{wanted.output}: {checked.text}\nStart it: {start}\n")
    return 0


def run_sweep(arguments: Sequence[str]) -> int:
    """Run a sweep on this machine to its end; the same command again continues it."""
    from jade.sweeps.run import run as begin  # imports wandb, which `check` and `new` do not wait for

    return begin(arguments)


def show(arguments: Sequence[str]) -> int:
    """Show the trials of a sweep, or the runs of a folder, best first."""
    from jade.sweeps.show import show as shown  # a capability

    return shown(arguments)


def export(arguments: Sequence[str]) -> int:
    """Write the YAML files of one trial, so that the winner becomes a configuration."""
    from jade.sweeps.export import export as exported  # a capability

    return exported(arguments)


_COMMANDS: Mapping[str, Callable[[Sequence[str]], int]] = {
    "check": check,
    "new": new,
    "run": run_sweep,
    "show": show,
    "export": export,
}


def _overview() -> str:
    lines = ["usage: python -m jade sweep <command> …", "", "commands:"]
    lines += [f"  {name:<8}  {command.__doc__}" for name, command in _COMMANDS.items()]
    return "\n".join(lines) + "\n"
