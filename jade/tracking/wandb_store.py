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
from jade.checkpoint_index import BEGINNING
from jade.errors import TrackingError, first_line
from jade.stored import answer
from jade.stored.local_runs import ORIGIN
from jade.tracking.wandb_client import is_foreign, is_of_the_client, kept_tidy

# What a run is continued from; the rest of its files stays where it is.
NEEDED = (
    "model.pt",
    "model.previous.pt",
    "best.pt",
    BEGINNING,
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

    def fetch(self, path: str, into: Path, *, is_own: bool = False) -> bool:
        """Fetch the files that a run is continued from.

        Args:
            path: of the run, entity/project/id.
            into: folder that is to hold them; it must not exist.
            is_own: whether it is known to be the run of this very process; else whose it is, is recorded.

        Returns:
            Whether there is such a run with a backup. Nothing is written if not.

        Raises:
            TrackingError: if W&B cannot be reached, or does not give the files.
        """
        beside = into.with_name(f".{into.name}.{os.getpid()}.fetched")
        try:
            run = self._run(path)
            files = _files(run)
            if "model.pt" not in files or "config.yml" not in files:
                return False
            for name, file in files.items():
                if name.endswith(".pt"):
                    _log.info("fetching %s of %s", name, path)
                file.download(root=str(beside), replace=True).close()
            if not is_own:
                json_file.write(beside / ORIGIN, self._origin(run))
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

    def _run(self, path: str) -> Any:  # noqa: ANN401 - wandb's own
        if self._api is None:
            self._api = wandb.Api()
        with kept_tidy():
            return self._api.run(path)

    def _origin(self, run: Any) -> dict[str, Any]:  # noqa: ANN401 - wandb's own
        """Return where a run is from, as `pull` records it, which takes the folder for none of its own."""
        return {
            "path": f"{run.entity}/{run.project}/{run.id}",
            "server": self._environ.get("WANDB_BASE_URL") or self._api.settings["base_url"],
            "owner": run.entity,
            "url": run.url,
            "is_foreign": is_foreign(self._api, run.entity),
            "pulled": round(time.time(), 3),
        }


def _files(run: Any) -> dict[str, Any]:  # noqa: ANN401 - wandb's own
    """Return the files that a run is continued from, by name."""
    with kept_tidy():
        found = {file.name: file for file in run.files()}
    wanted = (name for name in found if name in NEEDED or name.startswith(FOLDERS) or _is_numbered(name))
    return {name: found[name] for name in answer.safe(wanted, f"{run.entity}/{run.project}/{run.id}")}


def _is_numbered(name: str) -> bool:
    return name.startswith("checkpoint_") and name.endswith(".pt")


def _is_missing(error: Exception) -> bool:
    # The client has no error of its own for this; its text is the only sign there is.
    return (
        isinstance(error, wandb.errors.CommError | ValueError) and "could not find run" in str(error).lower()
    )
