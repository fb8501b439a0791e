"""What a server answers of a stored run: its facts, its files, and where each of them is got.

A server may be anybody's: a name that would lead out of the run's folder is nobody's file. The edge
`tracking/wandb_files` makes answers, `cache` keeps them.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from jade.errors import TrackingError
from jade.stored.source import Facts, StoredFile

LONGEST_NAME = 1024  # bytes, as a path may have
LONGEST_PART = 240  # of a name on most file systems, with an ending of ours
# Where a folder was fetched from, and who works in it, is said by who did that: never by the run.
_OURS = ("pulled.json", "lock", "wandb")
# What Python would take in the place of a source that somebody has read; no copy of code has it.
_UNREADABLE = re.compile(r"(?i)(?:.*/)?__pycache__/.*|.*\.(?:py[cod]|so)")
# Control characters, ends of lines, and halves of characters, which no file system takes.
_UNNAMED = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\\]")

_log = logging.getLogger(__name__)


class UnknownRunError(TrackingError):
    """A server has no such run or artifact.

    Attributes:
        known: ids that it has in that place.
    """

    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Address:
    """Where a file is got.

    Attributes:
        url: of http or https.
        key: to be shown there as the password of the user `api`; None for an address that allows it itself.
    """

    url: str
    key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """What a server has said of a run, or of an artifact.

    Attributes:
        path: `entity/project/id`, or `entity/project/name:v3` of an artifact.
        facts: of the run.
        files: by name.
        addresses: where files are got, by name; empty in an answer that was kept.
        about: metadata and aliases of an artifact.
    """

    path: str
    facts: Facts
    files: Mapping[str, StoredFile]
    addresses: Mapping[str, Address] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {
            "path": self.path,
            "facts": asdict(self.facts),
            "files": {name: asdict(file) for name, file in self.files.items()},
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Answer:
        """Return an answer as it was kept.

        Raises:
            ValueError: if it is damaged.
        """
        try:
            files = {str(name): StoredFile(**file) for name, file in known["files"].items()}
            about = dict(known["about"])
            return cls(str(known["path"]), Facts(**known["facts"]), files, about=about)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(str(error)) from error


def digest_of(text: str | None) -> str | None:
    """Return an MD5 sum, which W&B gives in base64, in hexadecimal digits; None if it is none."""
    if text is None or re.fullmatch(r"[0-9a-f]{32}", text):
        return text
    try:
        found = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return found.hex() if len(found) == hashlib.md5(usedforsecurity=False).digest_size else None


def safe(names: Iterable[str], whose: str) -> list[str]:
    """Return the names that stay in the run's folder, wherever it is; say which do not."""
    listed = list(names)
    found = [name for name in listed if _is_safe(name)]
    odd = [name for name in listed if not _is_safe(name)]
    if odd:
        _log.warning("Left out of %s, for what they are called: %s.", whose, ", ".join(map(ascii, odd[:5])))
    return found


def _is_safe(name: str) -> bool:
    if _UNNAMED.search(name) or len(name.encode()) > LONGEST_NAME or PurePosixPath(name).is_absolute():
        return False
    parts = name.split("/")
    if any(part in ("", ".", "..") or len(part.encode()) > LONGEST_PART for part in parts):
        return False
    # Some disks do not tell letters from capitals.
    is_ours = parts[0].casefold() in _OURS or parts[0].startswith(".")
    return not is_ours and not _UNREADABLE.fullmatch(name)
