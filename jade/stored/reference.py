"""What a text such as `RUN`, `RUN:best` or `entity/project/name:alias` names: a stored run, and a checkpoint.

Only where a run is looked for is known to `find`; what a colon means is known here. Torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jade import checkpoint_index
from jade.checkpoint_index import number_of
from jade.errors import ConfigError, JadeError, UnreachableError
from jade.stored import checkpoints
from jade.stored.find import find
from jade.stored.source import Source

LAST, BEST = "last", "best"
FORMS = "RUN, RUN:last, RUN:best or RUN:1200; RUN is a folder, an id, entity/project/id or an artifact"


@dataclass(frozen=True)
class Named:
    """A run and one of its checkpoints, as a text names them.

    Attributes:
        text: as it was written.
        run: without the checkpoint.
        checkpoint: "last", "best" or a number of iterations; None if the text names none, as that of an
            artifact does.
    """

    text: str
    run: str
    checkpoint: str | None = None


def parse(text: str, root: Path, where: str) -> Named:
    """Return what a text names.

    Args:
        text: `RUN` or `RUN:CHECKPOINT`. A folder whose name holds a colon is taken as it is.
        root: the experiments folder.
        where: the text was written, for errors.

    Raises:
        ConfigError: if there is no run in it, or no such checkpoint can be.
    """
    text = text.strip()
    run, colon, tail = text.rpartition(":")
    is_suffix = bool(colon) and "/" not in tail  # as in an address, https://…
    if not text or (is_suffix and not run):
        raise ConfigError(f"{text!r} names no run.", where=where, hint=FORMS)
    if not is_suffix or _is_folder(text, root):
        return Named(text, text)
    if tail in (LAST, BEST) or tail.isdecimal():
        return Named(text, run, tail)
    if _is_path_on_wandb(run, root):
        return Named(text, text)
    raise ConfigError(
        f"{tail!r} is no checkpoint.",
        where=where,
        wanted=tail,
        choices=(LAST, BEST),
        hint="A number of iterations names a numbered one; an alias belongs to entity/project/name:alias.",
    )


def found(named: Named, root: Path, environ: Mapping[str, str]) -> tuple[Named, Source]:
    """Return where the run is, and what the text turned out to mean.

    `entity/project/name:best` may be the best checkpoint of a run, or an artifact's alias: a run of that id
    is looked for first.

    Raises:
        JadeError: as `find` does.
    """
    try:
        return named, find(named.run, root, environ)
    except UnreachableError:
        raise
    except JadeError as error:
        if named.checkpoint is None or not _is_path_on_wandb(named.run, root):
            raise
        try:
            return Named(named.text, named.text), find(named.text, root, environ)
        except JadeError:
            raise error from None


def is_here(text: str, root: Path, environ: Mapping[str, str], where: str) -> bool:
    """Say whether a run is on this machine, with the checkpoint that is named; W&B is not asked.

    Returns:
        False for what may be on W&B.

    Raises:
        JadeError: if it can only be on this machine, and is not, or has no such checkpoint.
    """
    which = parse(text, root, where)
    if not _is_folder(which.run, root) and which.run[0] not in "/.~":
        return False
    try:
        source = find(which.run, root, environ)
        there = checkpoints.listed(source)
    except JadeError as error:
        raise ConfigError(str(error), where=where) from None
    names = {str(one.iterations): one.name for one in there if number_of(one.name) is not None}
    names |= {LAST: ""} if there else {}
    names |= {BEST: ""} if any(one.name == checkpoint_index.BEST for one in there) else {}
    wanted = which.checkpoint or LAST
    if wanted not in names and not (wanted.isdecimal() and str(int(wanted)) in names):
        raise ConfigError(
            f"The run {which.run} has no checkpoint {wanted!r}.", where=where, wanted=wanted, choices=names
        )
    return True


def _is_folder(run: str, root: Path) -> bool:
    return Path(run).expanduser().is_dir() or (root / run).is_dir()


def _is_path_on_wandb(run: str, root: Path) -> bool:
    parts = run.split("/")
    return len(parts) == 3 and all(parts) and run[0] not in ".~" and not _is_folder(run, root)
