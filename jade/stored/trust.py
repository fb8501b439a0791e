"""Whose code a stored run brings with it, and whether it may be executed.

The code of the user's own runs may, and that of any folder. Of another entity's runs on W&B it may be once
the user has said so, which is remembered by the digest of that code. A configuration that names installed
functions by dotted names, such as `os.system`, is code as well.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jade import json_file
from jade.errors import JadeError
from jade.stored.source import Source


class TrustError(JadeError):
    """The code of a run is somebody else's, and nobody has said that it may be executed."""


def require(
    source: Source, values: Mapping[str, Any], digest: str | None, records: Path, *, is_given: bool
) -> None:
    """Refuse to go on where code is somebody else's that is not trusted yet.

    Args:
        source: of the run.
        values: its configuration.
        digest: of its copy of the code, if that is going to be imported.
        records: the folder of what was trusted before.
        is_given: whether the user trusts it now, which is remembered.

    Raises:
        TrustError: if the run is another entity's and its code was not trusted; nothing of it was executed.
    """
    facts = source.facts()
    called = sorted(set(_dotted(values, source.folder / "code" if digest else None)))
    if not facts.is_foreign or not (digest or called):
        return
    whole = hashlib.sha256("\0".join([digest or "", *called]).encode()).hexdigest()
    record = records / f"{whole}.json"
    if is_given:
        known = {"run": source.label, "owner": facts.owner, "code": digest, "calls": called}
        _remember(record, {**known, "trusted": round(time.time(), 3)})
    elif not record.is_file():
        raise _untrusted(source, digest, called)


def _untrusted(source: Source, digest: str | None, called: list[str]) -> TrustError:
    facts = source.facts()
    code = source.folder / "code"
    parts = [f"its code, {code} (digest {digest[:12]})"] if digest else []
    parts += [f"what its configuration calls: {', '.join(called)}"] if called else []
    page = f", {facts.url}" if facts.url else ""
    return TrustError(
        f"The run {source.label} belongs to {facts.owner}, not to you{page}."
        f" Nothing was executed of {', and '.join(parts)}.",
        hint="Once you have read it: trust_code=True, or --trust-code; the same code is asked for once.\n"
        "code='current' uses the classes of the present modules/ instead.",
    )


def _remember(record: Path, known: Mapping[str, Any]) -> None:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        json_file.write(record, known)
    except OSError:  # it will be asked for again
        return


def _dotted(value: object, code: Path | None) -> Iterator[str]:
    """Yield the dotted names of classes anywhere in a configuration that are not those of the copy `code`."""
    if isinstance(value, Mapping):
        name = value.get("class")
        if isinstance(name, str) and "." in name and not _is_in(code, name):
            yield name
        for inner in value.values():
            yield from _dotted(inner, code)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _dotted(inner, code)


def _is_in(code: Path | None, name: str) -> bool:
    top = name.partition(".")[0]
    return code is not None and ((code / top).is_dir() or (code / f"{top}.py").is_file())
