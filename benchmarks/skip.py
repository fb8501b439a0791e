"""How long the first batch takes of a run that goes on after 10,000 batches: `python benchmarks/skip.py`.

Paired with the first batch of an epoch that begins; a map-style dataset whose items cost nothing, so that only the
skipping shows.
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from jade.batches import batches_of

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

BATCHES, SIZE, PAIRS = 10_001, 32, 9


def first_batch(make, skip):
    loader = make()
    began = time.perf_counter()
    next(batches_of(loader, 0, "train_loader").epoch(0, skip))
    return time.perf_counter() - began


def main():
    data = TensorDataset(torch.zeros(BATCHES * SIZE, 1))
    loaders = {
        "shuffled": lambda: DataLoader(data, SIZE, shuffle=True),
        "shuffled, 2 workers": lambda: DataLoader(data, SIZE, shuffle=True, num_workers=2),
        "weighted": lambda: DataLoader(
            data, SIZE, sampler=WeightedRandomSampler(torch.ones(len(data)), len(data))
        ),
        "a sampler of the user's own": lambda: DataLoader(data, SIZE, sampler=range(len(data))),
    }
    text = ["| loader | begins, ms | goes on after 10,000 batches, ms | more, ms |", "|---|---|---|---|"]
    for name, make in loaders.items():
        pairs = [(first_batch(make, 0), first_batch(make, BATCHES - 1)) for _ in range(PAIRS)]
        begins, on = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
        text.append(f"| {name} | {begins:.0f} | {on:.0f} | {on - begins:.0f} |")
    results.write("First batch of a run that goes on", f"{PAIRS} pairs, {SIZE} items a batch; medians.", text)


if __name__ == "__main__":
    main()
