"""Edge: what W&B has of a run that is not on this machine.

A run's files are fetched whole or not at all: into a folder beside the one they end up in.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from jade import json_file
from jade.errors import TrackingError, first_line
from jade.stored import answer
from jade.stored.local_runs import ORIGIN
from jade.tracking.wandb_client import is_of_the_client, kept_tidy

# What a run is continued from; the rest of its files stays where it is.
NEEDED = (
    "model.pt",
    "model.previous.pt",
    "best.pt",
    "checkpoints.json",
    "config.yml",
    "environment.json",
    "git.diff",
    "metrics.jsonl",
)
FOLDERS = ("code/", "yaml/", "media/")

_log = logging.getLogger(__name__)


class WandbStore:
    """The runs on W&B.

    Args:
        environ: the environment, which names server, entity and project.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._api: Any = None

    def fetch(self, path: str, into: Path) -> bool:
        """Fetch the files that a run is continued from.

        Args:
            path: of the run, entity/project/id.
            into: folder that is to hold them; it must not exist.

        Returns:
            Whether there is such a run with a backup. Nothing is written if not.

        Raises:
            TrackingError: if W&B cannot be reached, or does not give the files.
        """
        beside = into.with_name(f".{into.name}.{os.getpid()}.fetched")
        try:
            files = self._files(path)
            if "model.pt" not in files or "config.yml" not in files:
                return False
            for name, file in files.items():
                if name.endswith(".pt"):
                    _log.info("fetching %s of %s", name, path)
                file.download(root=str(beside), replace=True)
            self._note_owner(path, beside)
            into.parent.mkdir(parents=True, exist_ok=True)
            beside.rename(into)
        except Exception as error:
            if not is_of_the_client(error):
                raise
            if _is_missing(error):
                return False
            reason = first_line(error)
            raise TrackingError(
                f"The run {path} cannot be fetched from W&B: {reason}",
                hint="Without W&B: --tracker local, or WANDB_MODE=offline.",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(beside)
        return True

    def _note_owner(self, path: str, folder: Path) -> None:
        """Note whose run it is if it is somebody else's, as `stored.pull` does: its code is not trusted."""
        run, viewer = self._api.run(path), self._api.viewer
        own = (viewer.entity, viewer.username, self._environ.get("WANDB_ENTITY"))
        if run.entity not in own:
            known = {"path": path, "owner": run.entity, "url": run.url, "is_foreign": True}
            json_file.write(folder / ORIGIN, {**known, "pulled": round(time.time(), 3)})

    def _files(self, path: str) -> dict[str, Any]:
        if self._api is None:
            self._api = wandb.Api()
        with kept_tidy():
            found = {file.name: file for file in self._api.run(path).files()}
        wanted = (name for name in found if name in NEEDED or name.startswith(FOLDERS) or _is_numbered(name))
        return {name: found[name] for name in answer.safe(wanted, path)}


def _is_numbered(name: str) -> bool:
    return name.startswith("checkpoint_") and name.endswith(".pt")


def _is_missing(error: Exception) -> bool:
    # The client has no error of its own for this; its text is the only sign there is.
    return (
        isinstance(error, wandb.errors.CommError | ValueError) and "could not find run" in str(error).lower()
    )
