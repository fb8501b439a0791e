"""What a sweep ends with: how it stands, its best trial, the command that trains that again, the picture."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jade import sweep_command, sweep_program
from jade import trials as found
from jade.errors import JadeError
from jade.sweep_command import ARGS_MACROS
from jade.sweep_file import Sweep
from jade.sweeps import picture
from jade.sweeps.board import standing
from jade.texts import number_text
from jade.trials import Trials


@dataclass(frozen=True)
class Words:
    """What is known of a sweep besides its trials.

    Attributes:
        why: it did not come to its end, if it did not.
        pages: where the sweep's page is, or the command that serves it.
        root: the experiments folder, if the environment does not name it.
        environ: of the trials.
    """

    why: str
    pages: str
    root: str | None
    environ: Mapping[str, str]

    def command(self, text: str) -> str:
        """Return a command as it is typed in a shell."""
        return text if self.root is None else f"EXPERIMENTS_ROOT={shlex.quote(self.root)} {text}"


def told(trials: Trials, sweep: Sweep, folder: Path, words: Words) -> str:
    """Return the last words of `sweep run`, and draw the picture.

    Args:
        trials: the sweep.
        sweep: its file.
        folder: of the sweep, on this machine.
        words: what else is said.
    """
    rows = _best(trials, sweep, words)
    if trials.rows:
        rows["picture"] = _drawn(trials, folder / f"sweep_{folder.name}.png")
        rows["table"] = words.command(f"python -m jade sweep show {folder.name}")
    rows["page"] = words.command(words.pages) if words.pages.startswith("python ") else words.pages
    lines = [words.why, ""] if words.why else []
    lines.append(f"{standing(trials)}.")
    width = max(map(len, rows), default=0) + 2
    for name, text in rows.items():
        first, *more = text.splitlines() or [""]
        lines += [f"{name:<{width}}{first}", *(f"{'':<{width}}{line}" for line in more)]
    return "\n".join(lines)


def _best(trials: Trials, sweep: Sweep, words: Words) -> dict[str, str]:
    best = found.best_of(trials)
    if best is None:
        return {}
    params = {key: best.params[key] for key in sweep.parameters if key in best.params}
    rows = {
        "best": f"{best.name} ({best.run_id}), {trials.metric} {number_text(best.last)}",
        "params": "\n".join(f"{key}  {json.dumps(value)}" for key, value in params.items()),
    }
    if best.folder is not None:
        rows["folder"] = _near(best.folder)
    again = command(sweep, params, words.environ)
    if again is not None:
        rows["again"] = words.command(again)
    return rows


def _drawn(trials: Trials, target: Path) -> str:
    try:
        picture.draw(trials, target)
    except Exception as error:  # noqa: BLE001 - whatever it is, hours of trials are not to end without a result
        return f"could not be drawn: {error}"
    return _near(target)


def command(sweep: Sweep, params: Mapping[str, Any], environ: Mapping[str, str]) -> str | None:
    """Return the command line that trains a trial again, as a run of its own; None if there is none.

    A program that is not JADE's gets its params as its agent hands them over; what it takes from W&B alone
    cannot be written on a command line.
    """
    if _is_jade(sweep, environ):
        macros = [f"${{{name}}}" for name in ("env", *ARGS_MACROS)]
        words = [word for word in sweep.command if word not in macros]
        filled = sweep_command.filled(words, sweep.program or "", {}, "", environ)
        return shlex.join([*filled, "--params", json.dumps(params)])
    macros = [f"${{{name}}}" for name in ARGS_MACROS if name != "args_json_file"]
    is_flat = set(params) <= set(sweep.values.get("parameters", {}))
    if not is_flat or not any(macro in sweep.command for macro in macros):
        return None
    words = [word for word in sweep.command if word != "${env}"]
    return shlex.join(sweep_command.filled(words, sweep.program or "", params, "", environ))


def _is_jade(sweep: Sweep, environ: Mapping[str, str]) -> bool:
    try:
        program, _ = sweep_program.started(sweep, environ)
    except JadeError:  # its files have changed since the sweep began
        return True
    return program is not None and program.is_jade


def _near(path: Path) -> str:
    """Return a path as it is shortest from the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
