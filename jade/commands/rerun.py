"""Make a stored run again, as a new run, and compare (`rerun RUN`)."""

from __future__ import annotations

from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Make a run again; return its exit code."""
    from jade.stored.rerun import rerun  # torch takes more than a second

    return rerun(arguments)
