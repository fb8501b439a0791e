"""Edge: checkpoints as versions of a model on W&B: logged by their run, and the surplus ones deleted.

Several trials of a sweep may do so in one collection at once: each looks again after what it changed, so that
whoever comes last leaves it right.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import wandb

from jade import checkpoint_index
from jade.tracking.base import Version

TYPE = "model"
BEST = "best"
# What W&B and JADE name; every other alias is a person's, who wants to keep the version.
_OWN_ALIASES = re.compile(r"best|latest|v\d+")
ROUNDS = 10
UPLOAD_SECONDS = 3600
API_SECONDS = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Known:
    """A version that is there.

    Attributes:
        number: of the version; a later one has a greater.
        metadata: what was said of it.
        aliases: its names.
        handle: the client's own.
    """

    number: int
    metadata: Mapping[str, Any]
    aliases: Sequence[str] = ()
    handle: Any = None

    @property
    def is_protected(self) -> bool:
        """Whether a person has named it."""
        return not all(_OWN_ALIASES.fullmatch(alias) for alias in self.aliases)


def ranked(known: Sequence[Known], metadata: Mapping[str, Any]) -> list[Known]:
    """Return the versions that compete with one by its metric, the best first, of each run the newest.

    Args:
        known: versions of one collection.
        metadata: of that one.
    """
    newest: dict[Any, Known] = {}
    for one in sorted(known, key=lambda one: one.number):
        if _is_comparable(one.metadata, metadata):
            newest[one.metadata.get("run")] = one
    sign = -1.0 if metadata.get("mode") == "max" else 1.0
    return sorted(newest.values(), key=lambda one: (sign * one.metadata["value"], one.number))


def surplus(known: Sequence[Known], version: Version, metadata: Mapping[str, Any]) -> list[Known]:
    """Return the versions that are to be deleted once a version is there; none that a person has named.

    Args:
        known: versions of the collection, the new one among them.
        version: the new one.
        metadata: that it has.
    """
    same_run = [one for one in known if one.metadata.get("run") == metadata["run"]]
    same_file = [one for one in same_run if one.metadata.get("file") == metadata["file"]]
    # What is replaced in the run's folder is replaced here.
    found = sorted(same_file, key=lambda one: one.number)[:-1]
    if version.competes and version.kept is not None:
        found += ranked(known, metadata)[version.kept :]
    if not version.competes and version.kept is not None:
        numbered = [one for one in same_run if _is_numbered(one)]
        numbered.sort(key=lambda one: one.metadata.get("iterations") or 0)
        found += numbered[: -version.kept]
    unique = {one.number: one for one in found}
    return [one for one in unique.values() if not one.is_protected]


def _is_numbered(one: Known) -> bool:
    return checkpoint_index.number_of(str(one.metadata.get("file"))) is not None


def _is_comparable(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    value = one.get("value")
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return is_number and (one.get("metric"), one.get("mode")) == (other.get("metric"), other.get("mode"))


class Models:
    """The models that a live run logs.

    Args:
        run: the run.
    """

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        self._path = f"{run.entity}/{run.project}"
        self._has_told = False

    def publish(self, version: Version) -> None:
        """Log a version, and delete those that are surplus then.

        Raises:
            Exception: whatever the client raises.
        """
        metadata = {"run": f"{self._path}/{self._run.id}", **version.metadata}
        if self._run.offline or self._run.disabled:
            self._run.log_artifact(self._made(version, metadata), aliases=_aliases(version))
            self._tell_offline(version)
            return
        if version.competes and not self._is_wanted(version, metadata):
            return
        logged = self._run.log_artifact(self._made(version, metadata), aliases=_aliases(version))
        if version.is_last:
            try:
                logged.wait(timeout=UPLOAD_SECONDS)
            except Exception:
                # A trial that has ended meanwhile may have found it surplus, and deleted it.
                if not version.competes or self._is_wanted(version, metadata):
                    raise
        if version.is_last or version.kept is not None:
            self._settle(version, metadata)

    def _is_wanted(self, version: Version, metadata: Mapping[str, Any]) -> bool:
        new = Known(1 << 62, metadata)
        others = ranked([*self._known(version.model), new], metadata)
        if version.kept is None or new in others[: version.kept]:
            return True
        _log.info(
            "The best state of this run is not among the %d best of %s: it is no version of it.",
            version.kept,
            version.model,
        )
        return False

    def _made(self, version: Version, metadata: Mapping[str, Any]) -> wandb.Artifact:
        """Return the artifact: a folder as the run's own, with one of its checkpoints."""
        folder, name = version.checkpoint.parent, version.checkpoint.name
        artifact = wandb.Artifact(version.model, TYPE, metadata=dict(metadata))
        # Nothing in the folder changes any more once it is the last: a copy would only cost.
        is_safe = version.is_last and not self._run.offline
        for path in (version.checkpoint, *version.files):
            artifact.add_file(
                str(path),
                path.relative_to(folder).as_posix(),
                skip_cache=True,
                policy="immutable" if is_safe else "mutable",
            )
        with artifact.new_file(checkpoint_index.NAME) as file:
            said = {key: value for key, value in checkpoint_index.read(folder).items() if key == name}
            json.dump(said, file, indent=2)
        return artifact

    def _tell_offline(self, version: Version) -> None:
        if not self._has_told and version.kept is not None:
            _log.info(
                "Offline no version of %s is deleted: `wandb sync` uploads each that was logged so.",
                version.model,
            )
        self._has_told = True

    def _settle(self, version: Version, metadata: Mapping[str, Any]) -> None:
        """Delete what is surplus and name the best one, until a look finds nothing to do.

        Raises:
            Exception: what the client raised last, where the server does not do it.
        """
        linked: set[int] = set()
        refused: Exception | None = None
        for _ in range(ROUNDS):
            known = self._known(version.model)
            best = ranked(known, metadata)[:1] if version.competes else []
            unnamed = [one for one in best if BEST not in one.aliases]
            gone = [one for one in surplus(known, version, metadata) if one.number not in linked]
            if not unnamed and not gone:
                return
            try:
                for one in unnamed:
                    one.handle.aliases = [*one.aliases, BEST]
                    one.handle.save()
                for one in gone:
                    if one.handle.linked_artifacts:  # in a registry
                        linked.add(one.number)
                    else:
                        one.handle.delete(delete_aliases=True)
            except Exception as error:  # noqa: BLE001 - another trial may have deleted it: the next look tells
                refused = error
        if refused is not None:
            raise refused

    def _known(self, model: str) -> list[Known]:
        api = wandb.Api(timeout=API_SECONDS)
        path = f"{self._path}/{model}"
        if not api.artifact_collection_exists(path, TYPE):
            return []
        return [
            Known(int(one.version.removeprefix("v")), one.metadata, list(one.aliases), one)
            for one in api.artifacts(TYPE, path, per_page=100)
        ]


def _aliases(version: Version) -> list[str]:
    # Which one is the best of several runs shows when it is there.
    return ["latest", BEST] if version.is_best and not version.competes else ["latest"]
