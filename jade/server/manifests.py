"""The manifest of an artifact: which files and references it consists of, as the client has written it.

It is uploaded like a file; `artifacts` reads it once, when the artifact is committed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade.server.blobs import checked_name
from jade.server.runs import RefusedError

LARGEST = 256 << 20  # bytes; an entry has about 200
_VERSION = 1


@dataclass(frozen=True)
class Entry:
    """A file of an artifact, or a reference to one that is elsewhere.

    Attributes:
        name: its path inside the artifact.
        digest: the MD5 sum of a file in base64; of a reference whatever its kind gives.
        size: in bytes.
        reference: the address of a reference, None for a file.
    """

    name: str
    digest: str
    size: int
    reference: str | None


def read(path: Path) -> list[Entry]:
    """Return the entries of a manifest.

    Raises:
        RefusedError: if it is no manifest of the one version that there is.
        UnsafeNameError: if an entry would lead out of the folder that it is downloaded to.
    """
    if path.stat().st_size > LARGEST:
        raise RefusedError(f"A manifest may have {LARGEST} bytes.")
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise RefusedError("The manifest is not JSON.") from None
    contents = values.get("contents") if isinstance(values, Mapping) else None
    if not isinstance(contents, Mapping) or values.get("version") != _VERSION:
        raise RefusedError(f"The manifest is not one of version {_VERSION}.")
    return [_entry(name, value) for name, value in contents.items()]


def _entry(name: str, value: Any) -> Entry:  # noqa: ANN401 - any JSON value
    digest = value.get("digest") if isinstance(value, Mapping) else None
    if not isinstance(digest, str):
        raise RefusedError(f"The manifest gives no digest of {name[:100]!r}.")
    size, reference = value.get("size"), value.get("ref")
    return Entry(
        checked_name(name),
        digest,
        size if isinstance(size, int) and size >= 0 else 0,
        None if reference is None else str(reference),
    )
