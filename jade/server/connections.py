"""Connections: how many there may be, how long each may take to say what it wants, and to take the answer.

uvicorn by itself waits for ever for the head of a request, and for an answer to be taken, and lets those that
say nothing keep others out.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
from dataclasses import dataclass, replace
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

END_SECONDS = 5  # for requests that are being answered when the server is told to end
_OTHER_FILES = 300  # that a server has open beside its connections
_FRESH_SECONDS = 1.0  # in which the request of a new connection may be on its way
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Bounds:
    """What connections may take.

    Attributes:
        connections: so many at once; one more closes those that have waited longest for a request, if that is
            a second or more. Of twice as many, the next are told to come again.
        head_seconds: after so long without the whole head of a request, a connection is closed.
        answer_seconds: in which `answer_bytes` more of an answer have to be taken.
        answer_bytes: so many.
        untaken: bytes of all answers that are not taken yet; what goes beyond ends the oldest of them.
    """

    connections: int = 1000
    head_seconds: float = 20.0
    answer_seconds: float = 20.0
    answer_bytes: int = 16 << 10
    untaken: int = 256 << 20


def config(application: ASGIApp, bounds: Bounds | None = None) -> uvicorn.Config:
    """Return how uvicorn serves an application, under these bounds."""
    bounds = bounds or Bounds()
    return uvicorn.Config(
        application,
        http=cast("type[asyncio.Protocol]", type("Connection", (_Connection,), {"bounds": bounds})),
        ws="none",
        limit_concurrency=2 * bounds.connections,  # answered with 503, which clients repeat
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=END_SECONDS,
    )


def allowed(bounds: Bounds | None = None) -> Bounds:
    """Return the bounds with no more connections than this process may open; raise that if need be."""
    bounds = bounds or Bounds()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * bounds.connections + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return replace(bounds, connections=max(1, (soft - _OTHER_FILES) // 2))
    return bounds


class _Connection(H11Protocol):
    bounds: Bounds

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as uvicorn gives them
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._untaken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # `pause_writing` says that there is something untaken
        self._watch()
        if len(self.connections) > self.bounds.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_the_client()
        self._drop_untaken()

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def _wait_for_the_client(self) -> None:
        size = self.transport.get_write_buffer_size()
        self._untaken = self.loop.call_later(self.bounds.answer_seconds, self._check_taken, size)

    def _stop_waiting(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _check_taken(self, before: int) -> None:
        """End a connection whose client does not read; to close it would wait for that, too."""
        if before - self.transport.get_write_buffer_size() < self.bounds.answer_bytes:
            self._cut_off()
        else:
            self._wait_for_the_client()

    def _cut_off(self) -> None:
        # The system as well is to forget what it would send.
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _drop_untaken(self) -> None:
        others = cast("set[_Connection]", self.connections)
        waiting = [(one._untaken.when(), one) for one in others if one._untaken is not None]
        held = sum(one.transport.get_write_buffer_size() for _, one in waiting)
        for _, one in sorted(waiting, key=lambda pair: pair[0])[:-1]:
            if held <= self.bounds.untaken:
                return
            held -= one.transport.get_write_buffer_size()
            one._cut_off()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        """Set the time for the head of a request once it is waited for; what drips in does not prolong it."""
        request = self._request()
        is_waiting = request is None or request.response_complete
        if not is_waiting or self.transport.is_closing():
            self._unwatch()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.bounds.head_seconds, self._give_up)

    def _request(self) -> RequestResponseCycle | None:
        return self.cycle  # None, whatever its type says, until the first has come

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._unwatch()
        if not self.transport.is_closing():
            if self._request() is None:  # one that is idle between two requests expects no answer
                self.transport.write(_TOO_LATE)
            self.transport.close()

    def _make_room(self) -> None:
        others = cast("set[_Connection]", self.connections - {self})
        waiting = [(other._deadline.when(), other) for other in others if other._deadline is not None]
        fresh = self.loop.time() + self.bounds.head_seconds - _FRESH_SECONDS
        waiting = [(deadline, other) for deadline, other in waiting if deadline < fresh]
        excess = len(self.connections) - self.bounds.connections
        for _, other in sorted(waiting, key=lambda pair: pair[0])[:excess]:
            other._give_up()
