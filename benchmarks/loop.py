"""What JADE's loop costs over a bare PyTorch loop at about 400 µs a step: `python benchmarks/loop.py`.

The network is small enough (784-32-10, batch 96, Adam, batches in memory, one thread) for the loop to show. One run of
JADE is measured, with everything seeded at each step and its loss logged every 100 iterations, as by default. After each
of its epochs the same network and optimizer make as many steps in a bare loop, for where the memory lies changes a step
by several per cent from process to process. Times are CPU times, for other programs disturb those least.
"""

import gc
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import nn

from jade import intervals
from jade.checkpoint import Checkpoints
from jade.journal import Journal
from jade.loop import Loop
from jade.progress import Bars, Lines
from jade.record import Record
from jade.schedule import Plan
from jade.signals import Stop
from jade.tracking.local import LocalTracker
from jade.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

STEPS, PAIRS = 1000, 40


def step(net, opt, data):
    loss = nn.functional.cross_entropy(net(data["x"]), data["y"])
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss


class Classifier(Trainer):
    """After each epoch of JADE's, makes as many steps in a bare loop, and times both."""

    def initialize(self):
        self.net = nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))
        self.opt = torch.optim.Adam(self.net.parameters())
        self.train_loader = [{"x": torch.rand(96, 784), "y": torch.randint(10, (96,))} for _ in range(STEPS)]
        self.times = []
        self.add_attribute_to_store("net")
        self.add_attribute_to_store("opt")

    def train_step(self, data):
        self.add_loss_item("Loss", step(self.net, self.opt, data))

    def on_start(self):
        self.began = time.process_time()

    def on_epoch_end(self):
        ours = time.process_time() - self.began
        gc.unfreeze()  # JADE's loop has frozen what was there before it; a bare loop would not
        began = time.process_time()
        for data in self.train_loader:
            step(self.net, self.opt, data)
        bare = time.process_time() - began
        gc.freeze()
        self.times.append((bare / STEPS * 1e6, ours / STEPS * 1e6))
        self.began = time.process_time()


def measured(progress):
    trainer = Classifier(datasets={}, architecture=None, device=torch.device("cpu"))
    trainer.initialize()
    log, save = (intervals.parse(text, "epoch", "") for text in ("100 iterations", "10 minutes"))
    plan = Plan(0, PAIRS + 1, log, save, save, {})
    with tempfile.TemporaryDirectory() as folder:
        record = Record(Path(folder))
        record.create()
        journal = Journal(LocalTracker(record), record, progress(plan.epochs, io.StringIO()))
        Loop(trainer, {}, journal, Checkpoints(record.directory), plan, Stop()).run()
    return trainer.times[1:]


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    text = [
        "| progress shown as | bare, µs a step | JADE, µs a step | more, µs | ratio, median (quartiles) |",
        "|---|---|---|---|---|",
    ]
    for progress in (Lines, Bars):
        pairs = measured(progress)
        bare_time, jade_time = (statistics.median(column) for column in zip(*pairs, strict=True))
        more = statistics.median(ours - theirs for theirs, ours in pairs)
        low, middle, high = statistics.quantiles([ours / theirs for theirs, ours in pairs], n=4)
        spread = f"{middle:.3f} ({low:.3f}..{high:.3f})"
        text.append(
            f"| {progress.__name__.lower()} | {bare_time:.0f} | {jade_time:.0f} | {more:.1f} | {spread} |"
        )
    how = f"{PAIRS} pairs of {STEPS} steps; 784-32-10, batch 96, Adam, 1 thread; CPU time, medians."
    results.write("Loop", how, text)


if __name__ == "__main__":
    main()
