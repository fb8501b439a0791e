"""The state that one of a stored run's checkpoints holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from jade import checkpoint
from jade.checkpoint import Checkpoints
from jade.checkpoint_index import BACKUP, BEST, PREVIOUS, is_checkpoint, number_of
from jade.errors import CheckpointError
from jade.stored.checkpoints import StoredCheckpoint, listed
from jade.stored.source import Source


def state(
    source: Source, wanted: str | int, device: torch.device | None = None
) -> tuple[Path, dict[str, Any]]:
    """Return the path of a checkpoint and what it holds, fetched if need be.

    Args:
        source: of the run.
        wanted: "last", the newest whole one; "best"; or the iterations after which one was written.
        device: where its tensors go that were on a GPU.

    Raises:
        CheckpointError: if there is no such checkpoint, or it is damaged; those there are are named.
        JadeError: if it cannot be fetched.
    """
    name = _named(source, wanted)
    if name is None:
        return _last(source, device)
    path = source.path(name)
    return path, checkpoint.read(path, device)


def _named(source: Source, wanted: str | int) -> str | None:
    """Return the file of a checkpoint; None for the newest one, which may be any."""
    files = source.files()
    if wanted == "last":
        return None
    if wanted == "best" and BEST in files:
        return BEST
    if isinstance(wanted, int) or str(wanted).isdecimal():
        number = int(wanted)
        exact = [one.name for one in listed(source) if one.iterations == number]
        if exact:
            return exact[0]
    if str(wanted) in files and is_checkpoint(str(wanted)):
        return str(wanted)
    hint = "\n".join(_told(one) for one in listed(source)) or "The run has none."
    if wanted == "best":
        hint += "\n--best-metric NAME keeps the best one as a run goes."
    raise CheckpointError(
        f"The run {source.label} has no checkpoint {wanted!r}.",
        hint=f"There are 'last' and:\n{hint}" if listed(source) else hint,
    )


def _told(one: StoredCheckpoint) -> str:
    at = f"iteration {one.iterations}" if one.iterations is not None else "its iteration is in the file"
    best = f", {one.metric} {one.value:.5g}" if one.metric and one.value is not None else ""
    return f"  {one.name}: {at}{best}"


def _last(source: Source, device: torch.device | None) -> tuple[Path, dict[str, Any]]:
    there = {one.name: one for one in listed(source)}
    numbered = [name for name in there if number_of(name) is not None]
    wanted = [name for name in (BACKUP, *numbered[-1:]) if name in there]
    wanted = wanted or [name for name in (PREVIOUS, BEST) if name in there][:1]
    if not wanted:
        raise CheckpointError(
            f"The run {source.label} has no checkpoint; it is {source.facts().state}.",
            hint="--backup-every and --checkpoint-every say when one is written.",
        )
    backup = there.get(BACKUP)
    if backup and backup.iterations is not None:  # a numbered one is fetched only if it is newer
        newer = [name for name in numbered[-1:] if (there[name].iterations or 0) > backup.iterations]
        wanted = [BACKUP, *newer]
    source.fetch(wanted)
    if wanted == [BEST]:
        return source.folder / BEST, checkpoint.read(source.folder / BEST, device)
    found = Checkpoints(source.folder).newest(device)
    if found is None:
        raise CheckpointError(f"The run {source.label} has no checkpoint that can be read.")
    return found
