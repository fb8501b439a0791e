"""One file from an address to the disk: gone on with where it was interrupted, and whole at the end.

What is not whole is in a file of its own, which `cache` gives its name only then. Imported where something is
downloaded: `requests` takes a moment.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth

from jade.errors import TrackingError, UnreachableError
from jade.stored.listing import Address
from jade.stored.source import StoredFile, digest_of_file

ATTEMPTS = 5  # one after the other without a byte more
FIRST_WAIT, LONGEST_WAIT = 0.3, 5.0  # seconds between two of them
SECONDS = (10.0, 60.0)  # to connect, and without a byte
CHUNK = 1 << 14  # what is lost of an answer that breaks off
_NO_RANGE, _TOO_MANY = 416, 429
_RANGE = re.compile(r"bytes (\d+)-")

Told = Callable[[int], object]


class StaleError(TrackingError):
    """What is at an address is not, or not any more, what was listed: it is to be listed again."""


class _BrokenOffError(Exception):
    """An answer that may be better the next time."""


def download(
    address: Address, part: Path, wanted: StoredFile, told: Told, wait: Callable[[float], None] = time.sleep
) -> None:
    """Have a file at `part`, whole: size and digest are what they should be.

    Args:
        address: of the file.
        part: where it is written; what is there already is its beginning.
        wanted: what it is.
        told: called with the number of bytes that came, negative for those that were of no use.
        wait: a test may give its own.

    Raises:
        StaleError: if the server has another file there, or none.
        TrackingError: if the server cannot be reached.
        OSError: if the disk does not take it.
    """
    with requests.Session() as session:
        session.headers["Accept-Encoding"] = "identity"  # the bytes as they are counted
        _received(session, address, part, wanted, told, wait)
    if wanted.digest is not None and digest_of_file(part) != wanted.digest:
        told(-wanted.size)
        part.unlink()
        raise StaleError(f"What arrived as {part.name} has another MD5 sum than was announced.")


def _received(
    session: requests.Session,
    address: Address,
    part: Path,
    wanted: StoredFile,
    told: Told,
    wait: Callable[[float], None],
) -> None:
    """Ask for what is missing until nothing is, or nothing more comes."""
    part.touch()
    furthest = part.stat().st_size
    if furthest > wanted.size:
        part.write_bytes(b"")
        furthest = 0
    told(furthest)
    failures = 0
    while part.stat().st_size < wanted.size:
        try:
            _append(session, address, part, wanted, told)
        except (_BrokenOffError, requests.RequestException) as error:
            reached = part.stat().st_size
            failures = 0 if reached > furthest else failures + 1
            furthest = max(furthest, reached)
            # An address that is none is a ValueError, too: it will be none the next time.
            if failures >= ATTEMPTS or isinstance(error, ValueError):
                raise UnreachableError(f"{_place(address)} does not give the file: {error}") from error
            wait(min(FIRST_WAIT * 2**failures, LONGEST_WAIT))


def _append(session: requests.Session, address: Address, part: Path, wanted: StoredFile, told: Told) -> None:
    """Write what one answer holds behind what is there, or instead of it."""
    have = part.stat().st_size
    headers = {"Range": f"bytes={have}-"} if have else {}
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
            if size > wanted.size:
                told(begin - size + len(chunk))
                file.truncate(0)
                raise StaleError(f"{_place(address)} gives more than the {wanted.size} bytes of the file.")
            file.write(chunk)
            told(len(chunk))
    if size < wanted.size:
        raise _BrokenOffError(f"the answer ended after {size} of {wanted.size} bytes")


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
