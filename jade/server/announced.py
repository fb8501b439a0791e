"""The file in which a running server says where it is reached, in the folder of its data.

It is removed when the server ends. One that was killed leaves it: then `server.lock` is held by nobody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "server.json"


@dataclass(frozen=True)
class Announcement:
    """What is said of a running server.

    Attributes:
        url: where it is reached.
        pid: its process.
        entity: whose runs are those that name no entity.
        needs_key: whether each request needs the server's own key; else any key will do.
    """

    url: str
    pid: int
    entity: str
    needs_key: bool


def announce(folder: Path, announcement: Announcement) -> None:
    """Write the file, whole or not at all."""
    part = folder / f"{FILE}.part"
    part.write_text(json.dumps(asdict(announcement)) + "\n")
    part.replace(folder / FILE)


def withdraw(folder: Path) -> None:
    """Remove the file, if there is one."""
    (folder / FILE).unlink(missing_ok=True)
