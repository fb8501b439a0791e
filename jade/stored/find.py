"""A name to a stored run: a folder, an id, an offline run of wandb, a run or an artifact on W&B.

What is on this machine goes first. Who finds nothing is told where it was looked for, and what is there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from jade.errors import ConfigError, JadeError, TrackingError, UnreachableError, first_line
from jade.options import experiments_folder, project_environment
from jade.plugins import FOLDERS
from jade.stored import cache, local_runs
from jade.stored.answer import UnknownRunError
from jade.stored.source import Facts, FolderSource, Source

if TYPE_CHECKING:
    from jade.stored.remote import FetchedSource
    from jade.tracking.wandb_files import WandbFiles

FORMS = (
    "A run's folder, its id, entity/project/id or the address of its page on W&B,\n"
    "or an artifact, entity/project/name:alias."
)
_OF_WANDB = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(.+)")
# /entity/project/runs/id and /entity/project/artifacts/type/name/v3, with what a page shows of it behind.
_PAGE = re.compile(r"/([^/]+)/([^/]+)/runs/([^/]+)(?:/.*)?")
_ARTIFACT_PAGE = re.compile(r"/([^/]+)/([^/]+)/artifacts/[^/]+/([^/]+)/([^/]+)(?:/.*)?")


def project() -> Path:
    """Return the folder of the project: the present one, or the nearest above it that has modules of JADE's.

    A notebook's present folder is that of the notebook.
    """
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if _is_project(folder)), here)


def _is_project(folder: Path) -> bool:
    return any((folder / "modules" / kind).is_dir() for kind in FOLDERS.values())


def project_environ() -> dict[str, str]:
    """Return the environment with the variables of the project's `.env` that the shell has not set."""
    path = project() / ".env"
    return project_environment(os.environ, str(path) if path.is_file() else None)


def experiments_root(environ: Mapping[str, str]) -> Path:
    """Return the folder that has a folder for each run, in the project if it is not said elsewhere."""
    root = experiments_folder(environ)
    return root if project() == Path.cwd() else project() / root


def find(run: str, root: Path, environ: Mapping[str, str]) -> Source:
    """Return where a run is stored.

    Args:
        run: its folder, its id in `root`, the folder of an offline run of wandb; or a run on W&B,
            `entity/project/id`, the address of its page, an artifact `entity/project/name:alias`. What is
            left out of a path is taken from the environment.
        root: the experiments folder.
        environ: names server, key, entity and project, as wandb's own variables do, and the cache.

    Raises:
        ConfigError: if there is no such run on this machine, and W&B cannot have it or does not.
        TrackingError: if it is on W&B, which does not give it.
    """
    if not run.strip():
        raise ConfigError("No run is named.", hint=FORMS)
    folder = Path(run).expanduser()
    if "://" in run:
        return _remote(_path_of_page(run, environ), environ)
    if folder.is_dir():
        return _of_folder(folder, run)
    if "/" not in run and _is_run(root / run):
        return FolderSource(root / run, run)
    _refuse_a_checkpoint(run, root)
    if run.startswith((".", "~", "/")) or len(run.split("/")) > 3:
        raise _not_there(run, root, [f"the folder {folder.absolute()}"])
    return _elsewhere(run, root, environ)


def _refuse_a_checkpoint(run: str, root: Path) -> None:
    """Refuse RUN:checkpoint, which a run of this machine is called nowhere but in init_from."""
    head, colon, tail = run.rpartition(":")
    if colon and (_is_run(Path(head).expanduser()) or ("/" not in head and _is_run(root / head))):
        raise ConfigError(
            f"There is no run {run!r}, but there is {head!r}.",
            hint=f"Its checkpoint is named beside it: --checkpoint {tail}, run.trainer({tail!r}).",
        )


def _of_folder(folder: Path, named: str) -> Source:
    if _is_run(folder):
        return FolderSource(folder, named)
    found = _of_wandb(folder)
    if found is not None:
        return found
    below = [one.name for one in local_runs.folders(folder)]
    if below:
        raise ConfigError(
            f"{named} is a folder of runs, not a run.", choices=below, hint=f"{named}/ID is one."
        )
    raise ConfigError(
        f"{named} is no folder of a run: it has neither {local_runs.CONFIG} nor {local_runs.STATUS}.",
        where=str(folder.absolute()),
        hint=FORMS,
    )


