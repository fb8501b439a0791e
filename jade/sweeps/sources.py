"""Where trials are read that a command line names: by a sweep's id, its file, or a folder of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jade.errors import ConfigError
from jade.options import experiments_folder
from jade.stored import local_runs
from jade.stored.local_runs import SAYING
from jade.stored.source import FolderSource
from jade.stored.source import Source as StoredSource
from jade.sweeps import kept
from jade.sweeps.kept import Kept
from jade.trials import Trial, Trials


@dataclass(frozen=True)
class Source:
    """A folder of runs, or a sweep on a server.

    Attributes:
        environ: names the server.
        folder: of the runs.
        path: of the sweep on the server.
    """

    environ: Mapping[str, str]
    folder: Path | None = None
    path: str = ""

    def trials(
        self, metric: str | None, goal: str | None, *, compared: bool = True
    ) -> tuple[Trials, list[str]]:
        """Return the trials, and a warning for each run that cannot be read.

        Args:
            metric: what they are compared by; the sweep's own if None.
            goal: of the metric; the sweep's own, or what its name suggests, if None.
            compared: whether there must be a metric.

        Raises:
            JadeError: if there are no such trials, or no such metric.
        """
        if self.folder is not None:
            return local_runs.read(self.folder, metric, goal, compared=compared)
        # It takes half a second, which a folder does not need.
        from jade.tracking.wandb_sweeps import WandbSweeps

        return WandbSweeps(self.environ).trials(self.path, metric, goal), []

    def files(self, trial: Trial, path: str) -> dict[str, str]:
        """Return what says which configuration a trial had: texts by name, as in its folder.

        Args:
            trial: from its folder, if that is on this machine.
            path: of the trials, as they say it.

        Raises:
            JadeError: if they cannot be read.
        """
        found: StoredSource
        if trial.folder is not None:
            found = FolderSource(trial.folder)
        else:
            from jade.stored.remote import RemoteSource  # wandb takes half a second

            found = RemoteSource("/".join([*path.split("/")[:2], trial.run_id]), self.environ)
        found.fetch_all(*SAYING)
        names = [name for name in found.files() if name.startswith(SAYING)]
        try:
            return {name: (found.folder / name).read_text(encoding="utf-8") for name in names}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The files of {found.label} cannot be read: {error}") from None


@contextmanager
def opened(named: str, environ: Mapping[str, str]) -> Iterator[Source]:
    """Give what a command line names; the embedded server runs meanwhile where the sweep is its.

    Args:
        named: the id of a sweep, its path entity/project/id, its file, or a folder of runs.
        environ: the environment, `.env` included.

    Raises:
        JadeError: if there is no such thing.
    """
    root = experiments_folder(environ)
    path = Path(named)
    if path.is_dir():
        yield Source(environ, folder=path)
        return
    from jade.sweeps import service  # imports wandb, which a folder does not need

    one = _made_of(path, root) if path.is_file() else _begun_here(named, root)
    if one is None:
        if service.is_wanted_local(environ) and not (root / service.FOLDER).is_dir():
            raise ConfigError(
                f"{named!r} is no folder, no file, and no sweep of this machine: it has none in {root}.",
                hint="For W&B: `wandb login`, or export WANDB_API_KEY.",
            )
        with service.reached(environ, root) as server:
            yield Source(server.environ, path=named)
        return
    if one.server != kept.LOCAL:
        environ = {"WANDB_BASE_URL": one.server, **environ}
    with service.reached(environ, root, local=one.server == kept.LOCAL) as server:
        yield Source(server.environ, path=one.path)


def _made_of(file: Path, root: Path) -> Kept:
    known = kept.all_of(root)
    found = next((one for one in known if Path(one.file) == file.absolute()), None)
    if found is None:
        raise ConfigError(
            f"No sweep was made of {file} by `python -m jade sweep run`.",
            where=str(root / kept.FOLDER),
            hint="A sweep that `wandb sweep` made is named by its id, entity/project/id."
            + "".join(f"\nknown: {one.name}, made of {one.file}" for one in known[:10]),
        )
    return found


def _begun_here(named: str, root: Path) -> Kept | None:
    return next((one for one in kept.all_of(root) if named in (one.name, one.path)), None)
