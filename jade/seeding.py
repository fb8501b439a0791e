"""One seed for every source of randomness: python, numpy and torch, on every device."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int, purpose: str) -> None:
    """Seed python's, numpy's and torch's global generators.

    The workers of a DataLoader take their seeds from torch's generator, so they follow.

    Args:
        seed: the run's.
        purpose: what is drawn for ("building", "training"); each purpose has a stream of its own.
    """
    derived = int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")
    random.seed(derived)
    np.random.seed(derived)
    torch.manual_seed(derived)


@contextmanager
def preserved(device: torch.device) -> Iterator[None]:
    """Put every generator back to where it was before the block, so that the block changes nothing after it.

    Even going through a DataLoader in order draws from torch's generator.
    """
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
