"""What a sweep that was run here leaves in the experiments folder, by which the same command finds it again.

`sweeps/<id>/` holds `sweep.json` (which sweep of which server, made of which file), the logs of the agents,
the picture of the result, and what W&B's client writes for the agents.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jade.errors import ConfigError
from jade.options import project_environment

FOLDER = "sweeps"  # in the experiments folder
FILE = "sweep.json"
LOCAL = "local"  # stands for the embedded server, whose address changes


@dataclass(frozen=True)
class Kept:
    """A sweep that was run here.

    Attributes:
        path: entity/project/sweep.
        server: its address, or "local" for the embedded one.
        file: it was made of.
        digest: of what the file says, but for the number of trials.
        made: when, in seconds since 1970.
    """

    path: str
    server: str
    file: str
    digest: str
    made: float

    @property
    def name(self) -> str:
        """The sweep's id."""
        return self.path.rpartition("/")[2]


def take_root(parser: argparse.ArgumentParser) -> None:
    """Let a command be told the experiments folder."""
    parser.add_argument(
        "--experiments-root",
        metavar="DIR",
        help="folder of the runs (default: EXPERIMENTS_ROOT, else experiments)",
    )


def surroundings(given: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, `.env` included, with the experiments folder that a command was told."""
    found = project_environment(environ)
    root = given.experiments_root or found.get("EXPERIMENTS_ROOT") or "experiments"
    return {**found, "EXPERIMENTS_ROOT": str(root)}


def digest_of(content: Mapping[str, Any], project: str) -> str:
    """Return what tells one sweep from another: all that its file says but how many trials there are."""
    told = {name: value for name, value in content.items() if name != "run_cap"} | {"project": project}
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def folder_of(root: Path, name: str) -> Path:
    """Return the folder of the sweep of an id."""
    return root / FOLDER / name


def note(root: Path, path: str, server: str, file: Path, digest: str) -> Kept:
    """Note that a sweep was made."""
    kept = Kept(path, server, str(file.absolute()), digest, round(time.time(), 3))
    target = folder_of(root, kept.name) / FILE
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{FILE}.{os.getpid()}")
    beside.write_text(json.dumps(asdict(kept), indent=2), encoding="utf-8")
    beside.replace(target)
    return kept


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep other commands from making a sweep meanwhile: they find this one's.

    Raises:
        ConfigError: if nothing can be kept in the experiments folder.
    """
    folder = root / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / ".lock").open("a")
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written: {error.strerror}.", where="EXPERIMENTS_ROOT"
        ) from None
    with held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def all_of(root: Path) -> list[Kept]:
    """Return the sweeps that were run in an experiments folder, the newest first."""
    return sorted(_read(root), key=lambda kept: kept.made, reverse=True)


def _read(root: Path) -> Iterator[Kept]:
    for path in sorted((root / FOLDER).glob(f"*/{FILE}")):
        try:
            yield Kept(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):  # not one of ours
            continue


def handed_out(folder: Path, sweep: str) -> list[str]:
    """Return the runs that agents working in a sweep's folder were ever given: each has a file of params."""
    files = (folder / "wandb" / f"sweep-{sweep}").glob("config-*.yaml")
    return sorted(path.stem.removeprefix("config-") for path in files)
