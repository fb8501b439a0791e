"""A project, its runs, sweeps and artifacts, as the schema answers them.

An attribute of a node is the field of its name in camel case (`graphql.py`), read from the rows of `store`.
"""

from __future__ import annotations

import json
import sqlite3
from functools import cached_property
from typing import Any

from jade.server import artifact_nodes, artifacts, filters, ids, owners, run_nodes, runs, sweep_nodes, sweeps
from jade.server.context import Context, time_text
from jade.server.pages import PAGE, connection
from jade.server.run_nodes import RUNS


class Project:
    """A project, its runs and sweeps."""

    access = "PRIVATE"
    views = "{}"
    is_benchmark = False
    read_only = False

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self._found: dict[str | None, list[filters.Subject]] = {}
        self.id = ids.encode("Project", row["id"])
        self.internal_id = str(row["id"])
        self.name = row["name"]
        self.entity_name = row["entity"]
        self.entity = owners.entity(row["entity"])
        self.description = row["description"] or ""
        self.created_at = time_text(row["created_at"])

    @property
    def user(self) -> dict[str, Any]:
        """The project's owner."""
        return owners.user(self._context)

    def run(self, name: str | None = None) -> run_nodes.Run | None:
        """Return one run."""
        row = self._context.db.execute(
            f"{RUNS} runs.project = ? AND runs.name = ?", (self._row["id"], name)
        ).fetchone()
        return run_nodes.Run(self._context, row) if row else None

    def bucket(self, name: str | None = None, missing_ok: bool = True) -> run_nodes.Run | None:
        """Return one run, as a client asks before it resumes one."""
        return self.run(name)

    def _matching(self, text: str | None) -> list[filters.Subject]:
        if text not in self._found:
            self._note_silent()
            query = json.loads(text) if text else {}
            rows = self._context.db.execute(f"{RUNS} runs.project = ?", (self._row["id"],)).fetchall()
            subjects = [filters.Subject(row, time_text) for row in rows]
            self._found[text] = [one for one in subjects if filters.matches(one, query or {})]
        return self._found[text]

    def _note_silent(self) -> None:
        with self._context.parts.store.write() as db:
            runs.note_silent(db, self._context.parts.now())

    def run_count(self, filters: str | None = None) -> int:
        """Return how many runs a filter finds."""
        return len(self._matching(filters))

    def runs(
        self,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = PAGE,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the runs that a filter finds, in an order."""
        direction = _AS_BEGUN.get(order or "+created_at")
        if direction is not None and not (filters and json.loads(filters)):
            return self._as_begun(direction, after, first)
        found = _ordered(self._matching(filters), order)
        page = connection(found, after, first)
        for edge in page["edges"]:
            edge["node"] = run_nodes.Run(self._context, edge["node"].row)
        return page

    def _as_begun(self, direction: str, after: str | None, first: int | None) -> dict[str, Any]:
        """Return a page of all runs without reading the others, of which there may be many thousands."""
        self._note_silent()
        numbers = self._context.db.execute(
            "SELECT id FROM runs WHERE project = ?"
            f" ORDER BY CAST(created_at AS INTEGER) {direction}, id {direction}",
            (self._row["id"],),
        ).fetchall()
        page = connection([row["id"] for row in numbers], after, first)
        wanted = json.dumps([edge["node"] for edge in page["edges"]])
        query = f"{RUNS} runs.id IN (SELECT value FROM json_each(?))"
        rows = {row["id"]: row for row in self._context.db.execute(query, (wanted,))}
        # One may have been deleted in between.
        page["edges"] = [edge for edge in page["edges"] if edge["node"] in rows]
        for edge in page["edges"]:
            edge["node"] = run_nodes.Run(self._context, rows[edge["node"]])
        return page

    def sweep(self, sweep_name: str | None = None) -> sweep_nodes.Sweep | None:
        """Return one sweep."""
        row = sweeps.find(self._context.db, sweep_name)
        is_here = row is not None and row["project"] == self._row["id"]
        return sweep_nodes.Sweep(self._context, row) if row is not None and is_here else None

    def sweeps(
        self, after: str | None = None, first: int | None = PAGE, filters: str | None = None
    ) -> dict[str, Any]:
        """Return a page of the sweeps, the newest first."""
        return connection(self._sweeps, after, first)

    @cached_property
    def _sweeps(self) -> list[sweep_nodes.Sweep]:
        rows = self._context.db.execute(
            "SELECT * FROM sweeps WHERE project = ? ORDER BY id DESC", (self._row["id"],)
        ).fetchall()
        return [sweep_nodes.Sweep(self._context, row) for row in rows]

    @property
    def total_sweeps(self) -> int:
        """How many sweeps there are."""
        return len(self._sweeps)

    def artifact(self, name: str | None = None) -> artifact_nodes.Artifact | None:
        """Return the version that "name:v3", "name:alias" or "name" stands for."""
        return artifact_nodes.artifact(self._context, self._artifact(name))

    def artifact_collection_membership(self, name: str | None = None) -> artifact_nodes.Membership | None:
        """Return that version as the member of its collection."""
        row = self._artifact(name)
        return artifact_nodes.Membership(self._context, row) if row else None

    def _artifact(self, name: str | None) -> sqlite3.Row | None:
        return artifacts.find(self._context.db, self._row["id"], name)

    def artifact_type(self, name: str | None = None) -> artifact_nodes.Type | None:
        """Return a type of artifacts."""
        found = [one for one in artifact_nodes.types(self._context, self._row["id"]) if one.name == name]
        return found[0] if found else None

    def artifact_types(self, after: str | None = None, first: int | None = PAGE) -> dict[str, Any]:
        """Return a page of the types of artifacts."""
        return connection(artifact_nodes.types(self._context, self._row["id"]), after, first)

    def artifact_collection(self, name: str | None = None) -> artifact_nodes.Collection | None:
        """Return a collection of artifacts."""
        return artifact_nodes.collection(self._context, self._row["id"], name)

    def artifact_collections(
        self,
        after: str | None = None,
        first: int | None = PAGE,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the collections of artifacts."""
        found = artifact_nodes.collections(self._context, self._row["id"], filters, order)
        return connection(found, after, first)


_ordered = filters.ordered
_AS_BEGUN = {"+created_at": "ASC", "created_at": "ASC", "-created_at": "DESC"}


def project(context: Context, owner: str | None, name: str | None) -> Project | None:
    """Return a project, or None."""
    row = context.db.execute(
        "SELECT * FROM projects WHERE entity = ? AND name = ?", (owner or context.parts.entity, name)
    ).fetchone()
    return Project(context, row) if row else None
