"""What the shipped classifiers reach: `DATA_ROOT=… python benchmarks/examples.py`. Minutes.

Trains on train+valid and tests on the test set, as the README shows it. MNIST is left out where DATA_ROOT is not set.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import results  # beside this file

REPOSITORY = Path(__file__).parent.parent
JOBS = [  # model, architecture, data, epochs, seeds
    ("VIB_digits", "simple_digits", "digits_final", 30, range(5)),
    ("VIB_digits", "conv_digits", "digits_final", 30, range(5)),
    ("classifier_digits", "simple_digits", "digits_final", 30, range(5)),
    ("VIB", "simple_MNIST", "MNIST_final", 8, range(1)),
]


def trained(model, architecture, data, epochs, seed, folder):
    """Return the test accuracy after the last epoch and the seconds that the process took."""
    kind = model.partition("_")[0]
    command = [
        *(sys.executable, "train.py", "--tracker=local", f"--experiments-root={folder}"),
        *(f"--model_conf=configurations/models/{model}.yml", f"--data_conf=configurations/data/{data}.yml"),
        *(f"--eval_conf=configurations/eval/{kind}_simple_final.yml", f"--epochs={epochs}", f"--seed={seed}"),
        f"--arch_impl=modules/architectures/{architecture}.py",
    ]
    began = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    seconds = time.perf_counter() - began
    newest = max(Path(folder).glob("*/status.json"), key=lambda path: path.stat().st_mtime)
    return json.loads(newest.read_text())["metrics"]["TestAccuracy"]["last"], seconds


def main():
    text = [
        "| model | architecture | data | epochs | test accuracy per seed | seconds, whole process |",
        "|---|---|---|---|---|---|",
    ]
    for model, architecture, data, epochs, seeds in JOBS:
        if data.startswith("MNIST") and not os.environ.get("DATA_ROOT"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            runs = [trained(model, architecture, data, epochs, seed, folder) for seed in seeds]
        accuracies = " ".join(f"{accuracy:.4f}" for accuracy, _ in runs)
        seconds = statistics.median(seconds for _, seconds in runs)
        text.append(f"| {model} | {architecture} | {data} | {epochs} | {accuracies} | {seconds:.0f} |")
    results.write("Examples", "Final models, the whole test set.", text)


if __name__ == "__main__":
    main()
