"""What tests of whole processes share: a clean environment, and a way to run the command line in a folder."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
MNIST = REPOSITORY.parent / "shared" / "data"

MODEL = "configurations/models/VIB_digits.yml"
DIGITS = [
    "--model_conf", MODEL,
    "--data_conf", "configurations/data/digits_final.yml",
    "--eval_conf", "configurations/eval/VIB_simple_final.yml",
    "--arch_impl", "modules/architectures/simple_digits.py",
]  # fmt: skip


@pytest.fixture
def clean_environ(tmp_path):
    """The environment of a user without an account: no W&B variable but the one that keeps wandb offline."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "JADE_"))}
    for name in ("DEVICE", "EXPERIMENTS_ROOT", "DATA_ROOT", "NUM_WORKERS"):
        kept.pop(name, None)
    return kept | {
        "WANDB_MODE": "offline",
        "HOME": str(tmp_path),
        "EXPERIMENTS_ROOT": str(tmp_path / "experiments"),
    }


@pytest.fixture
def command(clean_environ):
    """Run a command to its end in a folder and give the finished process, with its text."""

    def run(*arguments, folder=REPOSITORY, **environ):
        variables = {name: value for name, value in {**clean_environ, **environ}.items() if value is not None}
        return subprocess.run(
            [str(argument) for argument in arguments],
            cwd=folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture
def train(command):
    """Run `python train.py …` of the repository, or of another project, to its end."""

    def run(*arguments, folder=REPOSITORY, **environ):
        return command(sys.executable, "train.py", *arguments, folder=folder, **environ)

    return run


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """A folder as `torchvision.datasets.MNIST(root)` wants it, with the real pictures."""
    raw = tmp_path_factory.mktemp("datasets") / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (MNIST / "MNIST" / "raw").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return raw.parent.parent
