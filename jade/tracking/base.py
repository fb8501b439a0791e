"""The one door between a run and whatever follows it from outside.

Implementations: `local` (the run's folder only) and `wandb_run` (the folder, then Weights & Biases). The loop
knows a `Tracker` and nothing else; a shared test class holds every implementation to this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jade.entries import Entry


@dataclass(frozen=True)
class Version:
    """A checkpoint that is to be a version of a model.

    Attributes:
        model: what all of its versions are called.
        checkpoint: the file, in the run's folder.
        files: of the same folder, which say what the checkpoint is of.
        metadata: what is said of it: `file`, `class`, `iterations`, and for a best state `metric`, `mode` and
            `value`.
        is_best: whether it is the best state of its run.
        competes: whether only the best versions are kept, by `value`.
        kept: how many are kept: where it does not compete, of the run's own numbered checkpoints; None for
            all.
        is_last: whether the folder changes no more.
    """

    model: str
    checkpoint: Path
    files: Sequence[Path] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    is_best: bool = False
    competes: bool = False
    kept: int | None = None
    is_last: bool = False


class Tracker(Protocol):
    """Follows one run from start to finish.

    Attributes:
        run_id: the run's id, which is also the name of its folder.
        directory: the run's folder.
    """

    @property
    def run_id(self) -> str:
        """The run's id."""

    @property
    def directory(self) -> Path:
        """The run's folder."""

    @property
    def changes_params(self) -> bool:
        """Whether `start` will return other params than it is given, as under a sweep."""

    def start(
        self, flat: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Open the run and return the params it is to use: `flat`, or what a sweep made of it.

        Args:
            flat: the params.
            earlier: for a run that is continued, the rows of `metrics.jsonl`; those that the tracker has
                not are given to it.

        Raises:
            TrackingError: if the run cannot be opened; nothing of it remains then.
        """

    def sweep(self) -> Mapping[str, Any] | None:
        """Return the sweep that the run, once started, is a trial of, as far as it is known.

        Returns:
            `path`, which is entity/project/sweep, and `metric`, which has a `name` and a `goal` ("minimize"
            or "maximize"); either may be missing. None where there is no sweep.
        """

    def describe(self, flat: Mapping[str, Any]) -> None:
        """Show the params as they are used, which may differ from what `start` returned."""

    def uses(self, artifact: str) -> None:
        """Show that the run begins with a version of an artifact, entity/project/name:alias.

        What cannot be shown is not: the configuration and the run's folder say it as well.
        """

    def log(self, entries: Sequence[Entry], iterations: int, epochs: int) -> None:
        """Log entries at a point of the training; on disk before anything else."""

    def best(self, values: Mapping[str, float]) -> None:
        """Show the best value so far of some metrics beside their last one; not a row."""

    def keep(self, path: Path) -> None:
        """Make a file of the run's folder part of the run, again each time it was replaced."""

    def drop(self, path: Path) -> None:
        """Forget a file that was kept and is deleted now."""

    def publish(self, version: Version) -> None:
        """Make a checkpoint a version of a model, beside the run; what goes wrong is a warning."""

    def mark_preempting(self) -> None:
        """Say that the run stops for a while and is to be started again."""

    def was_stopped(self) -> bool:
        """Say whether it was the tracker's server that wants the run to stop."""

    def tell(self, text: str) -> None:
        """Show a text after what the program has printed: why the run failed, which is printed too late."""

    def finish(self, status: str, exit_code: int) -> None:
        """Close the run as "finished", "stopped" or "failed"; a second call does nothing."""

    def way_to_it(self) -> str | None:
        """Return one line that tells a person how to see the run, or None if the folder is all there is."""
