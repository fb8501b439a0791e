"""The page of a sweep, and as JSON what its charts draw."""

from __future__ import annotations

import math
import shlex
import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from jade.server.context import Context
from jade.server.curves import Curve
from jade.server.web import axes, responses
from jade.server.web.project_page import find as find_project
from jade.server.web.sweep_view import View
from jade.server.web.wanted import Wanted

_POINTS = 40_000  # of all curves of a chart: more cannot be told apart, and take long to draw
_FEWEST, _MOST = 48, 256  # of one curve
_DIGITS = 5
# A row may be written a moment after the time that it carries.
_OVERLAP_SECONDS = 10.0


def show(context: Context, request: Request) -> Response:
    """Return the page."""
    view = _view(context, request)
    if view is None:
        return _nothing(request)
    return responses.page(
        request,
        "sweep.html",
        view=view,
        agents=_agents(context, view),
        base_url=context.base_url,
        command=shlex.quote("/".join(view.sweep[name] for name in ("entity", "project_name", "name"))),
        example=_example(view),
    )


def _example(view: View) -> str:
    """Return a filter that could be written here."""
    numbers = [axis.title for axis in view.axes if axis.scale != "category"]
    return " ".join([*(f"{title}<0.01" for title in numbers[:1]), "state=finished"])


def trials(context: Context, request: Request) -> Response:
    """Return what the charts need of each trial: where it stands on each axis, and what it is called."""
    view = _view(context, request)
    if view is None:
        return _nothing(request)
    rows = {row.key: row for row in view.table.rows}
    found = {
        "metric": view.metric,
        "goal": view.goal,
        "best": view.best.run if view.best else None,
        "axes": [axes.as_data(axis) for axis in view.axes],
        "trials": [
            {
                "run": trial.run,
                "name": trial.name,
                "state": trial.state,
                "address": rows[trial.run].address,
                "places": [axis.place(rows[trial.run].cells.get(axis.key)) for axis in view.axes],
            }
            for trial in view.trials
        ],
    }
    return responses.data(request, found)


def curves(context: Context, request: Request) -> Response:
    """Return the metric over time of each trial; with `since`, of those that were heard of after it."""
    view = _view(context, request)
    if view is None:
        return _nothing(request)
    since = _number(request.query_params.get("since", "")) - _OVERLAP_SECONDS
    most = min(_MOST, max(_FEWEST, _POINTS // max(1, len(view.curves))))
    heard = {trial.run: trial.heard_at for trial in view.trials}
    known = [view.curves[trial.run] for trial in view.trials if trial.run in view.curves]
    found = {
        "metric": view.metric,
        "scale": axes.scale_of(end for curve in known for end in (curve.least, curve.most)),
        "heard": max(heard.values(), default=0.0),
        "curves": {run: _thin(curve, most) for run, curve in view.curves.items() if heard[run] >= since},
    }
    return responses.data(request, found)


def _thin(curve: Curve, most: int) -> tuple[list[float], list[float]]:
    """Return at most so many points of a curve, the last one among them, with the digits that are seen."""
    last = len(curve.x) - 1
    kept = [*range(0, last, max(1, math.ceil(last / (most - 1)))), last]
    return [_short(curve.x[at]) for at in kept], [_short(curve.y[at]) for at in kept]


def _short(value: float) -> float:
    if value == int(value) and abs(value) < 10**9:
        return int(value)
    short = float(f"{value:.{_DIGITS}g}")
    return short if math.isfinite(short) else value  # the largest floats cannot be rounded up


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _view(context: Context, request: Request) -> View | None:
    sweep = find(context.db, request)
    if sweep is None:
        return None
    return View.of(context.db, sweep, Wanted.of(request.query_params), context.parts.now())


def find(db: sqlite3.Connection, request: Request) -> sqlite3.Row | None:
    """Return the row of the sweep that an address names, with `entity` and `project_name`."""
    path = request.path_params
    project = find_project(db, path["entity"], path["project"])
    if project is None:
        return None
    row: sqlite3.Row | None = db.execute(
        "SELECT sweeps.*, projects.entity, projects.name AS project_name FROM sweeps"
        " JOIN projects ON projects.id = sweeps.project WHERE sweeps.name = ? AND sweeps.project = ?",
        (path["sweep"], project["id"]),
    ).fetchone()
    return row


def _nothing(request: Request) -> Response:
    path = request.path_params
    return responses.nothing(
        request, f"This server has no sweep {path['sweep']} in {path['entity']}/{path['project']}."
    )


def _agents(context: Context, view: View) -> int:
    """Return how many agents work on a sweep: those that were heard of lately."""
    alive = context.parts.now() - context.parts.dispatcher.patience.grace
    row = context.db.execute(
        "SELECT COUNT(*) FROM agents WHERE sweep = ? AND heartbeat_at >= ?", (view.sweep["id"], alive)
    ).fetchone()
    return int(row[0])
