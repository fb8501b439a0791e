"""Which runs a run's page is about: its own, those beside it, and how it stands in its sweep."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jade.server import sweeps
from jade.server.web import project_page, trials
from jade.server.web.sweep_view import FAILED
from jade.server.web.trials import Trial

MOST_BESIDE = 7  # that are drawn: with the run itself as many as there are colors
MOST_FOUND = 20
LONGEST_SEARCHED = 200  # characters: SQLite takes no pattern of any length


@dataclass(frozen=True)
class Subject:
    """A run and where it is: rows of the project, the run, and its sweep and trial if it has them."""

    project: sqlite3.Row
    run: sqlite3.Row
    sweep: sqlite3.Row | None
    trial: sqlite3.Row | None


def subject(db: sqlite3.Connection, path: Mapping[str, Any]) -> Subject | None:
    """Return the run that an address names; None if there is none."""
    project = project_page.find(db, path["entity"], path["project"])
    run = _named(db, project["id"], path["run"]) if project is not None else None
    if project is None or run is None:
        return None
    sweep = sweeps.by_id(db, run["sweep"]) if run["sweep"] is not None else None
    trial = None
    if sweep is not None:
        trial = db.execute(
            "SELECT * FROM trials WHERE sweep = ? AND run = ?", (sweep["id"], run["name"])
        ).fetchone()
    return Subject(project, run, sweep, trial)


def beside(db: sqlite3.Connection, of: Subject, given: Iterable[str]) -> list[sqlite3.Row]:
    """Return the runs of the project that are named, several of them parted by commas; each once."""
    found: dict[int, sqlite3.Row] = {}
    for text in given:
        whole = _named(db, of.project["id"], text)  # a name may hold a comma
        rows = [whole] if whole else [_named(db, of.project["id"], name) for name in text.split(",")]
        found |= {row["id"]: row for row in rows if row is not None}
    found.pop(of.run["id"], None)
    return list(found.values())


def search(db: sqlite3.Connection, of: Subject, text: str) -> list[sqlite3.Row]:
    """Return runs of the project whose name holds a text, those of the same sweep first, then the newest."""
    text = text[:LONGEST_SEARCHED]
    pattern = "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return db.execute(
        "SELECT * FROM runs WHERE project = ? AND id != ?"
        " AND (name = ? OR display_name LIKE ? ESCAPE '\\' OR name LIKE ? ESCAPE '\\')"
        " ORDER BY name = ? DESC, display_name = ? DESC, sweep IS NOT ?, id DESC LIMIT ?",
        (of.project["id"], of.run["id"], text, pattern, pattern, text, text, of.run["sweep"], MOST_FOUND),
    ).fetchall()


def metric(of: Subject) -> tuple[str, bool] | None:
    """Return the metric of the run's sweep, and whether more of it is better; None if there is none."""
    told = sweeps.content(of.sweep["config"]).get("metric") if of.sweep is not None else None
    if not isinstance(told, Mapping) or not isinstance(told.get("name"), str):
        return None
    return told["name"], told.get("goal") == "maximize"


def standings(db: sqlite3.Connection, of: Subject, now: float) -> list[Trial]:
    """Return the trials of the sweep that can be compared, the best one first.

    They are those that the sweep's page chooses the best among: finished, with a number as the last value of
    the metric; before one has finished, those under way.
    """
    told = metric(of)
    if told is None or of.sweep is None:
        return []
    name, is_more_better = told
    known = [(trial, trial.last(name)) for trial in trials.of_sweep(db, of.sweep, (), now)]
    sound = [(trial, value) for trial, value in known if value is not None and math.isfinite(value)]
    able = [one for one in sound if one[0].state == "finished"]
    able = able or [one for one in sound if one[0].state not in FAILED]
    return [trial for trial, _ in sorted(able, key=lambda one: -one[1] if is_more_better else one[1])]


def _named(db: sqlite3.Connection, project: int, name: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM runs WHERE project = ? AND name = ?", (project, name)
    ).fetchone()
    return row
