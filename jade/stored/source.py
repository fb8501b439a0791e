"""Where the files of a stored run are, and what can be said of it without opening them.

`FolderSource` is a run's folder on this machine; what W&B has is `remote`'s, which puts fetched files under
the same names. Nothing here imports torch or wandb.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jade import json_file, scalars
from jade.errors import CheckpointError
from jade.stored import local_runs
from jade.stored.local_runs import ORIGIN
from jade.summary import BEST

INDEX = "index.json"  # beside a copy in the cache, hidden: what the server said of the run
# What a run's folder has beside the run's own files: wandb's copies, the lock, what is half written.
_NOT_THE_RUNS = ("wandb", "lock", "__pycache__")


@dataclass(frozen=True)
class StoredFile:
    """One file of a run.

    Attributes:
        size: in bytes.
        modified: seconds since 1970, where that is known.
        digest: MD5 of its contents, as 32 hexadecimal digits, where that is known.
    """

    size: int
    modified: float | None = None
    digest: str | None = None


@dataclass(frozen=True)
class Facts:
    """What can be said of a run without opening its checkpoints.

    Attributes:
        run_id: its id.
        name: as it is shown; the id if it has none of its own.
        state: one of `trials.STATES`.
        params: its configuration by flat dotted key.
        summary: the last value of each metric by its name, the best one as `NAME/best`.
        iterations: training steps done.
        epochs: passes done.
        seconds: that it has taken.
        began: seconds since 1970.
        updated: when it was last heard of, seconds since 1970.
        sweep: path of the sweep it is a trial of, `entity/project/id`.
        url: of its page.
        owner: entity that it belongs to; None for a folder that was not fetched from anywhere.
        is_foreign: whether its code is somebody else's.
    """

    run_id: str
    name: str
    state: str
    params: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)
    iterations: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    began: float | None = None
    updated: float | None = None
    sweep: str | None = None
    url: str | None = None
    owner: str | None = None
    is_foreign: bool = False


class Source(ABC):
    """Where a run is stored.

    Attributes:
        label: what a person calls it: a folder, or `entity/project/id`.
        folder: the folder that holds its files, laid out as a run's folder; those of a run on W&B are there
            once they were fetched.
    """

    label: str
    folder: Path

    @abstractmethod
    def facts(self) -> Facts:
        """Return what can be said without opening a checkpoint.

        Raises:
            JadeError: if the run's files, or the server, do not give it.
        """

    @abstractmethod
    def files(self) -> Mapping[str, StoredFile]:
        """Return every file of the run by its name, which is its path below the folder, with `/`.

        Raises:
            JadeError: if they cannot be listed.
        """

    @abstractmethod
    def fetch(self, names: Iterable[str]) -> None:
        """Have files in `folder`, whole, as they are at the source now; each is transferred at most once.

        Raises:
            CheckpointError: if the run has no such file; those it has are named.
            TrackingError: if a file cannot be fetched and no copy of it is here.
        """

    def path(self, name: str) -> Path:
        """Return where one file is, fetched if need be.

        Raises:
            JadeError: as `fetch` does.
        """
        self.fetch([name])
        return self.folder / name

    def fetch_all(self, *beginnings: str) -> None:
        """Have all files that there are whose names begin so."""
        self.fetch([name for name in self.files() if name.startswith(beginnings)])


class FolderSource(Source):
    """A run whose folder is on this machine.

    Args:
        folder: of the run; it must be one.
        label: how it was named; the folder if None.
    """

    def __init__(self, folder: Path, label: str | None = None) -> None:
        self.folder = folder.absolute()
        self.label = label or str(folder)

    def facts(self) -> Facts:
        """Return what the folder says."""
        return facts_of(self.folder)

    def files(self) -> dict[str, StoredFile]:
        """Return the run's files, sorted by name."""
        found = {}
        for path in sorted(_walked(self.folder)):
            known = path.stat()
            found[path.relative_to(self.folder).as_posix()] = StoredFile(known.st_size, known.st_mtime)
        return found

    def fetch(self, names: Iterable[str]) -> None:
        """See that the files are there."""
        missing = [name for name in names if not (self.folder / name).is_file()]
        if missing:
            raise CheckpointError(
                f"The run {self.label} has no {', '.join(missing)}.", wanted=missing[0], choices=self.files()
            )


def facts_of(folder: Path) -> Facts:
    """Return what a run's folder says of it.

    Raises:
        CheckpointError: if a file of it cannot be read.
    """
    run = local_runs.run_of(folder)
    status = run.status
    summary = {name: known.get("last") for name, known in run.metrics.items()}
    summary |= {f"{name}{BEST}": known.get("best") for name, known in run.metrics.items()}
    return Facts(
        run_id=folder.name,
        name=str(status.get("name") or folder.name),
        state=str(status.get("status")),
        params=run.config,
        summary={name: value for name, value in summary.items() if _is_number(value)},
        iterations=scalars.whole(status.get("iterations")),
        epochs=scalars.whole(status.get("epochs")),
        seconds=run.seconds,
        began=scalars.number(status.get("started")),
        updated=scalars.number(status.get("updated")),
        sweep=run.sweep,
        **whose(folder, run.origin),
    )


def whose(folder: Path, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return whose a run is that was fetched: somebody else's, where it is not known any more."""
    real = folder.resolve()
    kept = json_file.read(real.parent / f".{real.name}" / INDEX).get("facts")
    origin = {**kept, **origin} if isinstance(kept, dict) else origin  # a folder of the cache
    is_foreign = bool(origin.get("is_foreign", (folder / ORIGIN).exists()))
    return {"url": origin.get("url"), "owner": origin.get("owner"), "is_foreign": is_foreign}


def _is_number(value: object) -> bool:
    """Say whether a value is a number that a float reaches, or one that is none, as a loss may become."""
    return isinstance(value, float) or scalars.number(value) is not None


def digest_of_file(path: Path) -> str:
    """Return the MD5 sum of a file, as `StoredFile` has it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _walked(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _NOT_THE_RUNS or path.name.startswith(".") or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _walked(path)
        elif path.is_file():
            yield path
