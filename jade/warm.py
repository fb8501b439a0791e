"""The weights that a new run begins with, taken from a stored run by the names of attributes.

Weights only: no code of the other run is imported, and of its optimizers and counters nothing is taken.
`assembly` calls this between the trainer's `initialize` and everything that looks at its weights. A run that
goes on is given the same again, which `begun` keeps.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import nn

from jade import begun, state
from jade.begun import Begun
from jade.config import Config
from jade.errors import CheckpointError, ConfigError, JadeError, first_line, nearest
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
        is_again: whether the run has taken it before: nothing is told or recorded a second time.
    """

    states: Mapping[str, Any]
    facts: Mapping[str, Any]
    label: str
    where: str
    attributes: Sequence[str] | None = None
    is_partial: bool = False
    is_again: bool = False

    def give(self, trainer: Trainer) -> dict[str, Any]:
        """Put the weights into the tensors that a trainer has; return what is to be recorded and kept of it.

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
        if self.is_again:
            return {}
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


def opened(config: Config, lookup: Lookup, earlier: Begun | None = None) -> Beginning | None:
    """Return the checkpoint that a configuration says a run begins with; None if it says none.

    Args:
        config: the configuration.
        lookup: where the other run is looked for.
        earlier: how the run began before, if it goes on or is made again.

    Raises:
        JadeError: if there is no such run or checkpoint, or it cannot be read.
    """
    if config.values.get("init_from") is None:
        _refuse_half_said(config)
        return None
    if earlier is None:
        return _other(config, lookup)
    return _given_again(config, lookup, earlier) if earlier.goes_on else _taken_again(config, lookup, earlier)


def _given_again(config: Config, lookup: Lookup, earlier: Begun) -> Beginning:
    """Return what a run that goes on from a checkpoint began with, which `on_start` may look at again."""
    try:
        return replace(kept(config, earlier), is_again=True)
    except CheckpointError as error:
        lost = first_line(error)
    other = _tried(config, lookup)
    if _is_as_then(other, earlier):
        _log.warning("%s It is written anew.", lost)
        return other
    raise CheckpointError(
        f"What the run began with is lost. {lost}",
        where=config.where("init_from"),
        hint="on_start and the evaluations may make something of these weights that no checkpoint has.\n"
        f"They cannot be taken again: {_why_not(other)}\n"
        f"A copy of the run's folder, or its page on W&B, has {earlier.file.name}. A new run begins with what"
        f" this one has learned: --init-from {earlier.file.parent.name}.",
    )


def _taken_again(config: Config, lookup: Lookup, earlier: Begun) -> Beginning:
    """Return what a run begins with that is made anew as it was before.

    The other run goes first as long as it is as it was then: code that was mended since may take more of it
    than was kept.
    """
    other = _tried(config, lookup)
    if _is_as_then(other, earlier):
        return other
    try:
        own = kept(config, earlier)
    except CheckpointError as lost:
        if isinstance(other, JadeError):
            raise other from None
        if earlier.facts:
            _log.warning("%s %s They are taken nevertheless.", _why_not(other), first_line(lost))
        return other
    _log.warning("%s Those of then are taken, from %s.", _why_not(other), earlier.file)
    return own


def _tried(config: Config, lookup: Lookup) -> Beginning | JadeError:
    try:
        return _other(config, lookup)
    except JadeError as error:
        return error


def _is_as_then(other: Beginning | JadeError, earlier: Begun) -> TypeGuard[Beginning]:
    return isinstance(other, Beginning) and other.facts["sha256"] == earlier.facts.get("sha256")


def _why_not(other: Beginning | JadeError) -> str:
    if isinstance(other, JadeError):
        return first_line(other)
    return f"{other.label} is not the checkpoint that the run began with."


def kept(config: Config, earlier: Begun) -> Beginning:
    """Return what a run has kept of the other one.

    Raises:
        CheckpointError: if its file is missing or damaged.
    """
    states, facts = begun.read(earlier.file)
    is_partial = config.values.get("init_partial", False)
    # In part, what was not taken then is as initialize made it, and is so again.
    attributes = list(states) if is_partial else config.values.get("init_attributes")
    return Beginning(states, facts, str(earlier.file), config.where("init_from"), attributes, is_partial)


def _other(config: Config, lookup: Lookup) -> Beginning:
    """Return the checkpoint of the other run."""
    text, values = config.values["init_from"], config.values
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
