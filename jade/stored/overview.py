"""What a person wants to know of a stored run, gathered from its files without opening a checkpoint.

`overview_text` writes it. Only the small files that say it are fetched.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from jade import checkpoint_index, json_file, params, snapshot, summary
from jade.config import SECTIONS
from jade.errors import JadeError
from jade.stored import checkpoints, local_runs
from jade.stored.checkpoints import StoredCheckpoint
from jade.stored.selection import metrics_of
from jade.stored.source import Facts, FolderSource, Source
from jade.summary import BEST
from jade.texts import moment

STATUS, FACTS, DIFF = local_runs.STATUS, local_runs.FACTS, "git.diff"
_YAML = {"yaml/model.yml": "model", "yaml/data.yml": "data", "yaml/eval.yml": "eval"}
# Of the packages that were there, those that decide what a run computes.
PACKAGES = ("torch", "torchvision", "numpy", "wandb")


def about(source: Source) -> dict[str, Any]:
    """Return what can be said of a run, as JSON takes it; what is not known is None or empty.

    Raises:
        JadeError: if the run's files, or the server, do not give it.
    """
    facts = source.facts()
    files = {name: file.size for name, file in source.files().items()}
    small = [name for name in (STATUS, FACTS, *_YAML) if name in files]
    source.fetch(small)
    status, begun = (json_file.read(source.folder / name) for name in (STATUS, FACTS))
    written = _written(source.folder)
    return {
        "run": _run(source, facts),
        "began": moment(facts.began) if facts.began is not None else None,
        "updated": moment(facts.updated) if facts.updated is not None else None,
        "seconds": facts.seconds,
        "iterations": facts.iterations,
        "epochs": facts.epochs,
        "command": _command(begun),
        "config": _ordered(facts.params, written),
        "changed": _changed(facts.params, written),
        "metrics": _metrics(facts, status),
        "checkpoints": [_checkpoint(one) for one in checkpoints.listed(source)],
        "files": _kinds(files),
        "lineage": _lineage(facts, begun, status),
        "datasets": _mapping(begun.get("datasets")),
        "code": _code(begun, files, source.folder / "code"),
        "machine": {
            key: begun.get(key) for key in ("machine", "platform", "device", "device_name", "torch_threads")
        },
        "versions": _versions(begun),
    }


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _run(source: Source, facts: Facts) -> dict[str, Any]:
    return {
        "id": facts.run_id,
        "name": facts.name,
        "state": facts.state,
        "where": source.label,
        "folder": str(source.folder) if isinstance(source, FolderSource) else None,
        "url": facts.url,
        "owner": facts.owner,
        "is_foreign": facts.is_foreign,
    }


def _command(begun: Mapping[str, Any]) -> dict[str, Any]:
    command = begun.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else []
    return {"text": shlex.join(words) if words else None, "folder": begun.get("folder")}


def _written(folder: Path) -> dict[str, Any]:
    """Return the values of the run's YAML files by their dotted keys."""
    return {
        key: value
        for name, section in _YAML.items()
        for key, value in params.flatten({section: _yaml(folder / name)}).items()
    }


def _ordered(config: Mapping[str, Any], written: Iterable[str]) -> dict[str, Any]:
    """Return a configuration as its files are written, the rest sorted: a server says it in any order."""
    places = {key: number for number, key in enumerate(written)}

    def place(key: str) -> tuple[int, int, str]:
        section = key.partition(".")[0]
        first = SECTIONS.index(section) if section in SECTIONS else len(SECTIONS)
        return first, places.get(key, len(places)), key

    return {key: config[key] for key in sorted(config, key=place)}


def _changed(config: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the run's YAML files that the flags, the environment or a sweep replaced."""
    return {
        key: value
        for key, value in written.items()
        # What names a variable is another text in the file.
        if key in config and config[key] != value and "$" not in str(value)
    }


def _yaml(path: Path) -> dict[str, Any]:
    from jade.scalars import parse  # by the rules by which the run read it

    try:
        return _mapping(parse(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, JadeError, yaml.YAMLError):  # what the run can be shown without
        return {}


def _metrics(facts: Facts, status: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    said = _mapping(status.get("metrics"))
    return {
        name: {
            "last": facts.summary.get(name),
            "best": facts.summary.get(f"{name}{BEST}"),
            "best_at": _mapping(said.get(name)).get("best_at"),
            "goal": "maximize" if summary.is_max(name, _mapping(said.get(name))) else "minimize",
        }
        for name in metrics_of(facts)
    }


def _checkpoint(one: StoredCheckpoint) -> dict[str, Any]:
    return asdict(one) | {"time": moment(one.time) if one.time is not None else None}


def _kinds(files: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Return how many files of each kind there are, and their size in bytes."""
    found: dict[str, dict[str, int]] = {}
    for name, size in files.items():
        folder, is_below, _ = name.partition("/")
        kind = folder if is_below else "checkpoints" if checkpoint_index.is_checkpoint(name) else "records"
        known = found.setdefault(kind, {"count": 0, "size": 0})
        known["count"] += 1
        known["size"] += size
    return found


def _lineage(facts: Facts, begun: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, Any]:
    sweep = begun.get("sweep")
    interruptions = status.get("interruptions")
    return {
        "init_from": begun.get("init_from"),
        "sweep": facts.sweep or (sweep.get("path") if isinstance(sweep, dict) else None),
        "continued": [
            {key: one.get(key) for key in ("iterations", "was", "machine", "code", "continued")}
            for one in (interruptions if isinstance(interruptions, list) else [])
            if isinstance(one, dict)
        ],
    }


def _code(begun: Mapping[str, Any], files: Mapping[str, int], folder: Path) -> dict[str, Any]:
    code = [name for name in files if name.startswith("code/")]
    return {
        "commit": begun.get("git_commit"),
        "diff": files.get(DIFF, 0),
        "files": len(code),
        "size": sum(files[name] for name in code),
        # By which it is trusted; only of code that is here as a whole, for it is not fetched to be shown.
        "digest": _digest(folder, len(code)),
    }


def _digest(folder: Path, count: int) -> str | None:
    there = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    try:
        return snapshot.digest(folder) if count and len(there) == count else None
    except OSError:
        return None


def _versions(begun: Mapping[str, Any]) -> dict[str, Any]:
    packages = _mapping(begun.get("packages"))
    found = {"python": begun.get("python"), **{name: packages.get(name) for name in PACKAGES}}
    return {name: version for name, version in found.items() if version}
