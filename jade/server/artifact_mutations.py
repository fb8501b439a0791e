"""What a client may change about artifacts: the rest of the schema's Mutation, each one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from jade.server import artifact_files, artifact_nodes, artifacts, drafts, ids, manifests, runs
from jade.server.blobs import checked_name
from jade.server.context import Context
from jade.server.runs import RefusedError

MOST_FILES = 10_000  # in one request
_SUCCESS = {"success": True}
# An incremental or a distributed artifact has manifests that the server would have to put together.
_MANIFEST = "FULL"

Input = Mapping[str, Any]


class ArtifactMutation:
    """Makes the changes of one request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._parts = context.parts

    def create_artifact(self, input: Input) -> dict[str, Any]:
        """Begin an artifact, or find the version with the same contents."""
        with self._parts.store.write() as db:
            number = drafts.create(db, input, self._parts.entity, self._parts.now())
        return self._artifact(number)

    def create_artifact_manifest(self, input: Input) -> dict[str, Any]:
        """Tell where the manifest of an artifact is to be put."""
        kind = input.get("type") or _MANIFEST
        if kind != _MANIFEST:
            raise RefusedError(
                f"This server serves whole artifacts only: neither incremental nor distributed ones ({kind})."
            )
        artifact = _known("Artifact", input.get("artifactID"))
        values = (artifact, checked_name(input.get("name")), str(input.get("digest") or ""))
        with self._parts.store.write() as db:
            drafts.opened(db, artifact)
            row = db.execute(
                "INSERT INTO manifests (artifact, name, digest) VALUES (?, ?, ?) RETURNING *", values
            ).fetchone()
        return {"artifactManifest": artifact_files.manifest(self._context, row)}

    def update_artifact_manifest(self, input: Input) -> dict[str, Any]:
        """Tell where a manifest that has changed is to be put."""
        number = _known("ArtifactManifest", input.get("artifactManifestID"))
        with self._parts.store.write() as db:
            row = db.execute(
                "UPDATE manifests SET digest = coalesce(?, digest) WHERE id = ? RETURNING *",
                (input.get("digest"), number),
            ).fetchone()
            if row is None:
                raise RefusedError("There is no such manifest.")
            drafts.opened(db, row["artifact"])
        return {"artifactManifest": artifact_files.manifest(self._context, row)}

    def create_artifact_files(self, input: Input) -> dict[str, Any]:
        """Tell where files of artifacts are to be put; those that are there already are put nowhere."""
        files = input.get("artifactFiles") or []
        if len(files) > MOST_FILES:
            raise RefusedError(f"{len(files)} files are too many for one request.")
        now = self._parts.now()
        with self._parts.store.write() as db:
            rows = [
                drafts.want_file(
                    db,
                    _known("Artifact", file.get("artifactID")),
                    checked_name(file.get("name")),
                    str(file.get("md5")),
                    now,
                )
                for file in files
            ]
        nodes = [artifact_files.wanted(self._context, row) for row in rows]
        return {"files": {"edges": [{"node": node} for node in nodes]}}

    def commit_artifact(self, input: Input) -> dict[str, Any]:
        """Make an artifact the newest version, now that all its files are uploaded."""
        number = _known("Artifact", input.get("artifactID"))
        blob = drafts.manifest_blob(self._context.db, number)
        entries = manifests.read(self._parts.blobs.path(blob)) if blob else []
        with self._parts.store.write() as db:
            left = drafts.commit(db, number, entries, self._parts.now())
        self._drop(left)
        return self._artifact(number)

    def use_artifact(self, input: Input) -> dict[str, Any]:
        """Note that a run uses an artifact."""
        number = _known("Artifact", input.get("artifactID"))
        entity = input.get("entityName") or self._parts.entity
        with self._parts.store.write() as db:
            row = _row(db, number)
            run = runs.find(db, entity, str(input.get("projectName")), str(input.get("runName")))
            if run is None:
                raise RefusedError(f"There is no run {input.get('runName')!r} in {entity}.")
            artifacts.link(db, row["id"], run["id"], "input")
        return self._artifact(number)

    def update_artifact(self, input: Input) -> dict[str, Any]:
        """Change what is said about a version."""
        number = _known("Artifact", input.get("artifactID"))
        drafts.refuse_time_to_live(input)
        with self._parts.store.write() as db:
            row = _row(db, number)
            changes = {
                "description": input.get("description"),
                "metadata": artifacts.checked_metadata(input.get("metadata")),
                "tags": artifacts.retagged(row, input.get("tagsToAdd"), input.get("tagsToDelete")),
            }
            _set(db, "artifacts", row["id"], changes, self._parts.now())
        return self._artifact(number)

    def delete_artifact(self, input: Input) -> dict[str, Any]:
        """Delete a version."""
        number = _known("Artifact", input.get("artifactID"))
        with self._parts.store.write() as db:
            left = artifacts.delete(db, number, bool(input.get("deleteAliases")))
        self._drop(left)
        return {"artifact": {"id": input.get("artifactID")}}

    def add_aliases(self, input: Input) -> dict[str, Any]:
        """Give a version aliases, which other versions lose."""
        with self._parts.store.write() as db:
            row, aliases = self._aliased(db, input)
            artifacts.name_it(db, row["id"], [artifacts.checked_alias(alias) for alias in aliases])
        return _SUCCESS

    def delete_aliases(self, input: Input) -> dict[str, Any]:
        """Take aliases from a version."""
        with self._parts.store.write() as db:
            row, aliases = self._aliased(db, input)
            artifacts.unname(db, row["id"], aliases)
        return _SUCCESS

    def _aliased(self, db: sqlite3.Connection, input: Input) -> tuple[sqlite3.Row, list[str]]:
        """Return the version of an input, and the aliases, which must be in its own collection."""
        row = _row(db, _known("Artifact", input.get("artifactID")))
        own = db.execute("SELECT name FROM collections WHERE id = ?", (row["collection"],)).fetchone()["name"]
        given = input.get("aliases") or []
        others = {str(item.get("artifactCollectionName") or own) for item in given} - {own}
        if others:
            raise RefusedError(f"This version is of {own!r}: it can have no alias in {min(others)!r}.")
        return row, [str(item.get("alias")) for item in given]

    def delete_artifact_sequence(self, input: Input) -> dict[str, Any]:
        """Delete a collection and all its versions."""
        with self._parts.store.write() as db:
            row = _collection(db, input)
            left = artifacts.delete_collection(db, row["id"])
        self._drop(left)
        return {"artifactCollection": artifact_nodes.Collection(self._context, row, "DELETED")}

    def update_artifact_sequence(self, input: Input) -> dict[str, Any]:
        """Rename a collection, or change its description."""
        with self._parts.store.write() as db:
            row = _collection(db, input)
            changes = {"description": input.get("description")}
            if input.get("name") is not None:
                changes["name"] = artifacts.checked(input["name"], "an artifact")
                taken = artifacts.collection(db, row["project"], changes["name"])
                if taken is not None and taken["id"] != row["id"]:
                    raise RefusedError(f"There is an artifact {changes['name']!r} already.")
            _set(db, "collections", row["id"], changes, self._parts.now())
        return {"artifactCollection": artifact_nodes.collection_by_id(self._context, row["id"])}

    def move_artifact_sequence(self, input: Input) -> dict[str, Any]:
        """Change the type of a collection."""
        kind = artifacts.checked(input.get("destinationArtifactTypeName"), "a type of artifacts")
        with self._parts.store.write() as db:
            row = _collection(db, input)
            _set(db, "collections", row["id"], {"type": kind}, self._parts.now())
        return {"artifactCollection": artifact_nodes.collection_by_id(self._context, row["id"])}

    def create_artifact_collection_tag_assignments(self, input: Input) -> dict[str, Any]:
        """Give a collection tags."""
        self._retag(input, input.get("tags"), None)
        return {"tags": [artifact_nodes.tag(name) for name in artifacts.tag_names(input.get("tags"))]}

    def delete_artifact_collection_tag_assignments(self, input: Input) -> dict[str, Any]:
        """Take tags from a collection."""
        self._retag(input, None, input.get("tags"))
        return _SUCCESS

    def _retag(self, input: Input, added: Any, deleted: Any) -> None:  # noqa: ANN401 - parts of the input
        entity, name = input.get("entityName") or self._parts.entity, input.get("artifactCollectionName")
        now = self._parts.now()
        with self._parts.store.write() as db:
            project = runs.project(db, entity, str(input.get("projectName")), now)
            row = artifacts.collection(db, project, name)
            if row is None:
                raise RefusedError(f"There is no artifact {name!r} in {entity}/{input.get('projectName')}.")
            _set(db, "collections", row["id"], {"tags": artifacts.retagged(row, added, deleted)}, now)

    def _artifact(self, number: int) -> dict[str, Any]:
        return {"artifact": artifact_nodes.Artifact(self._context, _row(self._context.db, number))}

    def _drop(self, blobs: list[str]) -> None:
        for blob in blobs:
            self._parts.blobs.delete(blob)


def _row(db: sqlite3.Connection, artifact: int) -> sqlite3.Row:
    row = artifacts.by_id(db, artifact)
    if row is None:
        raise RefusedError("There is no such artifact.")
    return row


def _collection(db: sqlite3.Connection, input: Input) -> sqlite3.Row:
    number = _known("ArtifactSequence", input.get("artifactSequenceID"))
    row: sqlite3.Row | None = db.execute("SELECT * FROM collections WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise RefusedError("There is no such artifact.")
    return row


def _set(db: sqlite3.Connection, table: str, number: int, changes: Mapping[str, Any], now: float) -> None:
    """Change columns of a row; what is None is left as it is."""
    known = {name: value for name, value in changes.items() if value is not None} | {"updated_at": now}
    names = ", ".join(f"{name} = ?" for name in known)
    db.execute(f"UPDATE {table} SET {names} WHERE id = ?", (*known.values(), number))


def _known(kind: str, text: object) -> int:
    number = ids.decode(kind, text)
    if number is None:
        raise RefusedError(f"{str(text)[:100]!r} is no id of an artifact.")
    return number
