"""Files of a run's state: written whole or not at all, verified when read, read without executing anything.

What is in them is `state`'s and `loop`'s affair. The folder's names: numbered checkpoints are kept, the
backup is replaced and its predecessor kept beside it, `best.pt` is replaced by a better one.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from jade import checkpoint_index
from jade.checkpoint_index import BACKUP, BEST, PREVIOUS, number_of
from jade.errors import CheckpointError

FORMAT = 1
_KEYS = {"format", "iterations", "epochs", "attributes"}
# A checkpoint is a zip archive, as torch writes it, whose comment is this digest of all that comes before.
# Programs that know nothing of it read the archive as ever.
_COMMENT = b"jade-sha256:"
_TRAILER = len(_COMMENT) + 64

_Found = tuple[Path, dict[str, Any]]  # a file, and what it holds

_log = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints in one folder.

    Args:
        folder: where they are; it must exist.
        kept: how many numbered ones are kept, the newest; None for all.
    """

    def __init__(self, folder: Path, kept: int | None = None) -> None:
        self.folder = folder
        self._kept = kept
        self._has_written = False

    def save_numbered(self, state: Mapping[str, Any]) -> Path:
        """Write `checkpoint_<iterations>.pt`, which is kept, and return its path."""
        return self._listed(checkpoint_index.numbered(state["iterations"]), state)

    def save_best(self, state: Mapping[str, Any]) -> Path:
        """Replace `best.pt`, and return its path."""
        return self._listed(BEST, state)

    def has_best(self) -> bool:
        """Say whether `best.pt` is there, and as it was written."""
        return _is_whole(self.folder / BEST)

    def _listed(self, name: str, state: Mapping[str, Any]) -> Path:
        checkpoint_index.forget(self.folder, name)
        write(self.folder / name, state)
        checkpoint_index.note(self.folder, {name: _facts(name, state)})
        return self.folder / name

    def drop_surplus(self) -> list[Path]:
        """Delete the oldest numbered checkpoints beyond those to be kept, and return their paths."""
        numbered = self.numbered()
        surplus = [] if self._kept is None else numbered[: max(0, len(numbered) - self._kept)]
        for path in surplus:
            path.unlink(missing_ok=True)
        checkpoint_index.forget(self.folder, *(path.name for path in surplus))
        return surplus

    def save_backup(self, state: Mapping[str, Any]) -> Path:
        """Replace `model.pt`, keep the one before as `model.previous.pt`, and return the path."""
        path = self.folder / BACKUP
        before = checkpoint_index.forget(self.folder, BACKUP, PREVIOUS).get(BACKUP)
        with _replacing(path) as temporary:
            _dump(temporary, state)
            # A damaged backup of an earlier process must not take the place of the whole one before it.
            if path.exists() and (self._has_written or _is_whole(path)):
                _keep_as(path, self.folder / PREVIOUS)
            else:
                before = None
        previous = {PREVIOUS: before} if before else {}
        checkpoint_index.note(self.folder, {**previous, BACKUP: _facts(BACKUP, state)})
        if not self._has_written:
            self._clear_away()
        self._has_written = True
        return path

    def numbered(self) -> list[Path]:
        """Return the numbered checkpoints, oldest first."""
        found = {number_of(path.name): path for path in self.folder.glob("*.pt")}
        return [found[iterations] for iterations in sorted(number for number in found if number is not None)]

    def newest(self, device: torch.device | None = None) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest whole checkpoint, and what it holds; None if there are no files at all.

        The backup, unless a numbered one or the best one is newer; where it is damaged, the backup before,
        then numbered ones. What was passed over is named in a warning.

        Args:
            device: where tensors go, as `read` has it.

        Raises:
            CheckpointError: if there are files, and none of them can be read.
        """
        wrong: list[CheckpointError] = []
        found = self._best_or(self._backup_or_numbered(wrong, device), wrong, device)
        told = " ".join(str(error) for error in wrong)
        if found is not None and wrong:
            _log.warning("%s It is left out; %s is used instead.", told, found[0])
        if found is None and wrong:
            raise CheckpointError(
                f"No checkpoint in {self.folder} can be read.", hint="\n".join(str(error) for error in wrong)
            )
        return found

    def _backup_or_numbered(self, wrong: list[CheckpointError], device: torch.device | None) -> _Found | None:
        numbered = self.numbered()[::-1]
        for backup in (path for name in (BACKUP, PREVIOUS) if (path := self.folder / name).exists()):
            try:
                state = read(backup, device)
            except CheckpointError as error:
                wrong.append(error)
                self._has_written = False
                continue
            newer = [path for path in numbered if (number_of(path.name) or 0) > state["iterations"]]
            return _first_whole(newer, wrong, device) or (backup, state)
        return _first_whole(numbered, wrong, device)

    def _best_or(
        self, found: _Found | None, wrong: list[CheckpointError], device: torch.device | None
    ) -> _Found | None:
        """Return the best state where the run has written nothing since, else what was found.

        So the best state is never of a future that the run, gone on with otherwise, does not come to.
        """
        path = self.folder / BEST
        if not path.exists():
            return found
        try:
            # Two models need not be in memory to be compared.
            reached = _reached(read(path, mapped=True))
            is_further = reached > (_reached(found[1]) if found else (0, 0, 0))
            return (path, read(path, device)) if is_further else found
        except CheckpointError as error:
            wrong.append(error)
            return found

    def _clear_away(self) -> None:
        """Delete what a process that was killed left half written; one process at a time owns the folder."""
        for path in self.folder.glob(".*.pt.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()

    def put_aside(self) -> None:
        """Give every checkpoint a name that no reading looks for."""
        named = [self.folder / name for name in (BACKUP, PREVIOUS, BEST)] + self.numbered()
        checkpoint_index.forget(self.folder, *(path.name for path in named))
        for path in named:
            if path.exists():
                path.replace(path.with_name(f"{path.name}.damaged"))


def _first_whole(
    paths: list[Path], wrong: list[CheckpointError], device: torch.device | None
) -> _Found | None:
    for path in paths:
        try:
            return path, read(path, device)
        except CheckpointError as error:
            wrong.append(error)
    return None


def _reached(state: Mapping[str, Any]) -> tuple[int, int, int]:
    """Return how far a run had come, so that one of two states is the later one."""
    journal = state.get("journal")
    return state["iterations"], state["epochs"], journal["rows"] if state["iterations"] and journal else 0


def _facts(name: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of a file that was written just now."""
    facts = {"iterations": state["iterations"], "epochs": state["epochs"], "time": round(time.time(), 3)}
    best = state.get("best") if name == BEST else None
    return facts | {key: best[key] for key in ("metric", "mode", "value")} if best else facts


