"""The weights that a new run begins with, taken from a stored run by the names of attributes.

Weights only: no code of the other run is imported, and of its optimizers and counters nothing is taken.
`assembly` calls this between the trainer's `initialize` and everything that looks at its weights.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from jade import state
from jade.config import Config
from jade.errors import CheckpointError, ConfigError, JadeError, nearest
from jade.fitting import Part, untied
from jade.stored import reference, weights
from jade.stored.remote import ArtifactSource
from jade.stored.source import Source
from jade.trainer import Trainer

LINES_SHOWN = 30

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lookup:
    """Where stored runs are looked for.

    Attributes:
        root: the experiments folder.
        environ: the environment, which says which server there is.
    """

    root: Path
    environ: Mapping[str, str]


@dataclass(frozen=True)
class Beginning:
    """A checkpoint of another run, read, of which a trainer is to take weights.

    Attributes:
        states: of its attributes, by name.
        facts: where it is from, as the new run records it.
        label: what errors call it.
        where: it was asked for.
        attributes: that are to be taken; None for every network and parameter.
        is_partial: whether what does not fit is left.
    """

    states: Mapping[str, Any]
    facts: Mapping[str, Any]
    label: str
    where: str
    attributes: Sequence[str] | None = None
    is_partial: bool = False

    def give(self, trainer: Trainer) -> dict[str, Any]:
        """Put the weights into the tensors that a trainer has; return what is to be recorded of it.

        Raises:
            CheckpointError: if something does not fit; everything at once, and nothing is changed.
        """
        parts = self._parts(trainer)
        left = [line for part in parts for line in part.left] + untied(parts)
        if left and not self.is_partial:
            raise self._unfit(trainer, left)
        if not any(part.taken for part in parts):
            raise self._unfit(trainer, left or ["there is nothing to take"])
        for part in parts:
            part.put(self.label)
        self._tell(parts, left)
        taken = [part.name for part in parts if part.taken]
        return {**self.facts, "attributes": taken, **({"left": left} if left else {})}

    def _parts(self, trainer: Trainer) -> list[Part]:
        stored = trainer.stored
        networks = [name for name, one in stored.items() if isinstance(one, nn.Module | nn.Parameter)]
        wrong = [_no_weights(trainer, name, networks) for name in self.attributes or () if name not in stored]
        takeable = [name for name, one in stored.items() if isinstance(one, nn.Module | torch.Tensor)]
        wrong += [
            f"{name} is of the type {type(one).__name__}: only networks, parameters and tensors are taken"
            for name, one in stored.items()
            if name in (self.attributes or ()) and name not in takeable
        ]
        if not networks and self.attributes is None:
            wrong = [f"{type(trainer).__name__} stores no network and no parameter"]
        if wrong:
            raise self._unfit(trainer, wrong, "init_attributes names what is taken of the stored attributes.")
        wanted = networks if self.attributes is None else dict.fromkeys(self.attributes)
        return [Part.of(name, stored[name], self.states) for name in wanted]

    def _unfit(self, trainer: Trainer, lines: Sequence[str], way: str | None = None) -> CheckpointError:
        if way is None:
            way = "init_partial takes what fits; init_attributes names what is taken."
            way = f"The checkpoint has: {', '.join(sorted(self.states)) or 'nothing'}.\n{way}"
        return CheckpointError(
            f"{type(trainer).__name__} cannot begin with the weights of {self.label}.",
            where=self.where,
            hint=f"{_shortened(lines)}\n{way}",
        )

    def _tell(self, parts: Sequence[Part], left: Sequence[str]) -> None:
        whole = ", ".join(part.name for part in parts if part.taken)
        _log.info("The run begins with the weights of %s: %s.", self.label, whole)
        converted = [line for part in parts for line in part.converted]
        if converted:
            _log.warning("Weights were converted to another type:\n%s", _shortened(converted))
        if left:
            _log.warning("What was left as initialize made it:\n%s", _shortened(left))


def opened(config: Config, lookup: Lookup) -> Beginning | None:
    """Return the checkpoint that a configuration says a run begins with; None if it says none.

    Raises:
        JadeError: if there is no such run or checkpoint, or it cannot be read.
    """
    text, values = config.values.get("init_from"), config.values
    if text is None:
        _refuse_half_said(config)
        return None
    where = config.where("init_from")
    wanted = reference.parse(text, lookup.root, where)
    try:
        which, source = reference.found(wanted, lookup.root, lookup.environ)
        file, found, digest = _read(source, which.checkpoint)
    except JadeError as error:
        error.add_note(f"at: {where}")
        raise
    facts = {
        "run": source.label,
        "id": str(found.get("run", source.folder.name)),
        "checkpoint": file,
        "iterations": found["iterations"],
        "epochs": found["epochs"],
        "sha256": digest,
        **_version(source),
    }
    label = f"{source.label} ({file}, iteration {found['iterations']})"
    states = {name: state.read_back(value) for name, value in found["attributes"].items()}
    is_partial = values.get("init_partial", False)
    return Beginning(states, facts, label, where, values.get("init_attributes"), is_partial)


def _refuse_half_said(config: Config) -> None:
    """Refuse a configuration that says what is taken, and nowhere from which run; it may say from none."""
    said = [key for key in ("init_attributes", "init_partial") if key in config.values]
    if said and "init_from" not in config.origins:
        raise ConfigError(
            f"{said[0]} says what is taken of another run's weights, but no run is named.",
            where=config.where(said[0]),
            hint="init_from names it, as --init-from RUN does.",
        )


def _no_weights(trainer: Trainer, name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    listed = f"; did you mean: {near}" if near else f"; known: {', '.join(known) or 'none'}"
    return f"{type(trainer).__name__} stores no attribute {name!r}{listed}"


def _shortened(lines: Sequence[str]) -> str:
    rest = len(lines) - LINES_SHOWN
    return "\n".join([*lines[:LINES_SHOWN], *([f"and {rest} more"] if rest > 0 else [])])


def _version(source: Source) -> dict[str, str]:
    """Return which artifact it was, by its version: an alias may be another one tomorrow."""
    known = source.kept() if isinstance(source, ArtifactSource) else None
    return {"artifact": known.path} if known else {}


def _read(source: Source, wanted: str | None) -> tuple[str, dict[str, Any], str]:
    """Return the file of a checkpoint, what it holds, and its digest."""
    while True:
        before = _times(source.folder)
        path, found = weights.state(source, wanted or reference.LAST)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        # The other run may be training, and have replaced it between the two.
        if before.get(path.name) in (None, _times(source.folder).get(path.name)):
            return path.name, found, digest


def _times(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.glob("*.pt"):
        with suppress(FileNotFoundError):  # the other run keeps so many only
            found[path.name] = path.stat().st_mtime_ns
    return found
