"""The files of a run as its page lists them, checkpoints first, and the artifacts it has to do with."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass

MOST = 500  # rows of the list
BACKUP = "model.pt"
_CHECKPOINT = re.compile(r"checkpoint_(\d{1,18})\.pt")
# What a browser may show by itself; SVG is not among them, for it may hold scripts.
IMAGES = {
    "bmp": "image/bmp", "gif": "image/gif", "jpeg": "image/jpeg", "jpg": "image/jpeg", "png": "image/png",
    "webp": "image/webp",
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """A file of a run; `role` says what a checkpoint is, and is "" for all others."""

    name: str
    size: int
    updated_at: float
    role: str

    @property
    def is_image(self) -> bool:
        """Whether a browser can show it."""
        return image_type(self.name) is not None


@dataclass(frozen=True)
class Files:
    """What is listed: the checkpoints, and the others, of which there are `count`, `matching` the filter."""

    checkpoints: list[File]
    others: list[File]
    matching: int
    count: int


@dataclass(frozen=True)
class Artifact:
    """A version of an artifact that a run has logged or used."""

    role: str
    name: str
    type: str
    aliases: list[str]
    size: int
    file_count: int


def image_type(name: str) -> str | None:
    """Return the media type of an image that may be shown; None for all other files."""
    return IMAGES.get(name.rpartition(".")[2].lower())


def of_run(db: sqlite3.Connection, run: int, wanted: str = "") -> Files:
    """Return the files of a run: those with each word of `wanted` in their name, and all checkpoints."""
    rows = db.execute("SELECT name, size, updated_at FROM files WHERE run = ?", (run,)).fetchall()
    known = [File(row["name"], row["size"], row["updated_at"], _role(row["name"])) for row in rows]
    checkpoints = sorted((file for file in known if file.role), key=_newest_first)
    others = sorted(
        (file for file in known if not file.role), key=lambda file: (file.name.count("/"), file.name)
    )
    words = wanted.lower().split()
    matching = [file for file in others if all(word in file.name.lower() for word in words)]
    return Files(checkpoints, matching[:MOST], len(matching), len(others))


def _role(name: str) -> str:
    if name == BACKUP:
        return "newest backup"
    if found := _CHECKPOINT.fullmatch(name):
        return f"checkpoint at iteration {int(found[1])}"
    return "saved model" if name.endswith((".pt", ".pth", ".ckpt", ".safetensors")) else ""


def _newest_first(file: File) -> tuple[bool, float, str]:
    found = _CHECKPOINT.fullmatch(file.name)
    return file.name != BACKUP, -int(found[1]) if found else 1.0, file.name


def artifacts(db: sqlite3.Connection, run: int) -> list[Artifact]:
    """Return the artifacts that a run has logged, then those it has used."""
    rows = db.execute(
        "SELECT artifact_runs.role, collections.name, collections.type, artifacts.version, artifacts.size,"
        " artifacts.file_count,"
        " (SELECT json_group_array(alias) FROM aliases WHERE artifact = artifacts.id) AS aliases"
        " FROM artifact_runs JOIN artifacts ON artifacts.id = artifact_runs.artifact"
        " JOIN collections ON collections.id = artifacts.collection"
        " WHERE artifact_runs.run = ? AND artifacts.state = 'COMMITTED'"
        " ORDER BY artifact_runs.role DESC, collections.name, artifacts.version",
        (run,),
    ).fetchall()
    return [
        Artifact(
            "logged" if row["role"] == "output" else "used",
            f"{row['name']}:v{row['version']}",
            row["type"],
            json.loads(row["aliases"]),
            row["size"],
            row["file_count"],
        )
        for row in rows
    ]
