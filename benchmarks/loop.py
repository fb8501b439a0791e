"""What JADE's loop costs over a bare PyTorch loop at about 400 µs a step: `python benchmarks/loop.py`.

The network is small enough (784-32-10, batch 32, Adam, batches in memory, one thread) for the loop to show. The time of
a step is the slope between a short and a long fit, so that what happens once does not count. Each run of JADE's loop
is paired with a bare run before and one after it; the ratio is that of CPU times, for other programs disturb those
least.
"""

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
from jade.loop import Loop, Plan
from jade.progress import Bars, Lines
from jade.record import Record
from jade.signals import Stop
from jade.tracking.local import LocalTracker
from jade.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

SHORT, LONG, PAIRS = 100, 2100, 15


def network():
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def step(net, opt, data):
    loss = nn.functional.cross_entropy(net(data["x"]), data["y"])
    opt.zero_grad()
    loss.backward()
    opt.step()
    return loss


class Classifier(Trainer):
    def initialize(self, batches):
        self.net = network()
        self.opt = torch.optim.Adam(self.net.parameters())
        self.train_loader = batches
        self.add_attribute_to_store("net")
        self.add_attribute_to_store("opt")

    def train_step(self, data):
        self.add_loss_item("Loss", step(self.net, self.opt, data))


def bare(batches):
    net = network()
    opt = torch.optim.Adam(net.parameters())
    began = time.process_time()
    for data in batches:
        step(net, opt, data)
    return time.process_time() - began


def jade(batches, progress):
    trainer = Classifier(datasets={}, architecture=None, device=torch.device("cpu"))
    trainer.initialize(batches)
    every = {
        name: intervals.parse(text, "epoch", name)
        for name, text in (("loss", "100 iterations"), ("save", "10 minutes"))
    }
    plan = Plan(1, every["loss"], every["save"], every["save"], {})
    with tempfile.TemporaryDirectory() as folder:
        record = Record(Path(folder))
        record.create()
        journal = Journal(LocalTracker(record), record, progress(1, io.StringIO()))
        loop = Loop(trainer, {}, journal, Checkpoints(record.directory), plan, Stop())
        began = time.process_time()
        loop.run()
        return time.process_time() - began


def per_step(fit, batches):
    return (fit(batches[:LONG]) - fit(batches[:SHORT])) / (LONG - SHORT) * 1e6


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batches = [{"x": torch.rand(32, 784), "y": torch.randint(10, (32,))} for _ in range(LONG)]
    ways = {"lines": lambda b: jade(b, Lines), "bars": lambda b: jade(b, Bars)}
    bare(batches)  # warm-up
    text = ["| loop | µs a step, median | ratio to bare, median (min..max) |", "|---|---|---|"]
    bares, rows = [], {}
    for name, fit in ways.items():
        times, ratios, before = [], [], per_step(bare, batches)
        for _ in range(PAIRS):
            ours, after = per_step(fit, batches), per_step(bare, batches)
            times.append(ours)
            ratios.append(2 * ours / (before + after))
            bares.append(before)
            before = after
        rows[name] = (statistics.median(times), statistics.median(ratios), min(ratios), max(ratios))
    text.append(f"| bare | {statistics.median(bares):.0f} | 1 |")
    text += [
        f"| JADE, {name} | {t:.0f} | {r:.3f} ({low:.3f}..{high:.3f}) |"
        for name, (t, r, low, high) in rows.items()
    ]
    results.write(
        "Loop", f"{PAIRS} pairs; 784-32-10, batch 32, Adam, batches in memory, 1 thread; CPU time.", text
    )


if __name__ == "__main__":
    main()
