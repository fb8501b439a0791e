"""What a run leaves on disk, before any tracker hears of it: configuration, metrics, pictures, status.

One folder a run: `config.yml`, `yaml/`, `code/`, `environment.json`, `git.diff`, `metrics.jsonl`, `media/`,
`status.json`, and the checkpoints, which `checkpoint` writes; `init.pt`, which `begun` does.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import string
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jade import checkpoint_index, json_file, scalars, snapshot
from jade.config import Config
from jade.entries import Entry
from jade.errors import CheckpointError, ConfigError

LONGEST_NAME = 200  # bytes
SMALLEST_SIDE = 64  # pixels: below that an image is enlarged in the file
IMAGES_IN_A_ROW = 8
_SAYING = ("config.yml", "environment.json", "git.diff")  # what the run is
_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_log = logging.getLogger(__name__)
_ALPHABET = string.ascii_lowercase + string.digits


def new_run_id() -> str:
    """Return a fresh run id: eight small letters and digits, as W&B makes them."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(8))


class Record:
    """The folder of one run.

    Args:
        root: the experiments folder; `create` makes it if it is not there.
        run_id: name of the run's own folder; a fresh one if None.
        id_from: where the id was given, for errors.

    Attributes:
        rows: how many rows `metrics.jsonl` has.
        was_there: whether the folder is that of a run that goes on; set by who found it.
    """

    def __init__(self, root: Path, run_id: str | None = None, id_from: str = "WANDB_RUN_ID") -> None:
        if run_id is not None and not _RUN_ID.fullmatch(run_id):
            raise ConfigError(
                f"{run_id!r} is no run id; it has letters, digits, '-' and '_' only.", where=id_from
            )
        self._id_from = id_from
        self.run_id = run_id or new_run_id()
        self._root = root.absolute()  # the user's code may change the folder
        self.directory = self._root / self.run_id
        self._began = time.time()
        self.rows = 0
        self._status: dict[str, Any] = {}
        self._made_root = False
        self.was_there = False

    def create(self) -> None:
        """Make the folder.

        Raises:
            CheckpointError: if it cannot be made, or is there already.
        """
        root = self._root
        self._made_root = not root.exists()
        try:
            root.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir()
        except FileExistsError:
            if root.is_dir():
                problem, where = f"There is a run {self.run_id!r} in {root} already.", self._id_from
                hint = "--resume auto continues it."
            else:
                problem, where, hint = f"{root} is no folder.", "--experiments-root", None
            raise CheckpointError(problem, where=where, hint=hint) from None
        except OSError as error:
            raise CheckpointError(
                f"The run's folder {self.directory} cannot be made: {error.strerror}.",
                where="--experiments-root",
            ) from None

    @property
    def metrics_path(self) -> Path:
        """The file of the rows."""
        return self.directory / "metrics.jsonl"

    @property
    def runtime(self) -> float:
        """Seconds that the run has taken so far, without those between two of its processes."""
        return time.time() - self._began

    def reports(self) -> list[Path]:
        """Return the files that say how far the run has come, those that are there."""
        names = ("metrics.jsonl", "status.json", checkpoint_index.NAME)
        return [path for name in names if (path := self.directory / name).is_file()]

    def start_over(self) -> None:
        """Empty a folder whose run left nothing to continue from; damaged checkpoints get other names.

        Raises:
            CheckpointError: if the folder cannot be written.
        """
        with self._guarded("status.json"):
            (self.directory / checkpoint_index.BEGINNING).unlink(missing_ok=True)
            for path in sorted(self.directory.glob("*.pt")):
                path.replace(path.with_name(f"{path.name}.damaged"))
            for name in ("metrics.jsonl", "status.json", checkpoint_index.NAME, *_SAYING):
                (self.directory / name).unlink(missing_ok=True)
            for name in ("media", "yaml", "code"):
                shutil.rmtree(self.directory / name, ignore_errors=True)

    def continue_from(self, rows: int, runtime: float) -> list[dict[str, Any]]:
        """Go on after the first `rows` rows, and return them; what was logged after them is cut off.

        Args:
            rows: how many there were.
            runtime: seconds that the run had taken then.

        Raises:
            CheckpointError: if the file cannot be written.
        """
        self._status = json_file.read(self.directory / "status.json")
        self._began = time.time() - runtime
        self.rows = rows
        found = [(line, row) for line in _whole_lines(self.metrics_path) if (row := _row_of(line))]
        # By their numbers: a file that was deleted meanwhile begins later.
        by_number = {row.get("row"): (line, row) for line, row in found if _is_before(row, rows)}
        kept = [row for _, row in by_number.values()]
        if len(kept) < rows:
            _log.warning(
                "%s holds %d of the %d rows that were logged before the checkpoint.",
                self.metrics_path,
                len(kept),
                rows,
            )
        if self.metrics_path.exists():
            self._write("metrics.jsonl", "".join(f"{line}\n" for line, _ in by_number.values()))
        needed = {name for row in kept for name in row.get("files", {}).values()}
        for _, row in found:
            for name in set() if _is_before(row, rows) else set(row.get("files", {}).values()) - needed:
                with contextlib.suppress(OSError, ValueError):
                    self.media_file(name).unlink()
        return kept

    def media_file(self, name: str) -> Path:
        """Return the path of a file that a row names.

        Raises:
            ValueError: if it is not among the run's own: rows may have come from elsewhere.
        """
        path = self.directory / name
        if ".." in Path(name).parts or not path.is_relative_to(self.directory / "media"):
            raise ValueError(name)
        return path

    def sync(self) -> None:
        """Have every row on disk, as a checkpoint that counts them will be."""
        if self.metrics_path.exists():
            with self._guarded("metrics.jsonl") as path, path.open("rb") as file:
                os.fsync(file.fileno())

    def update_environment(self, **facts: Any) -> Path:  # noqa: ANN401 - any JSON value
        """Change facts of `environment.json`, which says how the run was begun; return its path."""
        path = self.directory / "environment.json"
        self._write(path.name, json.dumps(json_file.read(path) | facts, indent=2))
        return path

    def interrupted(self, **facts: Any) -> None:  # noqa: ANN401 - any JSON value
        """Add to the status where, when and how the run was continued."""
        known = self._status.get("interruptions", [])
        self._status["interruptions"] = [*known, {"continued": round(time.time(), 3), **facts}]

    def describe_config(self, config: Config) -> None:
        """Write every value as it is used."""
        self._write("config.yml", scalars.dump(dict(config.values)))

    def copy_code(self, project: Path, architecture: Path | None = None) -> list[str]:
        """Copy the code that is in use; return the files that were left out, with reasons.

        Code that was copied before is kept as `code.previous/`.
        """
        with self._guarded("code") as path:
            if path.exists():
                previous = path.with_name("code.previous")
                shutil.rmtree(previous, ignore_errors=True)
                path.rename(previous)
            return snapshot.copy_code(project, path, architecture)

    def describe(
        self,
        config: Config,
        project: Path,
        command: list[str],
        facts: Mapping[str, Any],
        architecture: Path | None = None,
    ) -> list[str]:
        """Write what says what this run is; return the code files that were left out, with reasons."""
        for section, text in config.texts.items():
            self._write(f"yaml/{section}.yml", text)
        commit, diff = snapshot.git_state(project)
        if diff:
            self._write("git.diff", diff)
        known = {**snapshot.environment(command), "git_commit": commit, **facts}
        self._write("environment.json", json.dumps(known, indent=2))
        left_out = self.copy_code(project, architecture)
        # Last, for a folder that has it has everything that a run is continued from.
        self.describe_config(config)
        return left_out

    def files(self) -> list[Path]:
        """Return the files that describe the run, sorted."""
        folders = [self.directory / name for name in ("yaml", "code")]
        found = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
        return sorted(
            found + [self.directory / name for name in _SAYING if (self.directory / name).is_file()]
        )

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> dict[str, Path]:
        """Append one row to `metrics.jsonl`, pictures and tables to `media/`.

        Returns:
            For each entry that became a file, its name and path.
        """
        values: dict[str, Any] = {}
        files: dict[str, Path] = {}
        for entry in entries:
            if entry.kind == "scalar":
                values[entry.name] = entry.value
                continue
            files[entry.name] = self._media(entry, iterations)
        now = time.time()
        row: dict[str, Any] = {"row": self.rows, "iterations": iterations, "epochs": epochs}
        row |= {"time": round(now, 3), "runtime": round(now - self._began, 3), "metrics": values}
        if files:
            row["files"] = {name: str(path.relative_to(self.directory)) for name, path in files.items()}
        with self._guarded("metrics.jsonl") as path, path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.rows += 1
        return files

    def update_status(self, status: str, **facts: Any) -> None:  # noqa: ANN401 - any JSON value
        """Replace `status.json`: `status` is "running", "finished", "failed" or "stopped"."""
        now = round(time.time(), 3)
        self._status |= {"run": self.run_id, "status": status, "pid": os.getpid(), "updated": now, **facts}
        self._status.setdefault("started", round(self._began, 3))
        self._write("status.json", json.dumps(self._status, indent=2))

    def remove(self) -> None:
        """Take the folder away again: the run did not come to be."""
        shutil.rmtree(self.directory, ignore_errors=True)
        if self._made_root:
            with contextlib.suppress(OSError):  # another run has begun there meanwhile
                self._root.rmdir()

    def _media(self, entry: Entry, iterations: int) -> Path:
        suffix, write = _WRITERS[entry.kind]
        name = f"media/{file_name(entry.name)}/{iterations}{suffix}"
        with self._guarded(name) as path:
            write(path, entry.value)
        return self.directory / name

    def _write(self, name: str, text: str) -> None:
        with self._guarded(name) as path:
            temporary = path.with_name(f".{path.name}.tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)

    def _guarded(self, name: str) -> _Guarded:
        return _Guarded(self.directory / name)


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of a file that were written to their end."""
    if not path.exists():
        return []
    return path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]


def _is_before(row: Mapping[str, Any], rows: int) -> bool:
    return isinstance(row.get("row"), int) and row["row"] < rows


def _row_of(line: str) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def write_media(folder: Path, name: str, kind: str, value: Any) -> Path:  # noqa: ANN401 - as entries have it
    """Write what an evaluation has returned to a file in `folder`, and return its path.

    Raises:
        CheckpointError: if it cannot be written.
    """
    suffix, write = _WRITERS[kind]
    with _Guarded(folder / f"{file_name(name)}{suffix}") as path:
        write(path, value)
    return path


def file_name(name: str) -> str:
    """Return a name that a file system takes, another one for each `name`."""
    forbidden = '/%\\:*?"<>|'
    plain = "".join(quote(c, safe="") if c in forbidden or c < " " else c for c in name)
    if plain.strip(".") and len(plain.encode()) <= LONGEST_NAME:
        return plain
    short = plain.encode()[: LONGEST_NAME - 10].decode(errors="ignore").strip(".")
    return f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


class _Guarded:
    """Makes the folder of a file, and tells an error of the disk as one that a user can mend."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        try:
            if not self._path.parent.is_dir():
                self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{self._path.parent} cannot be made: {error.strerror}.") from error
        return self._path

    def __exit__(self, kind: object, error: BaseException | None, tb: object) -> None:
        if isinstance(error, OSError):
            raise CheckpointError(f"{self._path} cannot be written: {error.strerror or error}.") from error


def _write_figure(path: Path, figure: Any) -> None:  # noqa: ANN401 - a matplotlib figure
    figure.savefig(path, dpi=150, bbox_inches="tight")
    if "matplotlib.pyplot" in sys.modules:  # which keeps every figure that it made until it is closed
        sys.modules["matplotlib.pyplot"].close(figure)


def _write_images(path: Path, images: list[Any]) -> None:
    from PIL import Image  # comes with matplotlib; only runs that draw need it

    largest = max(max(image.shape[:2]) for image in images)
    factor = max(1, SMALLEST_SIDE // largest)  # pixels of a small image are shown as squares
    images = [image.repeat(factor, axis=0).repeat(factor, axis=1) for image in images]
    height, width = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    columns = min(len(images), IMAGES_IN_A_ROW)
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + 2) - 2, rows * (height + 2) - 2), "white")
    for index, image in enumerate(images):
        sheet.paste(Image.fromarray(image), (index % columns * (width + 2), index // columns * (height + 2)))
    sheet.save(path)


def _write_histogram(path: Path, values: Any) -> None:  # noqa: ANN401 - a numpy array
    import numpy as np  # only runs that log histograms need it here

    values = values.astype(np.uint8) if values.dtype.kind == "b" else values
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    counts, edges = np.histogram(finite, bins=64)
    known = {"counts": counts.tolist(), "edges": edges.tolist(), "not_finite": int(values.size - finite.size)}
    path.write_text(json.dumps(known))


def _write_table(path: Path, table: tuple[list[str], list[list[object]]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([table[0], *table[1]])


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


_WRITERS: dict[str, tuple[str, Callable[[Path, Any], None]]] = {
    "figure": (".png", _write_figure),
    "images": (".png", _write_images),
    "histogram": (".json", _write_histogram),
    "table": (".csv", _write_table),
    "text": (".txt", _write_text),
}
