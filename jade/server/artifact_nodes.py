"""What the schema's types of artifacts answer: types, collections, versions and their files.

Like `nodes`, which uses it. Runs and projects are shown here by their names only.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from jade.server import artifact_files, artifacts, filters, ids, owners
from jade.server.context import Context, time_text
from jade.server.pages import PAGE, connection

_ARTIFACT_KEYS = {
    "state": "state", "digest": "digest", "description": "description", "size": "size", "tags": "tags",
    "version": "version", "versionIndex": "version", "fileCount": "file_count", "createdAt": "created_at",
    "created_at": "created_at", "updatedAt": "updated_at", "updated_at": "updated_at",
}  # fmt: skip
_COLLECTION_KEYS = {
    "name": "name", "description": "description", "tags": "tags", "type": "type", "createdAt": "created_at",
    "created_at": "created_at", "updatedAt": "updated_at", "updated_at": "updated_at",
}  # fmt: skip


class Type:
    """A type of artifacts in a project, such as "model"."""

    description = None

    def __init__(self, context: Context, project: int, row: sqlite3.Row) -> None:
        self._context = context
        self._project = project
        self.id = ids.encode("ArtifactType", row["id"])
        self.name = row["name"]
        self.created_at = time_text(row["created_at"])

    def artifact_collection(self, name: str | None = None) -> Collection | None:
        """Return a collection of this type."""
        found = collection(self._context, self._project, name)
        return found if found and found.type == self.name else None

    def artifact_collections(
        self,
        after: str | None = None,
        first: int | None = PAGE,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the collections of this type."""
        found = collections(self._context, self._project, filters, order)
        return connection([one for one in found if one.type == self.name], after, first)


def types(context: Context, project: int) -> list[Type]:
    """Return the types of a project's artifacts; a type is known by its first collection."""
    rows = context.db.execute(
        "SELECT min(id) AS id, type AS name, min(created_at) AS created_at FROM collections"
        " WHERE project = ? GROUP BY type ORDER BY type",
        (project,),
    ).fetchall()
    return [Type(context, project, row) for row in rows]


