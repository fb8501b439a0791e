"""Addresses of files that nobody can guess: what may be done with which file, signed by the server.

The client uploads and downloads without its key, so the address itself is what allows it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass

SECONDS = 7 * 24 * 3600.0  # a client that was offline for some days still uploads what it was told to
_BYTES = 20


@dataclass(frozen=True)
class Right:
    """What a token allows.

    Attributes:
        action: "put" or "get".
        kind: the table of the file: "files", "manifests" or "artifact_files".
        owner: the id of the run, for "files"; else the id of the row.
        name: of a run's file; empty else.
    """

    action: str
    kind: str
    owner: int
    name: str = ""


class Tokens:
    """Makes tokens and reads them.

    Args:
        secret: what they are signed with.
        now: gives the time in seconds.
    """

    def __init__(self, secret: bytes, now: Callable[[], float]) -> None:
        self._secret = secret
        self._now = now

    def make(self, right: Right) -> str:
        """Return a token for `right`, which holds for seven days."""
        expires = int(self._now() + SECONDS)
        fields = [right.action, right.kind, right.owner, right.name, expires]
        # An address may have some thousand characters: no escapes of six for a letter that is not ASCII.
        payload = json.dumps(fields, ensure_ascii=False).encode()
        return _text(self._signature(payload) + payload)

    def read(self, token: str) -> Right | None:
        """Return what a token allows; None if it is no token of this server, or is out of date."""
        try:
            data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (ValueError, binascii.Error):
            return None
        signature, payload = data[:_BYTES], data[_BYTES:]
        if not hmac.compare_digest(signature, self._signature(payload)):
            return None
        action, kind, owner, name, expires = json.loads(payload)
        return Right(action, kind, owner, name) if self._now() < expires else None

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret, payload, hashlib.sha256)[:_BYTES]


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
