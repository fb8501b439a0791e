"""The server's doors: GraphQL, the stream of a run, files up and down, and the pages for browsers.

The client repeats a request for minutes on an answer of 500 or more: what fails here is answered with 200 and
`errors`, or 4xx. Only what a full disk has no room for is to be repeated.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import functools
import hmac
import ipaddress
import json
import logging
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jade.server import files, graphql, runs, streams
from jade.server.artifact_mutations import ArtifactMutation
from jade.server.blobs import UnsafeNameError, Upload
from jade.server.bodies import Bodies, Limits, RejectedError, parsed
from jade.server.context import Context, Parts
from jade.server.health import Health
from jade.server.log import shown
from jade.server.mutations import Mutation, UnknownAgentError
from jade.server.queries import Query
from jade.server.runs import RefusedError
from jade.server.tokens import Right
from jade.server.web import site

SHORTEST_KEY = 40  # the client itself refuses a shorter one
# The client sends a file again on this answer, and not on 408.
_AGAIN = 429
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)
_PAGES_AT_ONCE = 4  # that are made: of many that take long, most wait, and leave threads to runs and agents
_OPERATION = re.compile(r"\w{1,64}", re.ASCII)

_ASK_FOR_THE_KEY = {"WWW-Authenticate": 'Basic realm="JADE: user api, password the key of the server"'}

_log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Response]]


def app(parts: Parts, api_key: str | None = None, limits: Limits | None = None) -> Starlette:
    """Return the server as an application of ASGI.

    Args:
        parts: what it is made of.
        api_key: the key that every request needs; None allows each one, which is for loopback only.
        limits: of what a client may send.
    """
    doors = _Doors(parts, api_key, limits or Limits())
    return Starlette(
        routes=[
            Route("/graphql", _safe(doors.graphql), methods=["POST"]),
            Route("/files/{entity}/{project}/{run}/file_stream", _safe(doors.file_stream), methods=["POST"]),
            Route("/storage/{token}/{name}", _safe(doors.put), methods=["PUT"]),
            Route("/storage/{token}/{name}", _safe(doors.get), methods=["GET"]),
            # One file of an artifact, by its digest; a whole artifact is downloaded from /storage.
            Route("/artifacts/{entity}/{digest}", _safe(doors.get_by_digest), methods=["GET"]),
            Route("/artifactsV2/{of:path}/{digest}/{name}", _safe(doors.get_by_digest), methods=["GET"]),
            Route("/healthz", _safe(doors.healthz), methods=["GET"]),
            *(Route(page.path, _safe(doors.page(page)), methods=["GET"]) for page in site.pages(parts)),
        ],
        exception_handlers={404: _safe(doors.nothing_there)},
    )


def _safe(handler: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Answer what cannot be served with a status that the client takes for an answer."""

    @functools.wraps(handler)
    async def answered(request: Request, *reason: Exception) -> Response:
        try:
            return await handler(request, *reason)
        except RejectedError as error:
            return PlainTextResponse(str(error), error.status, error.headers)
        except (RefusedError, UnsafeNameError) as error:
            return PlainTextResponse(str(error), 400)
        except ClientDisconnect:
            return PlainTextResponse("The client went away.", 400)
        except (sqlite3.OperationalError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_ROOM:
                return _failed(request)
            _log.error("%s %s failed: %s", request.method, shown(request.url.path), error)
            return PlainTextResponse(f"The server cannot store anything now: {error}.", 503)
        except Exception:  # noqa: BLE001 - it is logged; no answer at all would be repeated for minutes
            return _failed(request)

    return answered


def _failed(request: Request) -> Response:
    _log.exception("%s %s failed", request.method, shown(request.url.path))
    return PlainTextResponse("The server failed; its log says how.", 400)


class _Doors:
    def __init__(self, parts: Parts, api_key: str | None, limits: Limits) -> None:
        self._parts = parts
        self._key = api_key
        self._limits = limits
        self._bodies = Bodies(limits)
        self._readers = asyncio.Semaphore(_PAGES_AT_ONCE)
        self._health = Health(parts, limits.disk)

    async def graphql(self, request: Request) -> Response:
        self._admit(request)
        async with self._bodies.whole(request, self._limits.request) as body:
            context = Context(self._parts, str(request.base_url).rstrip("/"))
            return await run_in_threadpool(self._answer, body, context, request)

    def _answer(self, body: bytearray, context: Context, request: Request) -> Response:
        given = parsed(body)
        request.state.operation = _named(given)  # for the log
        try:
            reply = graphql.answer(given, Query(context), Mutation(context), ArtifactMutation(context))
        except UnknownAgentError:
            raise RejectedError(404, "There is no such agent.") from None
        # In ASCII: half a character, which a row may hold, has no place in UTF-8.
        return Response(json.dumps(reply, allow_nan=False), media_type="application/json")

    async def file_stream(self, request: Request) -> Response:
        self._admit(request)
        path = request.path_params
        whose = path["entity"], path["project"], path["run"]
        async with self._bodies.whole(request, self._limits.stream) as body:
            is_to_stop = await run_in_threadpool(self._stream, *whose, body)
        return JSONResponse({"stopped": True} if is_to_stop else {})

    def _stream(self, entity: str, project: str, name: str, body: bytearray) -> bool:
        post = streams.read(parsed(body))
        with self._parts.store.write() as db:
            row = runs.find(db, entity, project, name)
            if row is None:
                raise RejectedError(404, f"There is no run {name} in {entity}/{project}.")
            self._parts.heard.note("run", row["id"])
            return streams.take(db, row, post, self._parts.now())

    async def put(self, request: Request) -> Response:
        right = self._parts.tokens.read(request.path_params["token"])
        if right is None or right.action != "put":
            raise RejectedError(403, "This address allows no upload.")
        blobs = self._parts.blobs
        upload = await run_in_threadpool(blobs.begin)
        try:
            async for chunk in self._bodies.chunks(request, _AGAIN):
                if upload.size + len(chunk) > self._limits.upload:
                    raise RejectedError(413, "The file is too big.")
                await run_in_threadpool(upload.add, chunk)
            await run_in_threadpool(blobs.finish, upload)
        except BaseException:
            blobs.abandon(upload)
            raise
        await run_in_threadpool(self._enter, right, upload)
        return Response()

    def _enter(self, right: Right, upload: Upload) -> None:
        # In one go: a request that is canceled meanwhile must not take away a blob that is entered.
        blobs = self._parts.blobs
        try:
            unneeded = files.enter(self._parts, right, upload)
        except BaseException:
            blobs.delete(upload.name)
            raise
        if unneeded:
            blobs.delete(unneeded)

    async def get(self, request: Request) -> Response:
        right = self._parts.tokens.read(request.path_params["token"])
        if right is None or right.action != "get":
            raise RejectedError(403, "This address allows no download.")
        return self._file(await run_in_threadpool(files.located, self._parts, right))

    async def get_by_digest(self, request: Request) -> Response:
        self._admit(request)
        digest = request.path_params["digest"]
        return self._file(await run_in_threadpool(files.by_digest, self._parts, digest))

    def _file(self, blob: str | None) -> FileResponse:
        path = self._parts.blobs.path(blob) if blob else None
        try:
            status = path.stat() if path else None
        except FileNotFoundError:  # replaced just now
            status = None
        if path is None or status is None:
            raise RejectedError(404, "There is no such file.")
        # What a run uploaded is data: a browser is not to show it as a page of this server.
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
        return FileResponse(path, media_type="application/octet-stream", headers=headers, stat_result=status)

    async def healthz(self, request: Request) -> Response:
        report = await run_in_threadpool(self._health.report)
        # No client of W&B asks for this: it may be 503, as monitors know it.
        return JSONResponse(report, 200 if report["status"] == "ok" else 503)

    def page(self, page: site.Page) -> Handler:
        """Return what shows a page to those who may read."""

        async def shown(request: Request) -> Response:
            self._admit_reader(request)
            async with self._readers:
                return await run_in_threadpool(page.answer, request)

        return shown

    async def nothing_there(self, request: Request, error: Exception | None = None) -> Response:
        """Say that nothing is at an address: a page for a browser, a line for others."""
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse("There is nothing at this address.\n", 404)
        self._admit_reader(request)
        return site.nothing(request)

    def _admit_reader(self, request: Request) -> None:
        """Let a browser in: without a key on loopback, as a page only reads; else the key is its password."""
        if self._key is not None:
            try:
                self._admit(request)
            except RejectedError as error:
                asked = _ASK_FOR_THE_KEY if error.status == 401 else None
                raise RejectedError(error.status, str(error), asked) from None
        elif not is_loopback(_host(request)):
            raise RejectedError(403, "This server is for its own machine only.")

    def _admit(self, request: Request) -> None:
        """Let a request in that has a key, and on loopback only one that was meant for it.

        A web page that is open in a browser could reach a server on loopback as well; but it cannot send a
        key without asking first, nor under the name of this machine. A browser that was told the key sends it
        by itself, whichever page asks: so a page of another server is told apart by the origin that it names.
        """
        if not _is_own_origin(request):
            raise RejectedError(403, "This is asked for by a page of another server.")
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, ValueError):
            text = ""
        given = text.partition(":")[2]
        if scheme.lower() != "basic" or len(given) < SHORTEST_KEY:
            raise RejectedError(401, "An API key is needed.")
        if self._key is not None:
            if not hmac.compare_digest(given.encode(), self._key.encode()):
                raise RejectedError(401, "This is not the API key of this server.")
        elif not is_loopback(_host(request)):
            raise RejectedError(403, "This server is for its own machine only.")


def _is_own_origin(request: Request) -> bool:
    """Say whether no page asks, or one of this server; its scheme may be that of a proxy."""
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host", "")


def _host(request: Request) -> str:
    """Return the host that a request names; starlette takes the server's for one that it cannot read."""
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, and only reached from it."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _named(request: Mapping[str, Any]) -> str:
    """Return the name of an operation, if it is one that may stand in the log."""
    name = request.get("operationName")
    return name if isinstance(name, str) and _OPERATION.fullmatch(name) else ""
