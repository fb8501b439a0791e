"""What one checkpoint costs: a VAE of 3 million parameters with Adam, written as runs write it.

`python benchmarks/checkpoint.py`. Paired with the bare `torch.save` of the same state, which is not safe to be interrupted.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from jade import checkpoint, state
from jade.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

PAIRS = 15
BACKUP_SECONDS = 600.0  # the default rate


class Vae(Trainer):
    def initialize(self):
        self.encoder = nn.Sequential(
            nn.Linear(784, 1100), nn.ReLU(), nn.Linear(1100, 600), nn.ReLU(), nn.Linear(600, 128)
        )
        self.decoder = nn.Sequential(
            nn.Linear(64, 600), nn.ReLU(), nn.Linear(600, 1100), nn.ReLU(), nn.Linear(1100, 784)
        )
        self.opt = torch.optim.Adam([*self.encoder.parameters(), *self.decoder.parameters()])
        for name in ("encoder", "decoder", "opt"):
            self.add_attribute_to_store(name)

    def train_step(self, data):
        loss = (self.decoder(self.encoder(data)[:, :64]) - data).square().mean()
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()


def timed(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main():
    trainer = Vae(datasets={}, architecture=None, device=torch.device("cpu"))
    trainer.initialize()
    trainer.train_step(torch.rand(64, 784))
    n = sum(p.numel() for p in trainer.parameters())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = checkpoint.Checkpoints(folder)

        def whole():
            return {"format": 1, "iterations": 1, "epochs": 0, "attributes": state.of(trainer)}

        kept.save_backup(whole())
        pairs = [
            (timed(lambda: torch.save(whole(), folder / "bare.pt")), timed(lambda: kept.save_backup(whole())))
            for _ in range(PAIRS)
        ]
        reading = statistics.median(timed(lambda: checkpoint.read(folder / "model.pt")) for _ in range(PAIRS))
        size = (folder / "model.pt").stat().st_size
    bare, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    share = ours / BACKUP_SECONDS
    ratios = [ours / bare for bare, ours in pairs]
    text = [
        "| parameters | size, MB | bare torch.save, ms | backup, ms | ratio, median (min..max) | reading, ms | share at a backup every 10 minutes |",
        "|---|---|---|---|---|---|---|",
        f"| {n:,} | {size / 1e6:.1f} | {bare * 1e3:.0f} | {ours * 1e3:.0f} | {statistics.median(ratios):.2f}"
        f" ({min(ratios):.2f}..{max(ratios):.2f}) | {reading * 1e3:.0f} | {share:.4%} |",
    ]
    how = (
        f"{PAIRS} pairs; temporary file, SHA-256, fsync of file and folder, the backup before kept by a link."
    )
    results.write("One checkpoint", how, text)


if __name__ == "__main__":
    main()
