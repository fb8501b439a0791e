"""Run the evaluations of a stored run again, also on other data (`evaluate RUN`)."""

from __future__ import annotations

from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    """Evaluate a stored run; return the exit code."""
    from jade.stored.evaluating import evaluate  # matplotlib, and what the run needs

    return evaluate(arguments)
