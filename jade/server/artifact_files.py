"""What the schema says of the files of artifacts: where they are put, and where they are got."""

from __future__ import annotations

import mimetypes
import sqlite3
from typing import Any

from jade.server import ids
from jade.server.context import Context, time_text
from jade.server.tokens import Right


def manifest(context: Context, row: sqlite3.Row) -> dict[str, Any]:
    """Return a manifest, and where it is put or got."""
    name = row["name"]
    number = row["id"]
    return {
        "id": ids.encode("ArtifactManifest", number),
        "file": {
            "id": ids.encode("ManifestFile", number),
            "name": name,
            "directUrl": context.address(Right("get", "manifests", number), name),
            "uploadUrl": context.address(Right("put", "manifests", number), name),
            "uploadHeaders": [],
        },
    }


def stored(context: Context, row: sqlite3.Row) -> dict[str, Any]:
    """Return a file of an artifact, and where it is got; a reference is got where it leads."""
    name, shown = row["name"], row["name"].rpartition("/")[2]
    address = row["reference"] or context.address(Right("get", "artifact_files", row["id"]), shown)
    return {
        "id": ids.encode("ArtifactFile", row["id"]),
        "name": name,
        "displayName": name,
        "url": address,
        "directUrl": address,
        "sizeBytes": row["size"],
        "storagePath": None,
        "mimetype": mimetypes.guess_type(name)[0] or "application/octet-stream",
        "updatedAt": time_text(row["updated_at"]),
        "digest": row["md5"],
        "md5": row["md5"],
    }


def wanted(context: Context, row: sqlite3.Row) -> dict[str, Any]:
    """Return a file of an artifact, and where it is to be put: nowhere if it is there already."""
    name, shown = row["name"], row["name"].rpartition("/")[2]
    put = None if row["blob"] else context.address(Right("put", "artifact_files", row["id"]), shown)
    return {
        "id": ids.encode("ArtifactFile", row["id"]),
        "name": name,
        "displayName": name,
        "storagePath": f"{row['artifact']}/{name}",
        "uploadUrl": put,
        "uploadHeaders": [],
        "artifact": {"id": ids.encode("Artifact", row["artifact"])},
    }
