"""Answers "nothing has changed" to a page that asks for itself every few seconds, without making it again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

_MOST = 512  # addresses that are asked for at the same time
_SECONDS = 30.0  # after which time alone may have changed a page: a run is silent for too long


class Unchanged:
    """What was answered at each address, and at which state of the store.

    Args:
        commits: gives how many transactions the store has had; what it holds changes with the number.
        now: gives seconds since the epoch.
    """

    def __init__(self, commits: Callable[[], int], now: Callable[[], float]) -> None:
        self._commits = commits
        self._now = now
        self._known: OrderedDict[str, tuple[tuple[int, int], str]] = OrderedDict()
        self._lock = threading.Lock()

    def answer(self, request: Request, make: Callable[[], Response]) -> Response:
        """Return what `make` gives, or that the browser has it already."""
        address = str(request.url)
        # Read before the page is made: what is written meanwhile makes it old, never the other way round.
        state = self._commits(), int(self._now() // _SECONDS)
        with self._lock:
            known = self._known.get(address)
        if known is not None and known[0] == state and known[1] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers={"ETag": known[1], "Cache-Control": "no-cache"})
        response = make()
        if "etag" in response.headers and response.status_code in (200, 304):
            self._note(address, state, response.headers["etag"])
        return response

    def _note(self, address: str, state: tuple[int, int], version: str) -> None:
        with self._lock:
            self._known[address] = state, version
            self._known.move_to_end(address)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
