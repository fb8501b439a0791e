"""Is the server well: what `GET /healthz` tells a monitor, who needs no key for it."""

from __future__ import annotations

import os
import time
from typing import Any

import jade
from jade.server.context import Parts
from jade.server.runs import LIVE, SILENT_SECONDS

LEAST_FREE = 64 << 20  # bytes of the disk, with which SQLite still writes


class Health:
    """How the server is, since it began.

    Args:
        parts: of the server.
        least_free: bytes that the disk must have left.
    """

    def __init__(self, parts: Parts, least_free: int = LEAST_FREE) -> None:
        self._parts = parts
        self._least_free = least_free
        self._began = time.monotonic()

    def report(self) -> dict[str, Any]:
        """Return what is known; `status` is "ok", or says why nothing more can be kept."""
        db = self._parts.store.read()
        folder = os.statvfs(self._parts.store.path.parent)
        free = folder.f_bavail * folder.f_frsize
        since = self._parts.now() - SILENT_SECONDS
        live = "SELECT COUNT(*) FROM runs WHERE state IN (?, ?) AND heartbeat_at >= ?"
        return {
            "status": self._trouble(free, is_read_only=bool(folder.f_flag & os.ST_RDONLY)) or "ok",
            "version": jade.__version__,
            "uptime": round(time.monotonic() - self._began, 3),
            "runs": db.execute("SELECT COUNT(*) FROM runs").fetchone()[0],
            "live_runs": db.execute(live, (*LIVE, since)).fetchone()[0],
            "bytes_free": free,
        }

    def _trouble(self, free: int, *, is_read_only: bool) -> str | None:
        if is_read_only:
            return "the disk is read-only"
        if free < self._least_free:
            return "the disk is full"
        return self._parts.store.trouble
