"""A project: its sweeps and its runs."""

from __future__ import annotations

import sqlite3

from starlette.requests import Request
from starlette.responses import Response

from jade.server.context import Context
from jade.server.web import project_view, responses
from jade.server.web.wanted import Wanted


def find(db: sqlite3.Connection, entity: str, name: str) -> sqlite3.Row | None:
    """Return the row of a project.

    Parts of the client write a space as a plus sign, which a name may hold as well: it is tried as it is,
    then as a space.
    """
    for given in ((entity, name), (entity.replace("+", " "), name.replace("+", " "))):
        row: sqlite3.Row | None = db.execute(
            "SELECT * FROM projects WHERE entity = ? AND name = ?", given
        ).fetchone()
        if row is not None:
            return row
    return None


def show(context: Context, request: Request) -> Response:
    """Return the page."""
    path = request.path_params
    project = find(context.db, path["entity"], path["project"])
    if project is None:
        return responses.nothing(
            request, f"This server has no project {path['project']} of {path['entity']}."
        )
    now = context.parts.now()
    return responses.page(
        request,
        "project.html",
        project=project,
        sweeps=project_view.sweep_lines(context.db, project, now),
        table=project_view.run_table(context.db, project, Wanted.of(request.query_params), now),
    )
