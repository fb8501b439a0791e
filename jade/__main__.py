"""`python -m jade <command>`: finds the command's file in `commands/` and runs it."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

import jade
from jade import commands
from jade.errors import ConfigError, JadeError, shown


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"jade {jade.__version__}\n")
        return 0
    name, *rest = arguments
    try:
        if name not in _names():
            raise ConfigError(
                f"There is no command {name!r}.", where="python -m jade", wanted=name, choices=_names()
            )
        code: int = importlib.import_module(f"jade.commands.{name}").run(rest)
    except JadeError as error:
        sys.stderr.write(f"{shown(error)}\n")
        return 2
    return code


def _names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def _overview() -> str:
    lines = ["usage: python -m jade <command> …", "", "commands:"]
    for name in _names():
        about = (importlib.import_module(f"jade.commands.{name}").__doc__ or "").strip().splitlines()[0]
        lines.append(f"  {name:<8}  {about}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
