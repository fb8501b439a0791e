"""Kills a run again and again, continues it, and compares what it comes to with a run that nobody disturbed.

Used by the tests with a few kills, and by `benchmarks/torture.py` with many.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = Path(__file__).resolve().parent / "resume_project"
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
LONGEST = 120.0  # seconds that one process may take


@dataclass(frozen=True)
class Case:
    """One experiment: its project, and what train.py is told."""

    name: str
    project: Path
    model: str
    data: str
    evaluations: str
    architectures: str
    epochs: int
    others: tuple = ()

    def longer(self, factor):
        """Return the case with so many times the epochs."""
        return replace(self, epochs=self.epochs * factor)

    @property
    def command(self):
        files = {
            "model": self.model, "data": self.data, "eval": self.evaluations,
        }  # fmt: skip
        return [
            sys.executable, "-m", "jade", "train",
            *(f"--{section}_conf={file}" for section, file in files.items()),
            f"--arch_impl={self.architectures}", f"--epochs={self.epochs}", "--device=cpu",
            "--log-loss-every=5", "--backup-every=7 iterations", "--checkpoint-every=3 epochs", *self.others,
        ]  # fmt: skip


def _points(name, model, data, epochs, *others):
    files = [f"configurations/{file}.yml" for file in (model, data, "eval")]
    return Case(name, PROJECT, *files, "modules/architectures/small.py", epochs, others)


CASES = {
    case.name: case
    for case in (
        Case(
            "digits VIB", REPOSITORY, "configurations/models/VIB_digits.yml", "configurations/data/digits_valid.yml",
            "configurations/eval/VIB_simple.yml", "modules/architectures/simple_digits.py", 6,
        ),
        _points("workers and augmentation", "workers", "points", 6),
        _points("persistent workers", "workers", "points", 6, "model.params.persistent_workers=true"),
        _points("two optimizers and a scheduler", "two_optimizers", "points", 30),
        _points("iterable dataset", "stream_workers", "stream", 6),
    )
}  # fmt: skip


def environment():
    """Return the environment of the processes."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    known |= {"PYTHONPATH": str(REPOSITORY), "WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    return known


def run(case, root, run_id, more=()):
    """Return the finished process of an undisturbed run."""
    command = [
        *case.command,
        f"--experiments-root={root}",
        f"--run_id={run_id}",
        "--tracker=local",
        *more,
    ]
    return subprocess.run(
        command, cwd=case.project, env=environment(), capture_output=True, text=True, timeout=LONGEST
    )


def killed(case, root, run_id, kills, seed):
    """Start a run, kill and continue it `kills` times, and let it end; return what each process ended with."""
    draw = random.Random(seed)
    command = [
        *case.command, f"--experiments-root={root}", f"--run_id={run_id}", "--resume=auto", "--tracker=local",
    ]  # fmt: skip
    ends = []
    for _ in range(kills):
        number = draw.choice(SIGNALS)
        ends.append(_killed_once(command, case, Path(root) / run_id, number, draw))
        if ends[-1][1] == 0:
            break
    done = subprocess.run(
        command, cwd=case.project, env=environment(), capture_output=True, text=True, timeout=LONGEST
    )
    ends.append((None, done.returncode, done.stderr))
    return ends


def _killed_once(command, case, folder, number, draw):
    with subprocess.Popen(
        command,
        cwd=case.project,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        before = _size(folder / "metrics.jsonl")
        until = time.monotonic() + LONGEST
        # Mostly while it trains, now and then while it starts.
        patient = draw.random() < 0.9
        while patient and process.poll() is None and time.monotonic() < until:
            if _size(folder / "metrics.jsonl") != before:
                break
            time.sleep(0.002)
        time.sleep(draw.random() * (0.4 if patient else 3.0))
        if number != signal.SIGKILL and draw.random() < 0.3:
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.killpg(process.pid, number)  # as a scheduler does it, workers included
        elif process.poll() is None:
            process.send_signal(number)
        _, errors = process.communicate(timeout=LONGEST)
        return number, process.returncode, errors


def is_outside(end):
    """Say whether a signal met a process before its run had begun or after it had finished."""
    number, code, errors = end
    said = "goes on" in errors or "epoch" in errors
    return code == -(number or 0) and (not said or "The run has finished." in errors)


def _size(path):
    return path.stat().st_size if path.exists() else 0


def differences(one, other):
    """Return how two runs' folders differ: in a tensor or value of `model.pt`, or in a row of the metrics."""
    states = [torch.load(folder / "model.pt", weights_only=True) for folder in (one, other)]
    found = [f"model.pt: {path}" for path in _unequal(*states, "")]
    rows = [_rows(folder / "metrics.jsonl") for folder in (one, other)]
    if len(rows[0]) != len(rows[1]):
        found.append(f"metrics.jsonl: {len(rows[0])} and {len(rows[1])} rows")
    found += [f"metrics.jsonl: {a} is not {b}" for a, b in zip(*rows, strict=False) if a != b]
    return found


def _rows(path):
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in ("time", "runtime")} for row in rows]


def _bytes(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)  # NaN is equal to itself, -0.0 is not 0.0


# What depends on the clock, and the run's own id.
_FREE = ("['run']", "['loop']['seconds']", "['journal']['runtime']", "['loop']['due']")


def _unequal(one, other, path):
    if path in _FREE:
        return
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        pairs = [(f"{path}[{key!r}]", one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        pairs = [(f"{path}[{index}]", *pair) for index, pair in enumerate(zip(one, other, strict=True))]
    else:
        if not _same(one, other):
            yield f"{path}: {one!r} is not {other!r}"
        return
    for inner, first, second in pairs:
        yield from _unequal(first, second, inner)


def _same(one, other):
    if not (isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)):
        return repr(one) == repr(other)
    return (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(_bytes(one), _bytes(other))
