"""Whose code a stored run brings with it, and whether it may be executed.

The code of the user's own runs may, and that of any folder that was not fetched. Of another entity's runs on
W&B it may be once the user has said so, which is remembered by the digest of that code. A configuration that
names installed functions by dotted names, such as `os.system`, is code as well.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jade.errors import JadeError
from jade.stored import local_runs
from jade.stored.source import Facts, FolderSource, Source

RECORDS = "trusted"  # folder of what was trusted, below that of the copies of runs


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


def require_to_go_on(
    folder: Path, values: Mapping[str, Any], digest: str | None, records: Path, *, is_given: bool
) -> None:
    """Refuse, as `require` does, to go on with a run whose folder was fetched from another entity's.

    Args:
        folder: of the run; it need not say yet how far the run came.
        values: the configuration that the run goes on with.
        digest: of its copy of the code, if that is going to be imported.
        records: the folder of what was trusted before.
        is_given: whether the user trusts it now, which is remembered.

    Raises:
        TrustError: if the run is another entity's and its code was not trusted; nothing of it was executed.
    """
    require(_LeftRun(folder), values, digest, records, is_given=is_given)


class _LeftRun(FolderSource):
    """The folder of a run that is to go on, of which only the origin is asked."""

    def __init__(self, folder: Path) -> None:
        self._origin = local_runs.origin_of(folder)
        super().__init__(folder, str(self._origin.get("path") or folder))

    def facts(self) -> Facts:
        """Return whose it is."""
        known = self._origin
        return Facts(
            run_id=self.folder.name,
            name=self.folder.name,
            state="",
            url=known.get("url"),
            owner=known.get("owner"),
            is_foreign=bool(known.get("is_foreign")),
        )


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
        "code='current', or --code current, uses the classes of the present modules/ instead.",
    )


def _remember(record: Path, known: Mapping[str, Any]) -> None:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        temporary = record.with_suffix(".tmp")
        temporary.write_text(json.dumps(known, indent=2), encoding="utf-8")
        temporary.replace(record)
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
