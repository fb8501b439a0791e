"""Copies of stored runs on this machine: a folder for each, with the files that were asked for, whole.

A copy is laid out as the run's own folder. Beside it, hidden, are what the server said of the run last, what
is not whole yet, and a lock: processes that fetch the same run wait for one another. `remote` asks the
server.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from jade import json_file, progress
from jade.errors import CheckpointError, TrackingError
from jade.stored.answer import Answer
from jade.stored.source import INDEX, StoredFile, digest_of_file

NOTED_SECONDS = 2.0  # between two notes of which files are whole
ROUNDS = 4  # of listing a run's files: one that trains may replace them meanwhile

_log = logging.getLogger(__name__)


def root(environ: Mapping[str, str]) -> Path:
    """Return the folder of all copies: `JADE_CACHE`, or the user's own place for such things."""
    if environ.get("JADE_CACHE"):
        return Path(environ["JADE_CACHE"]).expanduser().absolute()
    if environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"]).expanduser().absolute() / "jade"
    return Path(environ.get("HOME") or Path.home()) / ".cache" / "jade"


def paths(cache: Path, server: str, run_id: str) -> list[str]:
    """Return the paths, entity/project/id, of the copies that there are of runs of an id."""
    found = (cache / _plain(server)).glob(f"*/*/.{_plain(run_id)}/{INDEX}")
    known = (json_file.read(path) for path in sorted(found))
    return [str(one["path"]) for one in known if "path" in one]


def note_alias(cache: Path, server: str, path: str, version: str) -> None:
    """Keep which version an alias of an artifact is.

    Args:
        cache: folder of all copies.
        server: its name.
        path: `entity/project/name:alias`.
        version: `entity/project/name:v3`.

    Raises:
        CheckpointError: if the folder cannot be written.
    """
    place = _aliases(cache, server, path)
    with _telling(cache):
        known = json_file.read(place)
        if known.get(path) != version:
            place.parent.mkdir(parents=True, exist_ok=True)
            json_file.write(place, {**known, path: version})


def aliased(cache: Path, server: str, path: str) -> str:
    """Return the version that an alias of an artifact was last; the path itself if that is not known."""
    return str(json_file.read(_aliases(cache, server, path)).get(path, path))


