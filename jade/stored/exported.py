"""The networks of a checkpoint as safetensors files, which every framework reads and nothing executes.

No code of the run is imported: a network is recognized by its state, which maps names to tensors.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import jade
from jade.errors import CheckpointError, ConfigError, raise_all
from jade.stored import weights
from jade.stored.source import Source

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class Written:
    """A file that was written.

    Attributes:
        path: of it.
        attribute: of the trainer, whose state it holds.
        tensors: how many.
        size: in bytes.
    """

    path: Path
    attribute: str
    tensors: int
    size: int


def export(
    source: Source,
    into: Path,
    checkpoint: str | int = "last",
    attributes: Sequence[str] = (),
    *,
    force: bool = False,
) -> tuple[list[Written], dict[str, str]]:
    """Write each network that a run stored to a file of its own, all of them or none.

    A tensor that is known by several names is written under each of them, so that a file is a whole
    `state_dict`.

    Args:
        source: of the run.
        into: folder of the files, each named after its attribute; or one file, `NAME.safetensors`, if there
            is one network.
        checkpoint: "last", "best", or the iterations after which one was written.
        attributes: only these; every one that is a network if there are none.
        force: whether files that are there are replaced.

    Returns:
        What was written; for each attribute that was left out, why.

    Raises:
        ConfigError: if files are there already, an attribute is unknown or none that can be written, or one
            file cannot take them all.
        CheckpointError: if there is no such checkpoint, or nothing can be written.
    """
    path, state = weights.state(source, checkpoint, torch.device("cpu"))
    found, left_out = _parted(state["attributes"])
    chosen = _chosen(found, left_out, attributes, source)
    targets = _targets(chosen, into)
    there = [str(target) for target in targets.values() if target.exists()]
    if there and not force:
        raise ConfigError(f"There already: {', '.join(there)}.", where="-o", hint="--force replaces it.")
    facts = source.facts()
    about = {
        "format": "pt",
        "run": source.label,
        "run_id": facts.run_id,
        "checkpoint": path.name,
        "iterations": str(state["iterations"]),
        "epochs": str(state["epochs"]),
        "trainer": str(facts.params.get("model.class", "")),
        "jade": jade.__version__,
    }
    files = {targets[name]: (chosen[name], {**about, "attribute": name}) for name in chosen}
    _write(files)
    names = {target: name for name, target in targets.items()}
    return [Written(one, names[one], len(files[one][0]), one.stat().st_size) for one in files], left_out


def _parted(states: Mapping[str, Any]) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, str]]:
    """Return the tensors of each attribute that has only those, and why each of the others is left out."""
    found, left_out = {}, {}
    for name, value in states.items():
        # A checkpoint may be anybody's, and its names become those of files.
        reason = _reason(value) if str(name).isidentifier() else "its name is none"
        if reason:
            left_out[str(name)] = reason
        else:
            found[name] = dict(value) if isinstance(value, Mapping) else {name: value}
    return found, left_out


def _reason(value: Any) -> str | None:  # noqa: ANN401 - any state
    """Return why a state is no network's; None if it is one's."""
    tensors = list(value.values()) if isinstance(value, Mapping) else [value]
    if isinstance(value, Mapping) and {"state", "param_groups"} <= set(value):
        return "an optimizer"
    if isinstance(value, Mapping) and "jade.type" in value:
        return f"a {value['jade.type']}"
    if not tensors or not all(isinstance(one, torch.Tensor) for one in tensors):
        return f"no network, but {_named(value)}"
    is_plain = all(one.layout == torch.strided and not one.is_quantized for one in tensors)
    return None if is_plain else "sparse or quantized tensors"


def _named(value: object) -> str:
    if isinstance(value, Mapping):
        return "a dictionary" if value else "an empty dictionary"
    article = "an" if type(value).__name__[0] in "aeiou" else "a"
    return f"{article} {type(value).__name__}"


def _chosen(
    found: Mapping[str, dict[str, torch.Tensor]],
    left_out: Mapping[str, str],
    wanted: Sequence[str],
    source: Source,
) -> dict[str, dict[str, torch.Tensor]]:
    faults = [
        ConfigError(
            f"{name!r} cannot be written: it is {left_out[name]}."
            if name in left_out
            else f"The run {source.label} stores no {name!r}.",
            where="--attribute",
            wanted=name,
            choices=found,
        )
        for name in wanted
        if name not in found
    ]
    raise_all(faults)
    chosen = {name: found[name] for name in found if not wanted or name in wanted}
    if not chosen:
        told = "\n".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise CheckpointError(f"The run {source.label} stores no network.", hint=told or None)
    return chosen


def _targets(chosen: Mapping[str, Any], into: Path) -> dict[str, Path]:
    if into.suffix != SUFFIX:
        if into.exists() and not into.is_dir():
            raise ConfigError(f"{into} is no folder.", where="-o", hint=f"A file's name ends with {SUFFIX}.")
        return {name: into / f"{name}{SUFFIX}" for name in chosen}
    if len(chosen) > 1:
        raise ConfigError(
            f"{into} is one file, but there are {len(chosen)} networks.",
            where="-o",
            hint="Name a folder, or one of them with --attribute.",
            choices=chosen,
        )
    return dict.fromkeys(chosen, into)


def _write(files: Mapping[Path, tuple[Mapping[str, torch.Tensor], dict[str, str]]]) -> None:
    """Write files of one folder beside it, and put them in their places when all of them are whole."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import save_file
    except ModuleNotFoundError:
        raise ConfigError(
            "export needs safetensors, which is not installed.",
            where="python -m jade export",
            hint="pip install safetensors",
        ) from None
    folder = next(iter(files)).parent
    made = list(_missing(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as beside:
            for path, (tensors, about) in files.items():
                # A copy each: the format has no views, and none that share their memory.
                whole = {name: one.detach().contiguous().clone() for name, one in tensors.items()}
                save_file(whole, Path(beside) / path.name, metadata=about)
            for path in files:
                (Path(beside) / path.name).replace(path)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        for one in made:
            if one.is_dir() and not any(one.iterdir()):
                one.rmdir()
        reason = getattr(error, "strerror", None) or str(error)
        raise CheckpointError(f"{folder} cannot be written: {reason}.", where="-o") from error


def _missing(folder: Path) -> Iterator[Path]:
    """Yield the folders that will be made, the innermost first."""
    while not folder.exists() and folder != folder.parent:
        yield folder
        folder = folder.parent
