"""What a sweep ends with: how it stands, its best trial, the command that trains that again, the picture."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jade import sweep_command, sweep_program
from jade import trials as found
from jade.sweep_command import ARGS_MACROS
from jade.sweep_file import Sweep
from jade.sweeps import picture
from jade.sweeps.board import number_text, standing
from jade.trials import Trials


def told(trials: Trials, sweep: Sweep, folder: Path, why: str, pages: str) -> str:
    """Return the last words of `sweep run`, and draw the picture.

    Args:
        trials: the sweep.
        sweep: its file.
        folder: of the sweep, on this machine.
        why: it did not come to its end, if it did not.
        pages: where the sweep's page is, or the command that serves it.
    """
    lines = [why, ""] if why else []
    lines.append(f"{standing(trials)}.")
    rows: dict[str, str] = {}
    best = found.best_of(trials)
    if best is not None:
        rows["best"] = f"{best.name} ({best.run_id}), {trials.metric} {number_text(best.last)}"
        params = {key: best.params[key] for key in sweep.parameters if key in best.params}
        rows["params"] = "\n".join(f"{key}  {json.dumps(value)}" for key, value in params.items())
        if best.folder is not None:
            rows["folder"] = _near(best.folder)
        rows["again"] = command(sweep, params, os.environ)
    if trials.rows:
        target = folder / f"sweep_{folder.name}.png"
        picture.draw(trials, target)

        rows["picture"] = _near(target)
        rows["table"] = f"python -m jade sweep show {folder.name}"
    rows["page"] = pages
    width = max(map(len, rows), default=0) + 2
    for name, text in rows.items():
        first, *more = text.splitlines() or [""]
        lines += [f"{name:<{width}}{first}", *(f"{'':<{width}}{line}" for line in more)]
    return "\n".join(lines) + "\n"


def command(sweep: Sweep, params: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the command line that trains a trial again, as a run of its own.

    A program of JADE's takes the params as JSON, which keeps their types; another as its command has them.
    """
    program = sweep_program.program_of(sweep, environ)
    is_jade = program is not None and program.is_jade
    left_out = ["${env}", *(f"${{{name}}}" for name in ARGS_MACROS if is_jade)]
    words = [word for word in sweep.command if word not in left_out]
    filled = sweep_command.filled(words, sweep.program or "", params, "params.json", environ)
    return shlex.join([*filled, "--params", json.dumps(params)] if is_jade else filled)


def _near(path: Path) -> str:
    """Return a path as it is shortest from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
