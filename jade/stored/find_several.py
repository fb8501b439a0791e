"""Where several runs are: a folder, a project or a sweep on W&B; what is there, listed.

`find` is its like for one run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jade.errors import ConfigError, JadeError
from jade.stored import local_runs, selection
from jade.stored.find import experiments_root, find
from jade.stored.selection import Listed, Metric


@dataclass(frozen=True)
class Place:
    """Several runs, and where they are.

    Attributes:
        name: as a person calls it.
        rows: the runs.
        warnings: one for each run that cannot be read.
        sweeps: what the runs are compared by, if the place is a sweep.
    """

    name: str
    rows: Sequence[Listed]
    warnings: Sequence[str] = ()
    sweeps: Metric | None = None


def runs_at(where: str | Path | None, environ: Mapping[str, str]) -> Place:
    """Return the runs of a place.

    Args:
        where: a folder of runs, `entity/project`, or a sweep's `entity/project/id`; the experiments root if
            None.
        environ: the environment, which names root and server.

    Raises:
        JadeError: if there is no such place, no run in it, or the server does not say.
    """
    folder = experiments_root(environ) if where is None else Path(where).expanduser()
    if where is None or folder.exists():
        return Place(str(folder), *selection.in_folder(folder))
    if not is_path_of_several(str(where)):
        raise ConfigError(
            f"There is no folder {str(where)!r}.",
            where="WHERE",
            hint="On W&B a project is entity/project, a sweep entity/project/id.",
        )
    return _on_wandb(str(where), environ)


def is_path_of_several(where: str) -> bool:
    """Say whether a text may be the path of a project or a sweep on W&B."""
    parts = where.split("/")
    return len(parts) in (2, 3) and all(parts) and where[0] not in "./~" and ":" not in where


def each_of(named: Sequence[str], environ: Mapping[str, str]) -> tuple[list[Listed], list[str]]:
    """Return the runs that are named, one by one or by the place where they are, each once; and warnings.

    Args:
        named: runs as `find` takes them, and places as `runs_at` does.
        environ: the environment.

    Raises:
        JadeError: if there is no such run, and no such place.
    """
    found: dict[str, Listed] = {}
    warnings: list[str] = []
    for name in named:
        rows, more = _named(name, environ)
        found |= {row.source.label: row for row in rows if row.source.label not in found}
        warnings += more
    return list(found.values()), warnings


def _named(name: str, environ: Mapping[str, str]) -> tuple[list[Listed], list[str]]:
    folder = Path(name).expanduser()
    holds_runs = folder.is_dir() and local_runs.folders(folder) not in ([], [folder])
    if holds_runs or (name.count("/") == 1 and not folder.exists() and is_path_of_several(name)):
        return _place(name, environ)
    try:
        source = find(name, experiments_root(environ), environ)
        return [Listed(source, source.facts())], []
    except JadeError:
        if folder.exists() or not is_path_of_several(name):
            raise
        try:  # the path of a sweep looks as that of a run does
            return _place(name, environ)
        except JadeError:
            pass
        raise


def _place(name: str, environ: Mapping[str, str]) -> tuple[list[Listed], list[str]]:
    place = runs_at(name, environ)
    return selection.arranged(place.rows), list(place.warnings)


def _on_wandb(path: str, environ: Mapping[str, str]) -> Place:
    # wandb takes half a second, which a folder does not need.
    from jade.stored.remote import RemoteSource
    from jade.tracking.wandb_files import WandbFiles

    server = WandbFiles(environ)
    rows = [Listed(RemoteSource(one, environ, server), facts) for one, facts in server.runs(path)]
    aim = server.aim(path) if path.count("/") == 2 else None
    return Place(path, rows, sweeps=Metric(*aim, "the sweep's") if aim else None)