class Collection:
    """The versions of one artifact."""

    typename = "ArtifactSequence"
    # wandb 0.31 computes its sums as this server checks them, if it is told so.
    digest_algorithm = "MANIFEST_MD5"

    def __init__(self, context: Context, row: sqlite3.Row, state: str = "READY") -> None:
        self._context = context
        self._number = row["id"]
        self._project = row["project"]
        self.id = ids.encode("ArtifactSequence", row["id"])
        self.name = row["name"]
        self.type = row["type"]
        self.description = row["description"]
        self.created_at = time_text(row["created_at"])
        self.updated_at = time_text(row["updated_at"])
        self.state = state
        self.default_artifact_type = {"name": row["type"]}
        self.tags = {"edges": [{"node": tag} for tag in _tags(row["tags"])]}

    @cached_property
    def project(self) -> dict[str, Any]:
        """The project it is in."""
        return owners.project(self._context, self._project)

    def aliases(self, after: str | None = None, first: int | None = PAGE) -> dict[str, Any]:
        """Return a page of the aliases of all versions."""
        rows = self._context.db.execute(
            "SELECT * FROM aliases WHERE collection = ? ORDER BY id", (self._number,)
        ).fetchall()
        return connection([_alias(row, self) for row in rows], after, first)

    def artifacts(
        self,
        after: str | None = None,
        first: int | None = PAGE,
        order: str | None = None,
        filters: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the versions that a filter finds, the newest first."""
        rows = self._context.db.execute(
            "SELECT * FROM artifacts WHERE collection = ? AND state = 'COMMITTED' ORDER BY version DESC",
            (self._number,),
        ).fetchall()
        page = connection(_chosen(rows, _ARTIFACT_KEYS, filters, order), after, first)
        for edge in page["edges"]:
            edge["version"] = f"v{edge['node']['version']}"
            edge["node"] = Artifact(self._context, edge["node"])
        return page

    @property
    def latest_artifact(self) -> Artifact | None:
        """The latest version."""
        row = artifacts.version(self._context.db, self._number, artifacts.LATEST)
        return Artifact(self._context, row) if row else None

    def artifact_membership(self, alias_name: str | None = None) -> Membership | None:
        """Return the version of an alias, or of a number such as "v3"."""
        row = artifacts.version(self._context.db, self._number, alias_name)
        return Membership(self._context, row) if row else None


def collection(context: Context, project: int, name: str | None) -> Collection | None:
    """Return a collection of a project."""
    row = artifacts.collection(context.db, project, name)
    return Collection(context, row) if row else None


def collection_by_id(context: Context, number: int | None) -> Collection | None:
    """Return a collection."""
    row = context.db.execute("SELECT * FROM collections WHERE id = ?", (number,)).fetchone()
    return Collection(context, row) if row else None


def collections(
    context: Context, project: int, wanted: str | None = None, order: str | None = None
) -> list[Collection]:
    """Return the collections of a project that a filter finds, the newest first."""
    rows = context.db.execute(
        "SELECT * FROM collections WHERE project = ? ORDER BY id DESC", (project,)
    ).fetchall()
    return [Collection(context, row) for row in _chosen(rows, _COLLECTION_KEYS, wanted, order)]


class Artifact:
    """One version of a collection, or one that is not complete yet."""

    ttl_duration_seconds = 0
    ttl_is_inherited = True
    commit_hash = None
    digest_algorithm = Collection.digest_algorithm

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self.id = ids.encode("Artifact", row["id"])
        self.version_index = row["version"]
        self.state = row["state"]
        self.digest = row["digest"]
        self.description = row["description"]
        self.metadata = row["metadata"]
        self.history_step = row["history_step"]
        self.size = row["size"]
        self.file_count = row["file_count"]
        self.tags = _tags(row["tags"])
        self.created_at = time_text(row["created_at"])
        self.updated_at = time_text(row["updated_at"])

    @cached_property
    def artifact_sequence(self) -> Collection | None:
        """The collection it is a version of."""
        return collection_by_id(self._context, self._row["collection"])

    @property
    def artifact_type(self) -> dict[str, Any]:
        """What kind of artifact it is."""
        return {"name": self.artifact_sequence.type if self.artifact_sequence else None}

    @property
    def aliases(self) -> list[dict[str, Any]]:
        """The names it goes by, besides its number."""
        rows = artifacts.aliases_of(self._context.db, self._row["id"])
        return [_alias(row, self.artifact_sequence) for row in rows]

    @property
    def current_manifest(self) -> dict[str, Any] | None:
        """The list of its files, itself a file."""
        row = self._context.db.execute(
            "SELECT * FROM manifests WHERE artifact = ? AND blob IS NOT NULL ORDER BY id DESC",
            (self._row["id"],),
        ).fetchone()
        return artifact_files.manifest(self._context, row) if row else None

    @property
    def created_by(self) -> dict[str, Any] | None:
        """The run that has logged it first."""
        rows = _runs(self._context, "runs.id = ?", self._row["run"])
        return rows[0] if rows else None

    @property
    def used_by(self) -> dict[str, Any]:
        """The runs that have used it."""
        where = "runs.id IN (SELECT run FROM artifact_runs WHERE artifact = ? AND role = 'input')"
        return connection(_runs(self._context, where, self._row["id"]), None, None)

    @property
    def artifact_memberships(self) -> dict[str, Any]:
        """The collections it is in, which is one."""
        return connection([Membership(self._context, self._row)], None, None)

    def files(
        self, names: Sequence[str] | None = None, after: str | None = None, first: int | None = PAGE
    ) -> dict[str, Any]:
        """Return a page of the files, and of the references, or of some by name."""
        rows = self._context.db.execute(
            "SELECT * FROM artifact_files WHERE artifact = ? ORDER BY name", (self._row["id"],)
        ).fetchall()
        wanted = None if names is None else set(names)
        page = connection([row for row in rows if wanted is None or row["name"] in wanted], after, first)
        for edge in page["edges"]:
            edge["node"] = artifact_files.stored(self._context, edge["node"])
        return page

    def files_by_manifest_entries(
        self,
        storage_layout: str | None = None,
        manifest_version: str | None = None,
        entries: Sequence[Mapping[str, Any]] | None = None,
        storage_region: str | None = None,
    ) -> dict[str, Any]:
        """Return the files that some entries of a manifest name."""
        return self.files([str(entry.get("name")) for entry in entries or ()], first=None)


class Membership:
    """A version as the member of its collection."""

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self.artifact = Artifact(context, row)
        self.id = ids.encode("ArtifactCollectionMembership", row["id"])
        self.version_index = row["version"]
        self.created_at = self.artifact.created_at
        self.aliases = self.artifact.aliases
        self.artifact_collection = self.artifact.artifact_sequence
        self.files = self.artifact.files


def artifact(context: Context, row: sqlite3.Row | None) -> Artifact | None:
    """Return the node of a row, if there is one."""
    return Artifact(context, row) if row else None


def of_run(context: Context, run: int, role: str, after: str | None, first: int | None) -> dict[str, Any]:
    """Return a page of what a run has as "input" or "output"."""
    rows = context.db.execute(
        "SELECT artifacts.* FROM artifacts JOIN artifact_runs ON artifact_runs.artifact = artifacts.id"
        " WHERE artifact_runs.run = ? AND role = ? AND state = 'COMMITTED' ORDER BY artifacts.id",
        (run, role),
    ).fetchall()
    return connection([Artifact(context, row) for row in rows], after, first)


def _chosen(
    rows: Iterable[sqlite3.Row], keys: Mapping[str, str], wanted: str | None, order: str | None
) -> list[sqlite3.Row]:
    """Return the rows that a filter finds, in an order, else in their own."""
    query = (json.loads(wanted) if wanted else None) or {}
    subjects = [filters.Columns(row, keys, time_text) for row in rows]
    found = [one for one in subjects if filters.matches(one, query)]
    return [one.row for one in (filters.ordered(found, order) if order else found)]


def _runs(context: Context, where: str, value: object) -> list[dict[str, Any]]:
    rows = context.db.execute(f"SELECT * FROM runs WHERE {where} ORDER BY id", (value,)).fetchall()
    return [
        {
            "id": ids.encode("Run", row["id"]),
            "name": row["name"],
            "displayName": row["display_name"],
            "project": owners.project(context, row["project"]),
        }
        for row in rows
    ]


def _alias(row: sqlite3.Row, collection: Collection | None) -> dict[str, Any]:
    return {
        "id": ids.encode("ArtifactAlias", row["id"]),
        "alias": row["alias"],
        "artifactCollection": collection,
    }


def _tags(names: str) -> list[dict[str, Any]]:
    return [tag(name) for name in json.loads(names)]


def tag(name: str) -> dict[str, Any]:
    """Return a tag, which is nothing but its name."""
    return {"id": base64.b64encode(f"Tag:{name}".encode()).decode(), "name": name}
