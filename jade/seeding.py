"""Every random number from the run's seed and a counter: python, numpy and torch, on every device.

Generator states are never saved: a run that is continued begins each epoch, batch, step and evaluation with
the same seeds as one that was never stopped, in whichever process it happens.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from jade.generators import Owned, owned

_MASK = 0xFFFFFFFF
# What random.seed calls in the end, a fifth faster: the loop seeds at each step.
_python = random.seed.__self__  # type: ignore[attr-defined]  # a method of the hidden generator
_seed_python = super(random.Random, _python).seed


class Stream:
    """The random numbers of one purpose, such as the steps of a run, parted by a counter.

    Args:
        seed: the run's.
        purpose: what is drawn for; each purpose has other numbers.
        device: whose generators are seeded besides the CPU's; None in the workers of a loader.
        roots: objects whose own generators are seeded, too, by name.
    """

    def __init__(
        self,
        seed: int,
        purpose: str,
        device: torch.device | None = None,
        roots: Mapping[str, object] | None = None,
    ) -> None:
        self._base = _digest(seed, purpose)
        self._torch = [torch.default_generator, *_generators_of(device)]
        self.owned: Sequence[Owned] = owned(roots) if roots else ()

    def start(self, counter: int) -> int:
        """Put every generator where the part number `counter` of this stream begins; return the seed."""
        # Neighbors must not resemble each other: a bijective mixer of 32 bits, so that no two counters of a
        # stream share a seed ("lowbias32", https://nullprogram.com/blog/2018/07/31/).
        x = (self._base + counter) & _MASK
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & _MASK
        x = ((x ^ (x >> 15)) * 0x846CA68B) & _MASK
        x ^= x >> 16
        _seed_python(x)
        _python.gauss_next = None
        np.random.seed(x)
        for generator in self._torch:
            # Not torch.manual_seed, which takes a hundred times as long.
            generator.manual_seed(x)
        for one in self.owned:
            one.seed(x)
        return x


def seed_everything(seed: int, purpose: str, device: torch.device | None = None) -> None:
    """Seed python's, numpy's and torch's global generators for one purpose, such as "building"."""
    Stream(seed, purpose, device).start(0)


def be_deterministic() -> None:
    """Make torch use algorithms that give the same bits each time, and refuse those that cannot.

    To be called before anything runs on a GPU, as cuBLAS reads its variable once
    (https://docs.pytorch.org/docs/stable/notes/randomness.html).
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _digest(seed: int, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:4], "big")


def _generators_of(device: torch.device | None) -> Sequence[Any]:
    if device is None or device.type in ("cpu", "meta"):
        return ()
    if device.type == "mps":
        return (torch.mps._get_default_mps_generator(),)
    module = torch.get_device_module(device)
    module.init()  # only then are there generators
    return tuple(module.default_generators)
