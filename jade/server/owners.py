"""Whose something is, as the schema answers it: the one user, entities, and projects by their name."""

from __future__ import annotations

from typing import Any

from jade.server import ids
from jade.server.context import Context


def user(context: Context) -> dict[str, Any]:
    """Return the one user of a server."""
    entity = context.parts.entity
    return {
        "id": ids.encode("User", 1),
        "name": entity,
        "username": entity,
        "email": f"{entity}@localhost",
        "admin": True,
        "flags": "{}",
        "entity": entity,
        "deletedAt": None,
        "apiKeys": {"edges": []},
        "teams": {"edges": []},
        "organizations": [],
    }


def entity(name: str) -> dict[str, Any]:
    """Return an entity; every name is one."""
    return {
        "id": ids.encode("Entity", 1),
        "name": name,
        "available": False,
        "readOnly": False,
        "readOnlyAdmin": False,
        "isTeam": False,
        "entityType": "user",
        "privateOnly": False,
        "storageBytes": "0",
        "codeSavingEnabled": True,
        "isPaid": False,
        "members": [],
        "organization": None,
        "user": {"organizations": []},
        "xxhashDigestsEnabled": False,
    }


def project(context: Context, number: int) -> dict[str, Any]:
    """Return a project, as what belongs to it names it."""
    row = context.db.execute("SELECT * FROM projects WHERE id = ?", (number,)).fetchone()
    return {
        "id": ids.encode("Project", number),
        "internalId": str(number),
        "name": row["name"],
        "entityName": row["entity"],
        "entity": entity(row["entity"]),
    }
