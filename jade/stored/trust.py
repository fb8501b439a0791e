"""Whose code a stored run brings with it, and whether it may be executed.

The code of the user's own runs may, and that of any folder that was not fetched. Of another entity's runs on
W&B it may be once the user has said so, which is remembered for that code of that entity. What a
configuration calls by dotted names, such as `os.system`, and an architecture file beyond `modules/`, are code
as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade import json_file
from jade.errors import TrustError
from jade.stored.local_runs import ORIGIN
from jade.stored.source import Facts, FolderSource, Source, whose

RECORDS = "trusted"  # the folder of them in the cache

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What is going to be executed.

    Attributes:
        values: the configuration.
        digest: of the run's copy of its code, if that is going to be imported.
        present: the project whose `modules/` are imported instead.
    """

    values: Mapping[str, Any]
    digest: str | None = None
    present: Path | None = None

    @property
    def called(self) -> list[str]:
        """What the configuration names beyond the classes of `modules/`."""
        names = set(_dotted(self.values))
        if self.present is not None and not self._is_of_modules(self.present):
            names.add(f"arch_impl {self.values.get('arch_impl')}")
        return sorted(names)

    def _is_of_modules(self, present: Path) -> bool:
        # A file elsewhere may be one of the run's own, which was fetched with it.
        path = Path(os.path.normpath(present / str(self.values.get("arch_impl"))))
        return path.is_relative_to(present / "modules")


def require(source: Source, asked: Asked, records: Path, *, is_given: bool) -> None:
    """Refuse to go on where code is somebody else's that is not trusted yet.

    Args:
        source: of the run.
        asked: what is going to be executed.
        records: the folder of what was trusted before.
        is_given: whether the user trusts it now, which is remembered.

    Raises:
        TrustError: if the run is another entity's and its code was not trusted; nothing of it was executed.
    """
    facts = source.facts()
    if not facts.is_foreign or not (asked.digest or asked.called):
        return
    known = {"owner": facts.owner, "code": asked.digest, "calls": asked.called}
    whole = hashlib.sha256(json.dumps(known).encode()).hexdigest()
    record = records / f"{whole}.json"
    if is_given:
        _remember(record, {"run": source.label, **known, "trusted": round(time.time(), 3)})
    elif not record.is_file():
        raise _untrusted(source, asked)
    _log.warning("What %s brings is %s's; it is executed, for it is trusted.", source.label, facts.owner)


def require_to_go_on(folder: Path, asked: Asked, records: Path, *, is_given: bool) -> None:
    """Refuse, as `require` does, to go on with a run whose folder was fetched from another entity's.

    Args:
        folder: of the run; it need not say yet how far the run came.
        asked: what is going to be executed.
        records: the folder of what was trusted before.
        is_given: whether the user trusts it now, which is remembered.

    Raises:
        TrustError: if the run is another entity's and its code was not trusted; nothing of it was executed.
    """
    require(_LeftRun(folder), asked, records, is_given=is_given)


class _LeftRun(FolderSource):
    """The folder of a run that is to go on, of which only the origin is asked."""

    def __init__(self, folder: Path) -> None:
        self._origin = json_file.read(folder / ORIGIN)
        super().__init__(folder, str(self._origin.get("path") or folder))

    def facts(self) -> Facts:
        """Return whose it is."""
        name = self.folder.name
        return Facts(run_id=name, name=name, state="", **whose(self.folder, self._origin))


def _untrusted(source: Source, asked: Asked) -> TrustError:
    facts = source.facts()
    code = source.folder / "code"
    parts = [f"its code, {code} (digest {asked.digest[:12]})"] if asked.digest else []
    parts += [f"what its configuration calls: {', '.join(asked.called)}"] if asked.called else []
    page = f", {facts.url}" if facts.url else ""
    return TrustError(
        f"The run {source.label} belongs to {facts.owner or 'somebody'}, not to you{page}."
        f" Nothing was executed of {', and '.join(parts)}.",
        hint="Once you have read it: trust_code=True, or --trust-code; the same code is asked for once.\n"
        "code='current', or --code current, uses the classes of the present modules/ instead.",
    )


def _remember(record: Path, known: Mapping[str, Any]) -> None:
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        json_file.write(record, known)
    except OSError:  # it will be asked for again
        return


def _dotted(value: object) -> Iterator[str]:
    """Yield the dotted names of classes anywhere in a configuration.

    Those of the run's own code as well: what that imports, such as `modules.nets.run`, can be named so, too.
    """
    if isinstance(value, Mapping):
        name = value.get("class")
        if isinstance(name, str) and "." in name:
            yield name
        for inner in value.values():
            yield from _dotted(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _dotted(inner)
