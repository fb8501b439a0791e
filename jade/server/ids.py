"""Ids that say what they are of, as W&B's do: the kind and the number of a row."""

from __future__ import annotations

import base64
import binascii
import re

_NUMBER = re.compile(r"[0-9]{1,18}")  # what a row of SQLite can have


def encode(kind: str, number: int) -> str:
    """Return the id of row `number` of a kind such as "Run"."""
    return base64.b64encode(f"{kind}:{number}".encode()).decode()


def decode(kind: str, text: object) -> int | None:
    """Return the number in an id of a kind; None if it is none."""
    try:
        known, _, number = base64.b64decode(str(text), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return None
    return int(number) if known == kind and _NUMBER.fullmatch(number) else None
