"""The first page: the projects of the server, or of one entity."""

from __future__ import annotations

import sqlite3
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from jade.server import runs
from jade.server.context import Context
from jade.server.web import responses

_KEY = "local-" + "0" * 40  # what `python -m jade server` prints where no key is checked
_PROJECTS = """
SELECT projects.entity, projects.name,
    (SELECT COUNT(*) FROM sweeps WHERE project = projects.id) AS sweeps,
    COUNT(runs.id) AS runs,
    COALESCE(SUM(runs.state IN ('running', 'preempting') AND runs.heartbeat_at >= :alive), 0) AS running,
    COALESCE(MAX(runs.heartbeat_at), projects.created_at) AS active_at
FROM projects LEFT JOIN runs ON runs.project = projects.id
GROUP BY projects.id ORDER BY active_at DESC, projects.id
"""


def show(context: Context, request: Request) -> Response:
    """Return the page."""
    entity = request.path_params.get("entity")
    projects = [row for row in rows(context.db, context.parts.now()) if entity in (None, row["entity"])]
    if entity is not None and not projects:
        return responses.nothing(request, f"This server has no projects of {entity}.")
    return responses.page(
        request, "projects.html", projects=projects, entity=entity, base_url=context.base_url, key=_KEY
    )


def rows(db: sqlite3.Connection, now: float) -> list[Any]:
    """Return each project with its numbers of sweeps, runs and running runs, the last active one first."""
    return db.execute(_PROJECTS, {"alive": now - runs.SILENT_SECONDS}).fetchall()
