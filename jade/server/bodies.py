"""What clients send: whole or in parts, of bounded size, in bounded time, in bounded memory all together."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

_PIECE = 256 << 10  # bytes that are unpacked at once
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Limits:
    """How much a client may send at once, in bytes, and how slowly.

    Attributes:
        request: of one GraphQL operation.
        stream: of one post of a run's lines, unpacked.
        upload: of one file.
        small: what is read of each body without being counted.
        held: of all that is counted at a time; what goes beyond is to come again later.
        values: commas and brackets in one body that is not small, each of which takes memory of its own.
        patience: seconds in which `progress` more bytes have to come.
        progress: so many bytes.
        disk: that must be free, or the server is not well.
    """

    request: int = 32 << 20
    stream: int = 64 << 20  # a client sends 10 MiB, and a summary whole
    upload: int = 64 << 30
    small: int = 64 << 10
    held: int = 256 << 20
    values: int = 2_000_000
    patience: float = 20.0
    progress: int = 16 << 10
    disk: int = 64 << 20


class RejectedError(Exception):
    """A request is not served; the client is told why.

    Attributes:
        status: the HTTP status, 4xx.
        headers: what else the answer says.
    """

    def __init__(self, status: int, why: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.headers = headers


class Bodies:
    """Reads the bodies of all requests of a server.

    Args:
        limits: of what clients may send.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0
        self._big = asyncio.Lock()

    @asynccontextmanager
    async def whole(self, request: Request, limit: int) -> AsyncIterator[bytearray]:
        """Give the whole body, unpacked; of those that are not small, one at a time.

        Raises:
            RejectedError: if it is too big, too slow, or not packed as it says; or if others hold too much.
        """
        body, counted = bytearray(), 0
        try:
            async for part in self._unpacked(request, limit):
                body += part
                beyond = max(0, len(body) - self._limits.small)
                self._hold(beyond - counted)
                counted = beyond
            if not counted:
                yield body
                return
            async with self._big:
                await run_in_threadpool(self._check_values, body)
                yield body
        finally:
            self._held -= counted

    async def chunks(self, request: Request, too_slow: int = 408) -> AsyncIterator[bytes]:
        """Give the parts of a body as they come.

        Args:
            request: whose body.
            too_slow: the status of the answer if they come too slowly.

        Raises:
            RejectedError: if they do.
        """
        limits, stream = self._limits, aiter(request.stream())
        clock = asyncio.get_running_loop().time
        until, received = clock() + limits.patience, 0
        while True:
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(stream, None)
            except TimeoutError:
                raise RejectedError(too_slow, "The body comes too slowly.") from None
            if chunk is None:
                return
            received += len(chunk)
            if received >= limits.progress:
                until, received = clock() + limits.patience, 0
            yield chunk

    async def _unpacked(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise RejectedError(415, "A body is plain or gzip.")
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
        size = 0
        async for chunk in self.chunks(request):
            for data in _pieces(unpack, chunk) if unpack else (chunk,):
                size += len(data)
                if size > limit:
                    raise RejectedError(413, f"A request may have {limit} bytes.")
                yield data
                await asyncio.sleep(0)  # a little may unpack to very much: others have their turn
        if unpack and (not unpack.eof or unpack.unused_data):
            raise RejectedError(400, "The body is not one whole gzip.")

    def _hold(self, more: int) -> None:
        if self._held + more > self._limits.held:
            raise RejectedError(429, "The server is busy with the bodies of others.", {"Retry-After": "1"})
        self._held += more

    def _check_values(self, body: bytearray) -> None:
        if sum(map(body.count, (b",", b"[", b"{"))) > self._limits.values:
            raise RejectedError(413, f"A request may have {self._limits.values} values.")


def _pieces(unpack: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """Unpack a part of a body, a little at a time."""
    while packed:
        try:
            yield unpack.decompress(packed, _PIECE)
        except zlib.error:
            raise RejectedError(400, "The body is not gzip.") from None
        packed = unpack.unconsumed_tail


def parsed(body: bytearray) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        RejectedError: if it is none.
    """
    text = body.decode(errors="replace")
    try:
        value = json.loads(text)
        # Halves of characters, which JSON can write, cannot be stored.
        value = _whole(value) if _HALF.search(text) else value
    except (ValueError, RecursionError):
        raise RejectedError(400, "The body is not JSON.") from None
    if not isinstance(value, dict):
        raise RejectedError(400, "The body is no JSON object.")
    return value


def _whole(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_whole(key): _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