class Copy:
    """What is here of one run.

    Args:
        cache: folder of all copies.
        server: its name.
        path: of the run, `entity/project/id`, or of an artifact, `entity/project/name:v3`.

    Attributes:
        folder: of the run's files.
    """

    def __init__(self, cache: Path, server: str, path: str) -> None:
        *above, name = (_plain(part) for part in path.split("/"))
        place = cache.joinpath(_plain(server), *above)
        self.folder = place / name
        self._aside = place / f".{name}"
        self._cache = cache
        self._path = path

    def known(self) -> Answer | None:
        """Return what the server has said last; None if it was never asked."""
        try:
            return Answer.from_json(json_file.read(self._aside / INDEX))
        except ValueError:
            return None

    def missing(self, names: Iterable[str], answer: Answer) -> list[str]:
        """Return the names of files that are not here as an answer lists them."""
        fetched = json_file.read(self._aside / INDEX).get("fetched", {})
        return [name for name in names if not self._is_whole(name, answer.files[name], fetched.get(name))]

    def enter(self, answer: Answer) -> None:
        """Keep what the server says; take away what the run has no more.

        Nothing is done while another process fetches the run: it does so itself.

        Raises:
            CheckpointError: if the folder cannot be written.
        """
        with self._alone(waits=False) as is_alone:
            if is_alone:
                self._enter(answer)

    def fetch(self, names: Sequence[str], answer: Answer, again: Callable[[], Answer]) -> None:
        """Have files here, whole, as an answer lists them.

        Args:
            names: of files that the answer has.
            answer: what the server has just said.
            again: asks it again; called where what it said proves to be out of date.

        Raises:
            CheckpointError: if the folder cannot be written.
            TrackingError: if a file does not come whole.
        """
        # requests takes a moment, which a run that is here already does not need.
        from jade.stored.download import StaleError

        with self._alone():
            for _ in range(ROUNDS):
                self._enter(answer)
                missing = self.missing(names, answer)
                if not missing:
                    return
                try:
                    self._download(missing, answer)
                except StaleError as error:
                    reason, answer = error, again()
                    _check(names, answer)
        raise TrackingError(f"The files of {self._path} do not come whole: {reason}")

    def _download(self, names: Sequence[str], answer: Answer) -> None:
        from jade.stored.download import Wanted, download_all

        wanted = [
            Wanted(name, answer.addresses[name], file, self._part(name, file))
            for name, file in ((name, answer.files[name]) for name in names)
        ]
        total = sum(one.file.size for one in wanted)
        put: dict[str, Any] = {}
        written = time.monotonic()

        def done(one: Wanted) -> None:
            nonlocal written
            put[one.name] = self._put(one.name, one.part, one.file)
            # Not for each: a run may have thousands of pictures, and what is not noted is verified again.
            if time.monotonic() - written > NOTED_SECONDS:
                self._note(put)
                written = time.monotonic()

        try:
            with progress.transfer(f"fetching {self._path}", total, len(wanted)) as told:
                download_all(wanted, told, done)
        finally:
            self._note(put)

    def _part(self, name: str, wanted: StoredFile) -> Path:
        """Return where a file is written; what is left there is of the same contents."""
        folder = self._aside / "parts"
        folder.mkdir(parents=True, exist_ok=True)
        # What has another digest is of no use any more, and what has none may be of anything.
        begin = hashlib.sha256(name.encode()).hexdigest()[:20]
        part = folder / f"{begin}-{wanted.digest or 'unknown'}"
        for old in folder.glob(f"{begin}-*"):
            if old != part or wanted.digest is None:
                old.unlink()
        return part

    def _note(self, put: Mapping[str, Any]) -> None:
        index = json_file.read(self._aside / INDEX)
        self._write({**index, "fetched": {**index.get("fetched", {}), **put}})

    def _put(self, name: str, part: Path, wanted: StoredFile) -> dict[str, Any]:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        return {**vars(wanted), "mtime_ns": path.stat().st_mtime_ns, "when": round(time.time(), 3)}

    def _is_whole(self, name: str, wanted: StoredFile, entry: Mapping[str, Any] | None) -> bool:
        try:
            status = (self.folder / name).stat()
        except OSError:
            return False
        if status.st_size != wanted.size:
            return False
        if entry is None or status.st_mtime_ns != entry.get("mtime_ns"):
            # It was touched, or copied with the folder, or put there just before a process was killed.
            return wanted.digest is not None and digest_of_file(self.folder / name) == wanted.digest
        if wanted.digest is None:
            return bool(entry.get("modified") == wanted.modified)
        return bool(entry.get("digest") == wanted.digest)

    def _enter(self, answer: Answer) -> None:
        fetched = json_file.read(self._aside / INDEX).get("fetched", {})
        for name in [name for name in fetched if name not in answer.files]:
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
            del fetched[name]
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write({**answer.to_json(), "asked": round(time.time(), 3), "fetched": fetched})

    def _write(self, index: Mapping[str, Any]) -> None:
        json_file.write(self._aside / INDEX, index)

    @contextlib.contextmanager
    def _alone(self, *, waits: bool = True) -> Iterator[bool]:
        """Let no other process fetch the same run meanwhile; give whether that is so."""
        with _telling(self._cache):
            self._aside.mkdir(parents=True, exist_ok=True)
            with (self._aside / "lock").open("w") as file:
                yield _is_locked(file) or (waits and _waited(file, self._path))


@contextlib.contextmanager
def _telling(cache: Path) -> Iterator[None]:
    """Tell an error of the disk as one that a user can mend."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"The cache cannot be written: {error.strerror or error}.",
            where=str(error.filename or cache),
            hint="JADE_CACHE names another folder for it.",
        ) from error


def _is_locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _waited(file: IO[str], path: str) -> bool:
    _log.info("Another process is fetching %s: waiting for it.", path)
    fcntl.flock(file, fcntl.LOCK_EX)
    return True


def _check(names: Iterable[str], answer: Answer) -> None:
    gone = [name for name in names if name not in answer.files]
    if gone:
        raise CheckpointError(
            f"The run {answer.path} has no {', '.join(gone)}.", wanted=gone[0], choices=answer.files
        )


def _aliases(cache: Path, server: str, path: str) -> Path:
    entity, project, name = (_plain(part) for part in path.split("/"))
    return cache / _plain(server) / entity / project / f".{name.partition(':')[0]}.aliases.json"


def _plain(name: str) -> str:
    """Return a name that is one folder's, another one for each `name`."""
    found = quote(name, safe=":@+=, ")
    return f"%2E{found[1:]}" if found.startswith(".") else found
