"""Run the evaluations of a stored run again, also on other data (`evaluate RUN`)."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jade import record
from jade.entries import Entry
from jade.errors import ConfigError
from jade.stored.run import CODE, load


def run(arguments: Sequence[str]) -> int:
    """Evaluate a stored run; return the exit code."""
    given = _parser().parse_intermixed_args(arguments)  # a name may follow a flag
    if given.into is not None and given.into.exists() and not given.into.is_dir():
        raise ConfigError(f"{given.into} is no folder.", where="--into")
    opened = load(given.run, code=given.code, trust_code=given.trust_code)
    found = opened.entries(
        given.names or None,
        {"data": given.data_conf, "eval": given.eval_conf},
        checkpoint=given.checkpoint,
        device=given.device,
    )
    files = _written(found, given.into) if given.into else {}
    sys.stdout.write(_as_json(found, files) if given.format == "json" else _as_text(found, files))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m jade evaluate",
        description="Run the evaluations of a stored run again, also on other data.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="folder, id, entity/project/id or entity/project/name:alias")
    add(
        "names",
        metavar="NAME",
        nargs="*",
        default=[],
        help="evaluations, or metrics EVALUATION/part (default all)",
    )
    add("--data_conf", "--data-conf", metavar="FILE", help="data file, instead of the run's own")
    add("--eval_conf", "--eval-conf", metavar="FILE", help="evaluation file, instead of the run's own")
    add("--checkpoint", metavar="WHICH", default="last", help="last, best, or iterations (default last)")
    add("--device", help="cpu, cuda, cuda:1, mps (default: DEVICE, else the best there is)")
    add("--code", choices=CODE, default="snapshot", help="whose classes (default: the run's snapshot)")
    add("--trust-code", action="store_true", help="execute code that is another entity's")
    add("--into", metavar="DIR", type=Path, help="folder for figures, images, tables and texts")
    add("--format", choices=("text", "json"), default="text", help="of what is printed (default text)")
    return parser


def _written(found: Sequence[Entry], into: Path) -> dict[str, Path]:
    """Write what is no number below a folder; return the files by name."""
    into.mkdir(parents=True, exist_ok=True)
    return {
        entry.name: record.write_media(into, entry.name, entry.kind, entry.value)
        for entry in found
        if entry.kind != "scalar"
    }


def _as_text(found: Sequence[Entry], files: dict[str, Path]) -> str:
    if not found:
        return "The run has no evaluations.\n"
    width = max(len(entry.name) for entry in found)
    lines = []
    for entry in found:
        if entry.kind == "scalar":
            shown = f"{entry.value:.6g}"
        else:
            shown = str(files.get(entry.name) or f"({entry.kind}: --into DIR writes it)")
        lines.append(f"{entry.name:<{width}}  {shown}\n")
    return "".join(lines)


def _as_json(found: Sequence[Entry], files: dict[str, Path]) -> str:
    values: dict[str, Any] = {}
    for entry in found:
        if entry.kind == "scalar":
            # JSON has no word for these.
            values[entry.name] = entry.value if math.isfinite(entry.value) else str(entry.value)
        else:
            values[entry.name] = str(files[entry.name]) if entry.name in files else None
    return json.dumps(values, indent=2) + "\n"
