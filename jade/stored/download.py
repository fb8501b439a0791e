"""Files from their addresses to the disk: gone on with where they were interrupted, and whole at the end.

What is not whole is in a file of its own, which `cache` gives its name only then. Imported where something is
downloaded: `requests` takes a moment.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth

from jade.errors import TrackingError, UnreachableError
from jade.stored.answer import Address
from jade.stored.source import StoredFile, digest_of_file

ATTEMPTS = 5  # one after the other without a byte more
FIRST_WAIT, LONGEST_WAIT = 0.3, 5.0  # seconds between two of them
SMALL, AT_ONCE = 1 << 20, 8
SECONDS = (10.0, 60.0)  # to connect, and without a byte
CHUNK = 1 << 14  # what is lost of an answer that breaks off
_NO_RANGE, _TOO_MANY = 416, 429
_RANGE = re.compile(r"bytes (\d+)-")

Told = Callable[[int], object]


class StaleError(TrackingError):
    """What is at an address is not, or not any more, what was listed: it is to be listed again."""


class _BrokenOffError(Exception):
    """An answer that may be better the next time."""


@dataclass(frozen=True)
class Wanted:
    """A file that is to be fetched.

    Attributes:
        name: of the file.
        address: where it is got.
        file: what it is.
        part: where it is written; what is there already is its beginning.
    """

    name: str
    address: Address
    file: StoredFile
    part: Path


class _Session(requests.Session):
    """Shows nobody anything when it is sent elsewhere; requests itself shows what ~/.netrc has."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        if self.should_strip_auth(response.request.url or "", prepared_request.url or ""):
            prepared_request.headers.pop("Authorization", None)


def download_all(wanted: Sequence[Wanted], told: Told, done: Callable[[Wanted], None]) -> None:
    """Have many files whole: small ones some at once, for each takes the way there and back; then the others.

    Args:
        wanted: the files.
        told: as `download` calls it.
        done: called with each file that is whole; never twice at the same time.

    Raises:
        JadeError: as `download` does; what is whole until then stays.
        OSError: if the disk does not take it.
    """
    mine = threading.Lock()

    def counted(count: int) -> None:
        with mine:
            told(count)

    with _Session() as session, ThreadPoolExecutor(AT_ONCE) as pool:

        def one(file: Wanted) -> None:
            download(file, counted, session)
            with mine:
                done(file)

        begun = [pool.submit(one, file) for file in wanted if file.file.size < SMALL]
        try:
            for future in begun:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        for file in wanted:
            if file.file.size >= SMALL:
                one(file)


def download(
    wanted: Wanted, told: Told, session: requests.Session, wait: Callable[[float], None] = time.sleep
) -> None:
    """Have a file whole: size and digest are what they should be.

    Args:
        wanted: the file.
        told: called with the number of bytes that came, negative for those that were of no use.
        session: keeps connections.
        wait: a test may give its own.

    Raises:
        StaleError: if the server has another file there, or none.
        UnreachableError: if the server cannot be reached.
        OSError: if the disk does not take it.
    """
    part, file = wanted.part, wanted.file
    try:
        _receive(session, wanted, told, wait)
    except OSError:  # of the disk: what could not be written whole is in nobody's way
        part.unlink(missing_ok=True)
        raise
    if file.digest is not None and digest_of_file(part) != file.digest:
        told(-file.size)
        part.unlink()
        raise StaleError(f"What arrived as {wanted.name} has another MD5 sum than was announced.")


def _receive(session: requests.Session, wanted: Wanted, told: Told, wait: Callable[[float], None]) -> None:
    """Ask for what is missing until nothing is, or nothing more comes."""
    part, size = wanted.part, wanted.file.size
    part.touch()
    furthest = part.stat().st_size
    if furthest > size:
        part.write_bytes(b"")
        furthest = 0
    told(furthest)
    failures = 0
    while part.stat().st_size < size:
        try:
            _append(session, wanted, told)
        except (_BrokenOffError, requests.RequestException) as error:
            reached = part.stat().st_size
            failures = 0 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            # An address that is none is a ValueError, too: it will be none the next time.
            if failures >= ATTEMPTS or isinstance(error, ValueError):
                raise UnreachableError(f"{_place(wanted.address)} does not give the file: {error}") from error
            wait(min(FIRST_WAIT * 2**failures, LONGEST_WAIT))


def _append(session: requests.Session, wanted: Wanted, told: Told) -> None:
    """Write what one answer holds behind what is there, or instead of it."""
    address, part, whole = wanted.address, wanted.part, wanted.file.size
    have = part.stat().st_size
    # The bytes as they are counted, and only those that are missing.
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    reply = session.get(address.url, headers=headers, auth=_shown(address), stream=True, timeout=SECONDS)
    with closing(reply), part.open("r+b") as file:
        size = begin = _begin(reply, have)
        told(begin - have)
        file.seek(begin)
        file.truncate()
        if reply.status_code == _NO_RANGE:
            raise _BrokenOffError("it has no such part of the file")  # the next time all of it is asked for
        for chunk in reply.iter_content(CHUNK):
            size += len(chunk)
            if size > whole:
                told(begin - size + len(chunk))
                file.truncate(0)
                raise StaleError(f"{_place(address)} gives more than the {whole} bytes of the file.")
            file.write(chunk)
            told(len(chunk))
    if size < whole:
        raise _BrokenOffError(f"the answer ended after {size} of {whole} bytes")


def _begin(reply: requests.Response, have: int) -> int:
    """Return where the bytes of an answer belong.

    Raises:
        StaleError: if it is no file.
        _BrokenOffError: if it may be one the next time.
    """
    status = reply.status_code
    if status == 206:  # some servers begin elsewhere than they were asked to
        found = _RANGE.match(reply.headers.get("Content-Range", ""))
        if found is None or int(found[1]) > have:
            raise StaleError(
                f"{urlsplit(reply.url).netloc} gives another part of the file than was asked for."
            )
        return int(found[1])
    if status in (200, _NO_RANGE):  # from the beginning, also where it was asked for the rest
        return 0
    if status >= 500 or status == _TOO_MANY:
        raise _BrokenOffError(f"it answers {status}")
    raise StaleError(f"{urlsplit(reply.url).netloc} answers {status}.")


def _shown(address: Address) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
    """Return what shows the key where there is one; else nothing, also none that ~/.netrc has."""
    if address.key is None:
        return lambda request: request
    return HTTPBasicAuth("api", address.key)


def _place(address: Address) -> str:
    # The path of an address may be what allows it.
    return urlsplit(address.url).netloc or "An address without a server"
