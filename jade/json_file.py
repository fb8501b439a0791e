"""Small JSON files of a run, or about one: read as far as they can be, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> dict[str, Any]:
    """Return the mapping that a file holds; an empty one if it is missing, damaged, or holds something else.

    For what a run can be used without: an older one has not every file, and a process may have been killed.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def write(path: Path, known: Mapping[str, Any]) -> None:
    """Put a mapping in the place of a file, or leave what is there.

    Raises:
        OSError: if the disk does not take it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
