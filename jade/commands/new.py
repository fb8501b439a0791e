"""Make a small working project in a new folder: `python -m jade new DIR`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jade
from jade.errors import ConfigError

TEMPLATE = Path(jade.__file__).parent / "template"


def run(arguments: Sequence[str]) -> int:
    """Make the project and say how to go on; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jade new", description=__doc__)
    parser.add_argument("folder", metavar="DIR", help="where the project is to be; new or empty")
    folder = Path(parser.parse_args(arguments).folder)
    create(folder)
    sys.stdout.write(f"{folder} is a project now. Try it:\n\n  cd {folder}\n{_first_command(folder)}\n")
    return 0


def create(folder: Path) -> None:
    """Make the project in `folder`; nothing is put there before all of it is written.

    Raises:
        ConfigError: if the folder holds something already, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"{folder} is there already and is not empty.", where="DIR", hint="Name a new folder."
        )
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as beside:
            made = Path(beside) / target.name
            shutil.copytree(TEMPLATE, made, ignore=shutil.ignore_patterns("__pycache__"))
            target.mkdir(exist_ok=True)  # it may be the present folder, which must stay the same one
            for part in made.iterdir():
                part.rename(target / part.name)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror}.", where="DIR") from error


def _first_command(folder: Path) -> str:
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("python train.py"))
    end = next(number for number in range(start, len(lines)) if lines[number].startswith("```"))
    return "\n".join(f"  {line}" for line in lines[start:end])
