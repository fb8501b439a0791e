"""A stored run as a folder of the experiments: as it would be had it run here, whole or not at all.

What `python -m jade pull` does. The files come through the cache, so that what was interrupted goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade import checkpoint_index, json_file, lock
from jade.errors import CheckpointError, ConfigError
from jade.stored.answer import Answer
from jade.stored.local_runs import ORIGIN, STATUS
from jade.stored.remote import FetchedSource
from jade.stored.source import Facts, StoredFile, digest_of_file
from jade.summary import BEST

CHECKPOINTS = ("last", "best", "all", "none")
_NAMES = {"last": (checkpoint_index.BACKUP,), "best": (checkpoint_index.BEST,), "none": ()}
# What wandb writes of its own accord; a run that was begun here has none of it in its folder.
_OF_WANDB = re.compile(
    r"config\.yaml|output\.log|requirements\.txt|diff\.patch|conda-environment\.yaml|wandb-.*"
)


@dataclass(frozen=True)
class Pulled:
    """What came of it.

    Attributes:
        folder: of the run.
        path: on W&B.
        changed: names of the files that are new or other than they were.
        size: of these, in bytes.
        was_there: whether the run was pulled before.
    """

    folder: Path
    path: str
    changed: tuple[str, ...]
    size: int
    was_there: bool


def pull(source: FetchedSource, into: Path, checkpoints: str = "all") -> Pulled:
    """Have a run's folder in `into`; bring it up to date if it was pulled before.

    Args:
        source: of the run.
        into: folder that gets the run's folder.
        checkpoints: which, one of `CHECKPOINTS`; an artifact has one, which is taken unless it says "none".

    Raises:
        ConfigError: if there is something else in its place.
        CheckpointError: if the disk does not take it, or the run has no such checkpoint.
        TrackingError: if the files do not come.
    """
    answer = source.answer()
    folder = into / _folder_name(answer.path)
    before = _before(folder, answer, source)
    names = _wanted(answer, checkpoints)
    source.fetch(names)
    answer = source.kept() or answer  # it may have been asked again meanwhile
    with _telling(into):
        into.mkdir(parents=True, exist_ok=True)
        with _beside(folder) as staged:
            changed = [name for name in names if not _is_same(folder / name, answer.files[name])]
            for name in changed:
                _copied(source.folder / name, staged / name)
            _write(staged, STATUS, None if STATUS in names else _status(answer.facts))
            # What is not asked for this time stays as it was; what the run has no more goes.
            files = {name: entry for name, entry in before.items() if name in answer.files}
            files |= {name: _entry(source.folder / name, answer.files[name]) for name in names}
            _write(staged, ORIGIN, {**_origin(answer, source), "files": files})
            _put(staged, folder, [name for name in before if name not in answer.files])
    size = sum(answer.files[name].size for name in changed)
    return Pulled(folder, answer.path, tuple(changed), size, bool(before))


def _folder_name(path: str) -> str:
    """Return the run's id, or the artifact's name and version, as the name of a folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", path.rpartition("/")[2])


def _wanted(answer: Answer, checkpoints: str) -> list[str]:
    """Return the names of the files that are to be there.

    Raises:
        CheckpointError: if the run has no such checkpoint.
    """
    names = [name for name in answer.files if not _OF_WANDB.fullmatch(name)]
    stored = [name for name in names if checkpoint_index.is_checkpoint(name)]
    if checkpoints == "all" or (answer.about and checkpoints != "none"):
        return names
    lacking = [name for name in _NAMES[checkpoints] if name not in stored]
    if lacking:
        raise CheckpointError(
            f"The run {answer.path} has no {lacking[0]}.",
            where=f"--checkpoints {checkpoints}",
            wanted=lacking[0],
            choices=stored,
        )
    if checkpoints == "none":
        stored.append(checkpoint_index.BEGINNING)
    return [name for name in names if name not in stored or name in _NAMES[checkpoints]]


