"""What a client may ask: the fields of the schema's Query."""

from __future__ import annotations

import sqlite3
from typing import Any

from jade.server import artifact_nodes, artifacts, ids, owners, project_nodes
from jade.server.context import Context
from jade.server.pages import PAGE, connection
from jade.server.project_nodes import Project


class Query:
    """Answers the queries of one request."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def viewer(self) -> dict[str, Any]:
        """Who asks."""
        return owners.user(self._context)

    @property
    def server_info(self) -> dict[str, Any]:
        """Which optional abilities there are: a client does without those that are not listed."""
        return {"features": []}

    def entity(self, name: str | None = None) -> dict[str, Any]:
        """Return an entity; every name is one."""
        return owners.entity(name or self._context.parts.entity)

    def organization(self, name: str | None = None) -> None:
        """There are no organizations, and no registries, which belong to them."""

    def users(self, query: str | None = None) -> dict[str, Any]:
        """Return the users of a name."""
        return connection([owners.user(self._context)], None, None)

    def models(
        self, entity_name: str | None = None, first: int | None = PAGE, after: str | None = None
    ) -> dict[str, Any]:
        """Return a page of the projects of an entity."""
        rows: list[sqlite3.Row] = self._context.db.execute(
            "SELECT * FROM projects WHERE entity = ? ORDER BY name",
            (entity_name or self._context.parts.entity,),
        ).fetchall()
        return connection([Project(self._context, row) for row in rows], after, first)

    def project(self, name: str | None = None, entity_name: str | None = None) -> Project | None:
        """Return a project."""
        return project_nodes.project(self._context, entity_name, name)

    def model(self, name: str | None = None, entity_name: str | None = None) -> Any:  # noqa: ANN401
        """Return a project, as a client asks before it resumes a run; one without runs if it is new."""
        found = project_nodes.project(self._context, entity_name, name)
        return found or {"id": "", "name": name, "entity": self.entity(entity_name), "bucket": None}

    def artifact(self, id: str | None = None) -> artifact_nodes.Artifact | None:
        """Return a version of an artifact, or one that is not complete yet."""
        row = artifacts.by_id(self._context.db, ids.decode("Artifact", id))
        return artifact_nodes.artifact(self._context, row)

    def artifact_collection(self, id: str | None = None) -> artifact_nodes.Collection | None:
        """Return the versions of an artifact."""
        return artifact_nodes.collection_by_id(self._context, ids.decode("ArtifactSequence", id))

    def client_id_mapping(self, client_id: str | None = None) -> dict[str, Any] | None:
        """Return the id of an artifact that its client has named before it logged it."""
        row = artifacts.by_client(self._context.db, client_id)
        return {"serverID": ids.encode("Artifact", row["id"])} if row else None
