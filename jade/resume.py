"""A run that was begun before: where it is, what it was, and with which configuration and code it goes on.

Reads a run's folder and nothing else; what is done with it is `experiment`'s affair, and fetching a folder
from W&B `tracking.wandb_store`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jade import agent, config, json_file, params, scalars, snapshot
from jade.config import Config
from jade.errors import CheckpointError, ConfigError, nearest
from jade.options import Options

CONFIG = "config.yml"
# The packages whose versions decide about bits.
_EXACT = ("torch", "numpy", "torchvision")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """A run as its folder has it.

    Attributes:
        directory: the run's folder.
        config: every value as it was used.
        schedule: what its flags said about logging and saving.
        facts: what it was started with (`environment.json`).
        status: how far it came (`status.json`).
    """

    directory: Path
    config: Config
    schedule: Mapping[str, str]
    facts: Mapping[str, Any]
    status: Mapping[str, Any]

    @property
    def code(self) -> Path:
        """The snapshot of its code."""
        return self.directory / "code"


def is_remote(run: str) -> bool:
    """Say whether `run` is the path of a run on W&B, entity/project/id, and no folder here."""
    parts = run.split("/")
    return len(parts) == 3 and all(parts) and run[0] not in ".~" and not Path(run).exists()


def located(run: str, root: Path) -> Path:
    """Return the folder of a run that is named by it, or by its id.

    Raises:
        CheckpointError: if there is none; runs with similar ids are named.
    """
    for folder in (Path(run), root / run):
        if (folder / CONFIG).is_file():
            return folder.absolute()
    known = sorted(path.parent.name for path in root.glob(f"*/{CONFIG}"))
    found = [folder for folder in (Path(run), root / run) if folder.is_dir()]
    if found:
        raise CheckpointError(
            f"{found[0]} holds no run that could be continued: there is no {CONFIG}.",
            where="--resume",
            hint="It was killed before it began: start it anew, as --run_id ID --resume auto does.",
        )
    name = Path(run).name
    near = nearest(name, known)
    raise CheckpointError(
        f"There is no run {run!r}, neither as a folder nor in {root}.",
        where="--resume",
        hint=(f"did you mean: {near}\n" if near else "")
        + (f"known: {', '.join(known[-30:])}\n" if known else "")
        + "On W&B a run is entity/project/id; --experiments-root names another folder.",
    )


def read(folder: Path) -> Earlier:
    """Return what a run's folder says of it.

    Raises:
        JadeError: if its configuration cannot be read.
    """
    path = folder / CONFIG
    try:
        texts = {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("yaml/*.yml"))}
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"The run's files in {folder} cannot be read: {error}") from None
    facts = json_file.read(folder / "environment.json")
    said = facts.get("schedule")
    if not isinstance(said, dict):
        _log.warning(
            "%s does not say how often the run logged and saved: defaults.", folder / "environment.json"
        )
    schedule = {name: str(value) for name, value in said.items()} if isinstance(said, dict) else {}
    return Earlier(
        folder, config.recorded(path, texts), schedule, facts, json_file.read(folder / "status.json")
    )


def configuration(earlier: Earlier, options: Options, composed: Config | None) -> Config:
    """Return the configuration a run goes on with: its own, in which flags and overrides win.

    Args:
        earlier: the run.
        options: the command line.
        composed: what the command line would start, where it says so (`--resume auto`): differences are
            named.

    Raises:
        ConfigError: if a flag or an override does not fit the run's configuration, or names other weights to
            begin with.
    """
    flags = {
        key: (value, origin)
        for key, (value, origin) in options.top.items()
        if value is not None and origin != "default" and key != "arch_impl"
    }
    going_on = replace(earlier.config, aliases=composed.aliases) if composed else earlier.config
    for key, (value, origin) in flags.items():
        going_on = config.override(going_on, {key: value}, origin)
    going_on = config.override_all(going_on, options.params, options.overrides)
    _refuse_another_beginning(earlier.config, going_on)
    if composed is not None:
        differing = _differing(going_on, composed, agent.handed(options.environ))
        if differing:
            _log.warning(
                "The run %s goes on with its own configuration, from which the files differ now:\n%s",
                earlier.directory.name,
                "\n".join(differing),
            )
    return going_on


def _refuse_another_beginning(own: Config, wanted: Config) -> None:
    for key in config.INIT:
        had, asked = (found.values.get(key) for found in (own, wanted))
        if had != asked:
            raise ConfigError(
                f"{key} is set to {scalars.dump(asked, flow=True)}, but the run was begun with"
                f" {scalars.dump(had, flow=True)}, and goes on with its own weights.",
                where=wanted.where(key),
                hint="A new run begins with other weights: leave out --resume, and give it an id of its own.",
            )


def _differing(own: Config, other: Config, trial: Mapping[str, Any]) -> list[str]:
    ours, theirs = own.flat, other.flat
    with suppress(ConfigError):  # a sweep's params count as said, if the files still know them
        theirs = params.accept(theirs, trial, "sweep")
    shown = {key: (_shown(ours, key), _shown(theirs, key)) for key in sorted({*ours, *theirs})}
    return [f"  {key}: {old} (now {new})" for key, (old, new) in shown.items() if old != new]


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return scalars.dump(flat[key], flow=True) if key in flat else "absent"


def project_of(earlier: Earlier, present: Path, architecture: Path, wanted: str) -> tuple[Path, list[str]]:
    """Return the folder whose code the run goes on with, and the files that differ from its snapshot.

    Args:
        earlier: the run.
        present: the project on disk.
        architecture: the architecture file on disk.
        wanted: "snapshot" or "current".
    """
    changed = snapshot.differences(earlier.code, present, architecture)
    if not changed:
        return present, []
    names = f"{', '.join(changed[:5])}{' …' if len(changed) > 5 else ''}"
    if wanted == "current":
        _log.warning("The present code is used, which is not the code the run was begun with: %s.", names)
        return present, changed
    _log.warning(
        "The code has changed since the run was begun (%s): its own snapshot is used. --code current uses the"
        " present code.",
        names,
    )
    return earlier.code, changed


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs of the conditions under which a run gives the same bits."""
    pairs = {
        "threads": (before.get("torch_threads"), now["torch_threads"]),
        "device": tuple(str(facts.get("device") or "").partition(":")[0] for facts in (before, now)),
        "device name": (before.get("device_name"), now["device_name"]),
        "processor": (before.get("cpu_capability"), now.get("cpu_capability")),
        "Python": (before.get("python"), now.get("python")),
    }
    versions = [
        facts["packages"] if isinstance(facts.get("packages"), dict) else {} for facts in (before, now)
    ]
    pairs |= {name: (versions[0].get(name), versions[1].get(name)) for name in _EXACT}
    return [f"{name} {old} then, {new} now" for name, (old, new) in pairs.items() if old and old != new]


def told_complete(name: str, state: Mapping[str, Any], epochs: int) -> str:
    """Return the line that says that nothing is left to do."""
    loop = state["loop"]
    ended = " It was ended by end_training()." if loop["has_ended"] else ""
    more = "" if loop["has_ended"] else f" --epochs with more than {epochs} makes it longer."
    done = f"{state['epochs']} epochs, {state['iterations']} iterations"
    return f"The run {name} is complete: {done}.{ended}{more}"
