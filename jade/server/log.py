"""The server's log: a line for each request, and what went wrong; to a terminal or files of bounded size."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from urllib.parse import quote

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jade.errors import ConfigError

LINES = ("requests", "errors")
MOST_BYTES = 10_000_000  # of a file; the one before is kept beside it
_MOST_WAITING = 10_000  # lines that a terminal has not taken
_END_SECONDS = 2.0
_STDERR = 2
_LONGEST_PATH = 300
_LONGEST_METHOD = 20
_TOKEN = re.compile(r"/storage/[^/]*")
_PLAIN = "/:@!$&'()*+,;=~"
_log = logging.getLogger("jade.server.requests")


class Requests:
    """An application around another one, which notes how each request was answered.

    Args:
        application: what answers.
    """

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and note it when the answer is complete."""
        began, status, size = time.perf_counter(), 0, 0

        async def noted(message: Message) -> None:
            nonlocal status, size
            status = message.get("status", status)
            size += len(message.get("body", b""))
            await send(message)

        try:
            await self._application(scope, receive, noted)
        except asyncio.CancelledError:  # the server ends and waits no longer; the client is to come again
            if not status:
                await PlainTextResponse("The server ends.\n", 503)(scope, receive, noted)
        finally:
            milliseconds = (time.perf_counter() - began) * 1000
            level = logging.INFO if 100 <= status < 400 else logging.WARNING
            asked = [scope["method"][:_LONGEST_METHOD], shown(scope["path"])]
            asked.append(scope.get("state", {}).get("operation", ""))
            said = " ".join(filter(None, asked))
            _log.log(level, "%s %s %.1f ms %d bytes", said, status or "-", milliseconds, size)


def shown(path: str) -> str:
    """Return a path as the log shows it: without the tokens that allow an upload or a download."""
    return quote(_TOKEN.sub("/storage/-", path), safe=_PLAIN)[:_LONGEST_PATH]


@contextmanager
def kept(lines: str, file: Path | None) -> Iterator[None]:
    """Write what is logged while the block runs.

    Args:
        lines: "requests" for all of `LINES`, "errors" for what was refused or went wrong.
        file: where to; None is standard error.

    Raises:
        ConfigError: if the file cannot be written.
    """
    handler = _Patient(_inner(file))
    handler.setLevel(logging.INFO if lines == "requests" else logging.WARNING)
    root, before = logging.getLogger(), _log.level
    root.addHandler(handler)
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(before)
        root.removeHandler(handler)
        handler.close()


def _inner(file: Path | None) -> logging.Handler:
    inner: logging.Handler = _Terminal()
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            inner = RotatingFileHandler(file, maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}.", where="--log-file") from error
    inner.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    return inner


class _Terminal(logging.Handler):
    """Writes to standard error without any lock, for which the end of a process would wait."""

    def createLock(self) -> None:  # noqa: N802 - as logging has it
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        data = f"{self.format(record)}\n".encode(errors="replace")
        with suppress(OSError):  # nobody reads it
            while data:
                data = data[os.write(_STDERR, data) :]


class _Patient(logging.Handler):
    """Hands lines to a thread that writes them: a terminal that is held, or a full pipe, holds up no request.

    What it cannot take is left out.
    """

    def __init__(self, inner: logging.Handler) -> None:
        super().__init__()
        self._inner = inner
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(_MOST_WAITING)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            return

    def _write(self) -> None:
        for record in iter(self._waiting.get, None):
            self._inner.handle(record)

    def close(self) -> None:
        try:
            self._waiting.put(None, timeout=_END_SECONDS)
            self._thread.join(_END_SECONDS)
        except queue.Full:
            return  # nobody reads: the process is not held up
        finally:
            super().close()
        if not self._thread.is_alive():
            self._inner.close()