def write(path: Path, state: Mapping[str, Any]) -> None:
    """Write `state` to `path`, whole or not at all.

    Raises:
        CheckpointError: if the folder cannot be written or the disk is full; what was there before stays.
    """
    with _replacing(path) as temporary:
        _dump(temporary, state)


def read(path: Path, device: torch.device | None = None, *, mapped: bool = False) -> dict[str, Any]:
    """Return the state that `path` holds, without executing anything it may contain.

    Args:
        path: the file.
        device: where tensors go that were on a GPU; the CPU if None. Those that were on the CPU stay there.
        mapped: whether tensors are left in the file until they are used.

    Raises:
        CheckpointError: if the file is missing, damaged, no checkpoint or of a newer format.
    """
    try:
        _verify(path)
        # A lazy layer that was never called has parameters without a shape, which torch does not expect.
        with torch.serialization.safe_globals([UninitializedParameter, UninitializedBuffer]):
            state = torch.load(path, map_location=_placed(device), weights_only=True, mmap=mapped)
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint {path}.") from None
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: it is damaged, or none ({type(error).__name__})."
        ) from error
    if not isinstance(state, dict) or not set(state) >= _KEYS or not isinstance(state["format"], int):
        raise CheckpointError(f"{path} is no checkpoint of JADE.")
    if state["format"] > FORMAT:
        raise CheckpointError(
            f"{path} has the format {state['format']}; this version of JADE reads up to {FORMAT}."
        )
    return state


def _placed(device: torch.device | None) -> Any:  # noqa: ANN401 - what torch.load takes
    if device is None or device.type == "cpu":
        return "cpu"

    def place(storage: Any, location: str) -> Any:  # noqa: ANN401 - torch's untyped storages
        return storage if location == "cpu" else storage.to(device=device)

    return place


def _is_whole(path: Path) -> bool:
    try:
        _verify(path)
    except (CheckpointError, OSError):
        return False
    return True


def _verify(path: Path) -> None:
    """Compare a file with the digest that it ends with."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TRAILER))
        trailer = file.read()
        if size <= _TRAILER or not trailer.startswith(_COMMENT):
            raise CheckpointError(f"The checkpoint {path} is damaged, or none: it does not end as one does.")
        file.seek(0)
        digest = hashlib.sha256()
        left = (
            size - _TRAILER - 2
        )  # the last two bytes, the length of the comment, were written after the digest
        while left and (block := file.read(min(left, 1 << 20))):
            digest.update(block)
            left -= len(block)
        if file.read(2) != _TRAILER.to_bytes(2, "little") or digest.hexdigest().encode() != trailer[-64:]:
            raise CheckpointError(f"The checkpoint {path} is damaged: it is not what was written.")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, which replaces it if the block ends well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


class _Digested:
    """A file that is written from beginning to end, and the digest of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._last = b""

    def write(self, data: Any) -> int:  # noqa: ANN401 - bytes, or a view of a tensor's memory
        # All but the last two bytes, which are to change.
        view = memoryview(data).cast("B")
        if len(view) < 2:
            view = memoryview(self._last + view)
        else:
            self._digest.update(self._last)
        self._digest.update(view[:-2])
        self._last = bytes(view[-2:])
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> None:
        """Make the digest the comment of the archive, whose last two bytes are its length."""
        self._file.seek(-2, os.SEEK_END)
        self._file.write(_TRAILER.to_bytes(2, "little"))
        self._file.write(_COMMENT + self._digest.hexdigest().encode())


def _dump(path: Path, state: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        digested = _Digested(file)
        try:
            torch.save(dict(state), digested)  # type: ignore[arg-type]  # it writes, and nothing else
        except RuntimeError as error:
            # torch wraps the error of a failed write; the file system's own reason is the useful one.
            reason = error.__context__ if isinstance(error.__context__, OSError) else None
            raise reason or OSError(str(error)) from error
        digested.finish()
        file.flush()
        os.fsync(file.fileno())


def _keep_as(path: Path, previous: Path) -> None:
    temporary = previous.with_name(f".{previous.name}.{os.getpid()}.tmp")
    try:
        os.link(path, temporary)
        temporary.replace(previous)
    except OSError:  # a file system without hard links: for a moment there is only the previous backup
        path.replace(previous)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot; the file itself is on disk already
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
