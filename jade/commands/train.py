"""Train one run, the same as `python train.py …` (--help lists the flags)."""

from __future__ import annotations

from collections.abc import Sequence

from jade import cli


def run(arguments: Sequence[str]) -> int:
    """Train in the present folder; return the exit code."""
    return cli.main(arguments)
