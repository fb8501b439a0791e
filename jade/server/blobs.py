"""The contents of uploaded files, in one folder under names of the server's own.

A file's own name is only ever a value in the store, so that no name can lead anywhere. `runs` and
`artifacts` say which file a blob belongs to.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

FILES = "files"  # the folder of blobs, in that of a server's data
LONGEST_NAME = 1024  # bytes, as a path may have; it is a part of the file's address
_RESERVED = {"", ".", ".."}
# Control characters, ends of lines, and halves of characters, which no file system takes.
_UNNAMED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BLOB = re.compile(r"[0-9a-f]{32}(\.part)?")


class UnsafeNameError(ValueError):
    """A file's name would lead out of the folder that a client downloads it to."""


def checked_name(name: object) -> str:
    """Return the name of a file, if it is one that stays in its folder wherever it is downloaded to.

    Raises:
        UnsafeNameError: if it does not.
    """
    if not isinstance(name, str) or _UNNAMED.search(name) or len(name.encode()) > LONGEST_NAME:
        raise UnsafeNameError(f"{str(name)[:100]!r} is no name of a file.")
    parts = name.replace("\\", "/").split("/")
    if _RESERVED & set(parts) or PurePosixPath(name).is_absolute() or ":" in parts[0][1:2]:
        raise UnsafeNameError(f"{name[:100]!r} is no name of a file inside a folder.")
    return name


@dataclass
class Upload:
    """A blob that is being written.

    Attributes:
        name: the blob's name, once it is complete.
        size: bytes so far.
    """

    name: str
    path: Path
    file: BinaryIO
    size: int = 0
    sum: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def add(self, data: bytes) -> None:
        """Append some bytes."""
        self.file.write(data)
        self.sum.update(data)
        self.size += len(data)

    @property
    def md5(self) -> str:
        """The MD5 sum in base64, as W&B gives it."""
        return base64.b64encode(self.sum.digest()).decode()


class Blobs:
    """The blobs of one server."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return where a blob is."""
        return self._folder / name[:2] / name

    def begin(self) -> Upload:
        """Open a new blob, which counts only after `finish`."""
        name = secrets.token_hex(16)
        path = self.path(name)
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            sync(self._folder)
        part = path.with_suffix(".part")
        return Upload(name, part, part.open("wb"))

    def finish(self, upload: Upload) -> None:
        """Make a blob whole: on disk, under its name."""
        upload.file.flush()
        os.fsync(upload.file.fileno())
        upload.file.close()
        path = upload.path.rename(self.path(upload.name))
        sync(path.parent)

    def abandon(self, upload: Upload) -> None:
        """Delete a blob that was not completed."""
        with suppress(OSError):  # what is left to be written finds no room
            upload.file.close()
        upload.path.unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        """Delete a blob that nothing refers to any more."""
        self.path(name).unlink(missing_ok=True)

    def sync(self) -> None:
        """Let the names of all blobs survive the end of the machine."""
        for folder in (*self._folder.iterdir(), self._folder):
            if folder.is_dir():
                sync(folder)

    def clear(self, used: set[str]) -> int:
        """Delete what a server that was killed has left: parts, and blobs not in `used`; return how many.

        What is no blob is somebody else's, and stays.
        """
        found = [path for path in self._folder.glob("??/*") if _BLOB.fullmatch(path.name)]
        left = [path for path in found if path.name not in used]
        for path in left:
            path.unlink()
        return len(left)


def sync(folder: Path) -> None:
    """Let the names of files in a folder survive the end of the machine."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