def _of_wandb(folder: Path) -> Source | None:
    """Return the run of a folder that wandb has made, None if it is no such folder."""
    own = folder.absolute()
    own = own.parent if own.name == "files" else own
    match = _OF_WANDB.fullmatch(own.name)
    if match is None:
        return None
    run_id = re.sub(r"-\d+$", "", match[1]) if not _is_run(own.parent.parent / match[1]) else match[1]
    files = own / "files"
    # The run's own folder, where it is still there: wandb's has links to what was uploaded.
    linked = (files / local_runs.CONFIG).resolve().parent
    for place in (own.parent.parent, linked):
        if place.name in (run_id, match[1]) and _is_run(place):
            return FolderSource(place, str(folder))
    if _is_run(files):
        return _FilesOfWandb(files, match[1], str(folder))
    raise ConfigError(
        f"{folder} has what wandb wrote of the run {match[1]}, but no copy of the run's own files.",
        where=str(own),
        hint=f"The run's folder has them. `wandb sync {own}` uploads what is here.",
    )


class _FilesOfWandb(FolderSource):
    """The files of a run in wandb's folder, which is called otherwise than the run."""

    def __init__(self, folder: Path, run_id: str, label: str) -> None:
        super().__init__(folder, label)
        self._id = run_id

    def facts(self) -> Facts:
        """Return what the files say."""
        found = super().facts()
        return replace(found, run_id=self._id, name=self._id if found.name == "files" else found.name)


def _elsewhere(run: str, root: Path, environ: Mapping[str, str]) -> Source:
    """Return a run on W&B; tell of all places where it is not."""
    tried = [f"the folder {Path(run).absolute()}"]
    tried += [] if "/" in run else [f"the id in {root.absolute()}"]
    try:
        return _remote(run, environ)
    except UnknownRunError as error:
        if run.count("/") == 2:
            raise
        raise _not_there(run, root, [*tried, first_line(error)], error.known) from None
    except TrackingError as error:
        if run.count("/") == 2:
            raise
        said = first_line(error)
        raise _not_there(run, root, [*tried, said if said.startswith("W&B") else f"W&B: {said}"]) from None


def _remote(path: str, environ: Mapping[str, str]) -> FetchedSource:
    # wandb takes half a second, which a run of this machine does not need.
    from jade.stored.remote import ArtifactSource, RemoteSource
    from jade.tracking.wandb_files import WandbFiles

    server = WandbFiles(environ)
    is_artifact = ":" in path.rpartition("/")[2]
    if path.count("/") < 2:
        path = _completed(path, server, environ)
    kind = ArtifactSource if is_artifact else RemoteSource
    source = kind(path, environ, server)
    source.answer()
    return source


def _completed(path: str, server: WandbFiles, environ: Mapping[str, str]) -> str:
    try:
        if server.why_offline:
            raise UnreachableError(f"No server is asked: {server.why_offline}.")
        return server.completed(path)
    except UnreachableError as error:
        # The cache knows runs by their whole paths only.
        kept = cache.paths(cache.root(environ), server.host, path.rpartition("/")[2])
        known = [one for one in kept if one.endswith(f"/{path}")]
        if len(known) == 1:
            return known[0]
        several = f"The cache has {', '.join(known)}." if known else f"The cache has no run {path!r}."
        raise UnreachableError(f"{first_line(error)} {several}") from error


def _path_of_page(url: str, environ: Mapping[str, str]) -> str:
    """Return the path of what a page on W&B shows.

    Raises:
        ConfigError: if it is no such page, or one of another server than the one that is asked.
    """
    from jade.tracking.wandb_files import WandbFiles

    parts = urlsplit(url)
    own = WandbFiles(environ)
    if not own.has_page(parts.netloc):
        # The key of one server is nothing for another.
        raise ConfigError(
            f"The page is one of {parts.netloc}, but the server that is asked is {own.host}.",
            where=url,
            hint=f"export WANDB_BASE_URL={parts.scheme}://{parts.netloc}, with the key of that server.",
        )
    if match := _PAGE.fullmatch(parts.path):
        return "/".join(unquote(part) for part in match.groups())
    if match := _ARTIFACT_PAGE.fullmatch(parts.path):
        entity, project, name, version = (unquote(part) for part in match.groups())
        return f"{entity}/{project}/{name}:{version}"
    raise ConfigError(f"{url} is no page of a run.", hint="It is …/entity/project/runs/id.")


def _not_there(run: str, root: Path, tried: list[str], known: tuple[str, ...] = ()) -> ConfigError:
    # Beside where it would be, else in the experiments.
    beside = Path(run).expanduser().parent if "/" in run else root
    try:
        here = [one.name for one in local_runs.folders(beside if beside.is_dir() else root)]
    except JadeError:  # there is no such folder
        here = []
    hint = "tried: " + "\n       ".join(tried)
    if run.count("/") == 1 and not beside.is_dir():
        hint += f"\nThe runs of a project are listed by: python -m jade runs {run}"
    return ConfigError(
        f"There is no run {run!r}.", wanted=run.rpartition("/")[2], choices=[*here, *known], hint=hint
    )


def _is_run(folder: Path) -> bool:
    return (folder / local_runs.CONFIG).is_file() or (folder / local_runs.STATUS).is_file()
