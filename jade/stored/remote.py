"""Runs and artifacts on W&B as sources: their files are fetched into the cache when they are asked for.

What the server says is asked anew for each thing that is done, so that a copy is never silently out of date.
Where no server can be asked, what it said last stands, with a warning. `cache` keeps, `tracking/wandb_files`
asks.
"""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jade.errors import CheckpointError, JadeError, TrackingError, UnreachableError, first_line
from jade.stored import cache
from jade.stored.answer import Answer
from jade.stored.cache import Copy
from jade.stored.source import Facts, Source, StoredFile

if TYPE_CHECKING:
    from jade.tracking.wandb_files import WandbFiles

# To open a run is to ask a dozen times in a row, and each answer is some hundred milliseconds away.
FRESH_SECONDS = 2.0

_log = logging.getLogger(__name__)


class FetchedSource(Source):
    """What a server has, as far as it was fetched.

    Args:
        path: of it, whole: entity/project/name.
        environ: names server and key, as wandb's own variables do, and the cache.
        server: asks; one is made if None.
        clock: gives seconds; a test may give its own.

    Attributes:
        named: its path, as it was given.
        server: asks.
    """

    def __init__(
        self,
        path: str,
        environ: Mapping[str, str],
        server: WandbFiles | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if server is None:
            from jade.tracking.wandb_files import WandbFiles  # wandb takes half a second

            server = WandbFiles(environ)
        self.label = self.named = path
        self.server = server
        self._cache = cache.root(environ)
        self._clock = clock
        self._warned = False
        self._said: tuple[float, Answer] | None = None  # when, and what

    @property
    def folder(self) -> Path:  # type: ignore[override]  # is known when the server has said which version it is
        """The folder of what was fetched."""
        return self._copy(self._kept_path()).folder

    def facts(self) -> Facts:
        """Return what the server says, or said last."""
        return self.answer().facts

    def files(self) -> dict[str, StoredFile]:
        """Return the files that the server lists, or listed last."""
        return dict(self.answer().files)

    def fetch(self, names: Iterable[str]) -> None:
        """Have files in the cache, whole, as the server has them now."""
        self._fetch(self.answer(), list(names))

    def fetch_all(self, *beginnings: str) -> None:
        """Have all files that there are whose names begin so."""
        answer = self.answer()
        self._fetch(answer, [name for name in answer.files if name.startswith(beginnings)])

    def answer(self) -> Answer:
        """Return what the server says, or has said just now; where it cannot be asked, what it said last.

        Raises:
            UnreachableError: if it cannot be asked, and never was.
            JadeError: if it says no.
        """
        if self._said is not None and self._clock() - self._said[0] < FRESH_SECONDS:
            return self._said[1]
        try:
            found = self._asked()
        except UnreachableError as error:
            return self._answer_without(error)
        except JadeError as error:
            if self.kept() is not None:
                error.add_note("The cache has a copy: WANDB_MODE=offline uses it.")
            raise
        self._copy(found.path).enter(found)
        self._said = self._clock(), found
        return found

    def kept(self) -> Answer | None:
        """Return what the server said last; None if it was never asked."""
        return self._copy(self._kept_path()).known()

    @abstractmethod
    def _ask(self) -> Answer:
        """Ask the server."""

    def _asked(self) -> Answer:
        if self.server.why_offline:
            raise UnreachableError(f"No server is asked: {self.server.why_offline}.")
        self._said = None
        return self._ask()

    def _answer_without(self, error: UnreachableError) -> Answer:
        why = first_line(error)
        known = self.kept()
        if known is None:
            raise UnreachableError(
                f"{self.label} cannot be fetched. {why}",
                hint=f"The cache has no copy of it: {self._copy(self._kept_path()).folder}",
            ) from error
        if not self._warned:
            self._warned = True
            _log.warning("%s The copy of %s in the cache is used, as it was fetched last.", why, self.label)
        return known

    def _fetch(self, answer: Answer, names: list[str]) -> None:
        lacking = [name for name in names if name not in answer.files]
        if lacking:
            raise CheckpointError(
                f"The run {self.label} has no {', '.join(lacking)}.", wanted=lacking[0], choices=answer.files
            )
        copy = self._copy(answer.path)
        missing = copy.missing(names, answer)
        if not missing:
            return
        try:
            if not answer.addresses:
                raise UnreachableError("What is not in the cache cannot be fetched.")
            copy.fetch(names, answer, self._asked)
        except UnreachableError as error:
            missing = copy.missing(names, answer)
            raise UnreachableError(
                f"{', '.join(missing[:3])}{' …' if len(missing) > 3 else ''} of {self.label}"
                f" cannot be fetched. {first_line(error)}",
                hint=f"The cache has no whole copy: {copy.folder}",
            ) from error
        except TrackingError as error:
            error.add_note("What has come so far is kept: the same command goes on with it.")
            raise

    def _copy(self, path: str) -> Copy:
        return Copy(self._cache, self.server.host, path)

    def _kept_path(self) -> str:
        """Return the path under which the cache has it."""
        return self.named


class RemoteSource(FetchedSource):
    """A run on W&B, `entity/project/id`."""

    def _ask(self) -> Answer:
        return self.server.run(self.named)


class ArtifactSource(FetchedSource):
    """An artifact that holds a checkpoint, with what its run was: `entity/project/name:alias`."""

    @property
    def about(self) -> Mapping[str, Any]:
        """Its metadata, aliases and version, and the path of its run."""
        return self.answer().about

    def _ask(self) -> Answer:
        found = self.server.artifact(self.named)
        # Where nobody can be asked, an alias is what it was last.
        cache.note_alias(self._cache, self.server.host, self.named, found.path)
        return found

    def _kept_path(self) -> str:
        return cache.aliased(self._cache, self.server.host, self.named)
