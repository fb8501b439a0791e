"""How long a run takes to its first step, against a bare script with the same imports: `python benchmarks/startup.py`.

Both build the same network, data and optimizer and make one step on the digits; JADE also reads the files, builds the
evaluations, evaluates once, copies the code and opens the run. Processes are paired: bare, JADE, bare, JADE, …
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

PAIRS = 9
REPOSITORY = Path(__file__).parent.parent
# Ends the process at the end of the first step, which is what is timed.
STOP = "import os, torch; step = torch.optim.Adam.step\ndef first(*a, **k): step(*a, **k); os._exit(0)\ntorch.optim.Adam.step = first\n"
BARE = (
    STOP
    + """
import wandb, yaml, tqdm, numpy, dotenv, sys
sys.path.insert(0, ".")
from torch.utils.data import DataLoader
from modules.data.digits import Digits
from modules.architectures.simple_digits import Encoder, LabelClassifier, Prior
from modules.models.VIB import VIBTrainer
class Source:
    def create(self, name, params): return globals()[name](**params)
trainer = VIBTrainer(datasets={"train": Digits("train+valid"), "test": Digits("test")}, architecture=Source(), device="cpu")
trainer.initialize(z_dim=16, encoder_layers=[256, 128], classifier_layers=[], beta=0.01, lr=0.002, batch_size=64)
%s
for data in trainer.train_loader: trainer.train_step(data)
"""
)
INIT = "run = wandb.init(project='bare', config={'beta': 0.01})"
JADE = (
    STOP
    + """
import sys
from jade.cli import main
main(sys.argv[1:])
"""
)
JOB = [
    "--model_conf=configurations/models/VIB_digits.yml", "--data_conf=configurations/data/digits_final.yml",
    "--eval_conf=configurations/eval/VIB_simple_final.yml", "--arch_impl=modules/architectures/simple_digits.py",
]  # fmt: skip


def seconds(code, arguments, folder):
    environ = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": folder, "EXPERIMENTS_ROOT": folder}
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=REPOSITORY, env=environ, check=True, capture_output=True
    )
    return time.perf_counter() - began


def main():
    ways = {
        "wandb offline, as the default": (BARE % INIT, JOB),
        "no W&B run (`--tracker local`)": (BARE % "", [*JOB, "--tracker=local"]),
    }
    text = ["| what | bare script, s | JADE, s | ratio, median (min..max) |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (bare, job) in ways.items():
            seconds(bare, [], folder), seconds(JADE, job, folder)  # warm-up
            pairs = [(seconds(bare, [], folder), seconds(JADE, job, folder)) for _ in range(PAIRS)]
            ratios = [ours / theirs for theirs, ours in pairs]
            medians = [statistics.median(column) for column in zip(*pairs, strict=True)]
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
            text.append(f"| {name} | {medians[0]:.2f} | {medians[1]:.2f} | {spread} |")
    results.write(
        "Start-up to the first step", f"{PAIRS} pairs of processes; VIB on the digits, 3 evaluations.", text
    )


if __name__ == "__main__":
    main()