def _before(folder: Path, answer: Answer, source: FetchedSource) -> Mapping[str, Any]:
    """Return the files that were pulled before, by name.

    Raises:
        ConfigError: if the folder is of something else, or was changed since.
    """
    if not folder.exists() and not folder.is_symlink():
        return {}
    known = json_file.read(folder / ORIGIN)
    if (known.get("path"), known.get("host")) != (answer.path, source.server.host):
        raise ConfigError(
            f"There is {folder} already, {_what_is_there(known)}.",
            where="--into",
            hint="Name another folder, --into DIR, or take that one away.",
        )
    if lock.is_owned(folder):
        raise ConfigError(f"A process trains in {folder} at present.", where="--into")
    files: Mapping[str, Any] = known.get("files", {})
    changed = [
        name for name, entry in files.items() if not _is_as_put(folder / name, entry, answer.files.get(name))
    ]
    if changed:
        raise ConfigError(
            f"What is in {folder} was changed since the run was pulled: {', '.join(changed[:5])}.",
            where="--into",
            hint="Name another folder, or take that one away: nothing of it is overwritten.",
        )
    return files


def _what_is_there(known: Mapping[str, Any]) -> str:
    if "path" not in known:
        return "which was not pulled: it may be the run itself"
    return f"which was pulled from {known['path']} of {known.get('server') or known.get('host')}"


def _is_as_put(path: Path, entry: Mapping[str, Any], listed: StoredFile | None) -> bool:
    """Say whether a file is what was put there, or what would be now: an update may have been interrupted."""
    if not path.is_file():  # taken away: it is put there again
        return True
    digest = digest_of_file(path)
    return digest == entry.get("digest") or (listed is not None and digest == listed.digest)


def _is_same(path: Path, wanted: StoredFile) -> bool:
    if not path.is_file() or path.stat().st_size != wanted.size:
        return False
    return wanted.digest is not None and digest_of_file(path) == wanted.digest


def _status(facts: Facts) -> dict[str, Any]:
    """Return what the run's own `status.json` would say, as far as the server knows it."""
    metrics = {
        name: {"last": value, "best": facts.summary.get(f"{name}{BEST}")}
        for name, value in facts.summary.items()
        if not (name.endswith(BEST) and name.removesuffix(BEST) in facts.summary)
    }
    known = {
        "run": facts.run_id,
        "status": facts.state,
        "name": facts.name,
        "iterations": facts.iterations,
        "epochs": facts.epochs,
        "started": facts.began,
        "updated": facts.updated,
        "runtime": facts.seconds,
        "metrics": metrics,
    }
    return {key: value for key, value in known.items() if value is not None}


def _entry(path: Path, listed: StoredFile) -> dict[str, Any]:
    return {"size": listed.size, "digest": listed.digest or digest_of_file(path)}


def _origin(answer: Answer, source: FetchedSource) -> dict[str, Any]:
    return {
        "path": answer.path,
        "server": source.server.address,
        "host": source.server.host,
        "owner": answer.facts.owner,
        "url": answer.facts.url,
        "is_foreign": answer.facts.is_foreign,
        "pulled": round(time.time(), 3),
        "artifact": dict(answer.about) or None,
    }


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside another one; those of processes that were killed are taken away."""
    begin = f".{folder.name}.pulled."
    for old in folder.parent.glob(f"{begin}*"):
        if not lock.lives(int(re.sub(r"\D", "", old.name.removeprefix(begin).partition(".")[0]) or 0)):
            shutil.rmtree(old, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{begin}{os.getpid()}.", dir=folder.parent))
    try:
        made.chmod(0o755)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _put(staged: Path, folder: Path, gone: Sequence[str]) -> None:
    """Put what is ready where it belongs: a new folder at once, else file by file, the origin last."""
    if not folder.exists():
        staged.rename(folder)
        return
    files = [path for path in sorted(staged.rglob("*")) if path.is_file()]
    for path in sorted(files, key=lambda path: path == staged / ORIGIN):
        target = folder / path.relative_to(staged)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    for name in gone:
        with contextlib.suppress(OSError):
            (folder / name).unlink()


def _copied(path: Path, target: Path) -> None:
    # Not a link: a run that goes on changes its files in place, and the cache must not change with them.
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _write(folder: Path, name: str, known: Mapping[str, Any] | None) -> None:
    if known is not None:
        (folder / name).write_text(json.dumps(known, indent=2), encoding="utf-8")


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or folder} cannot be written: {error.strerror or error}.", where="--into"
        ) from error
