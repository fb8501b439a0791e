"""What a run remembers of where it came from: its code, the git commit, the packages, the machine.

Reads the project's folder and copies from it; where the copies go is said by `record`'s folder.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jade import isolated

LARGEST_FILE = 1024 * 1024
LARGEST_DIFF = 5 * 1024 * 1024
GIT_SECONDS = 10
# A diff that `git apply` takes, whatever the user has set: no colours, no other program, usual prefixes.
_DIFF = ("diff", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
# Files that hold what must not leave the machine, or that are no part of the code.
_LEFT_OUT_SUFFIXES = {".pyc", ".pem", ".key", ".env", ".pt", ".log", ".out", ".err"}


def copy_code(project: Path, into: Path, architecture: Path | None = None) -> list[str]:
    """Copy every imported file inside `project`, and the text files beside them, to `into`.

    Args:
        project: the folder with `modules/`.
        into: the folder that receives them under the same relative paths; it is made.
        architecture: the architecture file; one outside of the project is copied to `outside/`.

    Returns:
        For each file that was left out, its path and why.
    """
    imported = set(_imported_files(project))
    wanted = {path: into / path.relative_to(project) for path in imported | set(_beside(imported))}
    if architecture is not None and not architecture.is_relative_to(project):
        wanted[architecture] = into / "outside" / architecture.name
    left_out: list[str] = []
    for path, target in sorted(wanted.items()):
        reason = _reason_to_leave(path)
        if reason:
            left_out.append(f"{target.relative_to(into)} ({reason})")
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return left_out


def digest(copied: Path) -> str:
    """Return the SHA-256 of a copy of code: of the path and contents of each file that Python may read."""
    return isolated.digest_of(isolated.contents(copied))


def differences(copied: Path, project: Path, architecture: Path | None = None) -> list[str]:
    """Return the files of a copy whose originals are other ones now, or gone, relative to it and sorted.

    Args:
        copied: what `copy_code` wrote.
        project: the project's folder now.
        architecture: the architecture file, where it lies outside of the project.
    """
    found: list[str] = []
    for path in sorted(path for path in copied.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        relative = path.relative_to(copied)
        original = project / relative
        if relative.parts[0] == "outside" and not original.exists() and architecture is not None:
            original = architecture
        try:
            same = original.read_bytes() == path.read_bytes()
        except OSError:
            same = False
        if not same:
            found.append(str(relative))
    return found


def _imported_files(project: Path) -> Iterator[Path]:
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not name:
            continue
        path = Path(name).absolute()  # unresolved: a link inside the project is part of it
        if not path.is_relative_to(project) or _is_environment(path.relative_to(project)):
            continue
        if not _is_of_python(path) and path.is_file():
            yield path


def _is_environment(relative: Path) -> bool:
    return any(part.startswith(".") or part in ("site-packages", "__pycache__") for part in relative.parts)


def _is_of_python(path: Path) -> bool:
    """Say whether a file belongs to the interpreter: a conda environment may lie inside the project."""
    homes = (Path(prefix).absolute() / "lib" for prefix in (sys.prefix, sys.base_prefix))
    return any(path.is_relative_to(home) for home in homes)


def _beside(imported: set[Path]) -> Iterator[Path]:
    for folder in {path.parent for path in imported}:
        for path in folder.iterdir():
            if path.is_file() and not path.name.startswith(".") and path.suffix not in _LEFT_OUT_SUFFIXES:
                yield path


def _reason_to_leave(path: Path) -> str | None:
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            return f"{size / LARGEST_FILE:.1f} MB, more than 1 MB"
        content = path.read_bytes()
    except OSError as error:
        return error.strerror or "cannot be read"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "not text"
    return "not text" if "\0" in text else None


def git_state(project: Path) -> tuple[str | None, str]:
    """Return the commit that `project` is at, or None outside a git checkout, and the diff against it."""
    commit = _git(project, "rev-parse", "HEAD")
    if commit is None:
        return None, ""
    diff = _git(project, *_DIFF, "HEAD", "--", ".") or ""
    if len(diff) > LARGEST_DIFF:
        diff = f"The diff has {len(diff)} characters and is left out: more than {LARGEST_DIFF}.\n"
    return commit.strip(), diff


def _git(project: Path, *arguments: str) -> str | None:
    # Reading only: git must not take the repository's lock from a command the user runs meanwhile.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=project,
            env=environment,
            capture_output=True,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace")


def environment(command: list[str]) -> dict[str, Any]:
    """Return what a run was started with: command, folder, Python, machine and package versions."""
    return {
        "command": command,
        "folder": str(Path.cwd()),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "machine": platform.node(),
        "packages": _packages(),
    }


def _packages() -> dict[str, str]:
    found = {
        str(item.metadata["Name"]): item.version
        for item in importlib.metadata.distributions()
        if item.metadata["Name"]
    }
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))
