"""Whether two runs are the same, bit for bit: what they logged, and the weights that they ended with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jade.stored import weights
from jade.stored.local_runs import METRICS
from jade.stored.source import Source

_COUNTERS = ("iterations", "epochs")


def differences(one: Source, other: Source) -> list[str]:
    """Return what differs first in what two runs logged, and which attributes of their last checkpoints do.

    Raises:
        JadeError: if the files of a run cannot be read.
    """
    found = _first_other_row(*(_rows(source.path(METRICS)) for source in (one, other)))
    states = [weights.state(source, "last")[1]["attributes"] for source in (one, other)]
    names = sorted({*states[0], *states[1]})
    other_ones = [name for name in names if not is_same(states[0].get(name), states[1].get(name))]
    return [*found, *([f"weights and state: {', '.join(other_ones)}"] if other_ones else [])]


def rows(source: Source) -> int:
    """Return how many rows a run has logged."""
    return len(_rows(source.path(METRICS)))


def is_same(one: object, other: object) -> bool:
    """Say whether two values of a checkpoint are the same, bit for bit, wherever they lie."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _bytes(one) == _bytes(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return list(one) == list(other) and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return repr(one) == repr(other)


def _bytes(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().cpu().contiguous()
    return np.asarray(plain.reshape(-1).view(torch.uint8) if plain.numel() else plain.numpy()).tobytes()


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]


def _first_other_row(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> Iterator[str]:
    nothing: dict[str, Any] = {}
    pairs = zip_longest(one, other, fillvalue=nothing)
    for number, (first, second) in enumerate(pairs):
        if not first or not second:
            yield f"rows that were logged: {len(one)}, and {len(other)}"
            return
        for name in (*_COUNTERS, *{**first["metrics"], **second["metrics"]}):
            values = [row.get(name, row["metrics"].get(name)) for row in (first, second)]
            if repr(values[0]) != repr(values[1]):
                at = first.get("iterations")
                yield f"{name} at iteration {at} (row {number}): {values[0]}, and {values[1]}"
                return
