"""A small project, and runs of it, trained in this process and stored in folders."""

import sys
from textwrap import dedent

import pytest

from jade import cli
from jade.stored.run import load

MODEL = """
import torch
from torch.utils.data import DataLoader

from jade.trainer import Trainer
from modules.scaling import FACTOR


class Line(Trainer):
    def initialize(self, lr, hidden):
        self.net = self.instantiate_architecture("Net", hidden=hidden)
        self.opt = torch.optim.SGD(self.net.parameters(), lr=lr)
        self.train_loader = DataLoader(self.datasets["train"], batch_size=4, shuffle=True)
        self.add_attribute_to_store("net")
        self.add_attribute_to_store("opt")

    def train_step(self, data):
        loss = (self.net(data) - 2 * data).square().mean()
        self.add_loss_item("Loss", loss)
        self.opt.zero_grad()
        loss.backward()
        self.opt.step()

    def forward(self, x):
        return FACTOR * self.net(x)

    def late(self):
        from modules.scaling import FACTOR as late

        return late
"""
DATA = """
import os

import torch
from torch.utils.data import Dataset


class Points(Dataset):
    def __init__(self, root, download=False):
        self.downloaded = download
        with open(os.path.join(root, "points.txt")) as file:
            self.points = torch.tensor([[float(line)] for line in file])

    def __len__(self):
        return len(self.points)

    def __getitem__(self, index):
        return self.points[index]
"""
EVALUATION = """
import torch

from jade.eval import DatasetEvaluation, Evaluation


class Error(DatasetEvaluation):
    def evaluate_batch(self, data):
        return (self.trainer(data) - data).abs().mean()


class Noise(Evaluation):
    def evaluate(self):
        return {"type": "scalar", "value": torch.randn(()).item()}
"""
FILES = {
    "modules/models/line.py": MODEL,
    "modules/data/points.py": DATA,
    "modules/eval/error.py": EVALUATION,
    "modules/scaling.py": "FACTOR = 1.0\n",
    "modules/nets.py": """
        from torch import nn


        class Net(nn.Sequential):
            def __init__(self, hidden):
                super().__init__(nn.Linear(1, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        """,
    "model.yml": "class: Line\nparams:\n  lr: 0.1\n  hidden: 5\n",
    "data.yml": "train:\n  class: Points\n  params:\n    root: $POINTS_ROOT\n    download: true\n",
    "eval.yml": "Error:\n  class: Error\n  params:\n    evaluate_on: train\nNoise:\n  class: Noise\n",
}


def forget_modules():
    for name in [name for name in sys.modules if name.partition(".")[0] == "modules"]:
        del sys.modules[name]


class Project:
    """A folder of a user's, with data beside it."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.data = folder.parent / "points"
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "points.txt").write_text("".join(f"{n / 10}\n" for n in range(12)))
        self._monkeypatch = monkeypatch
        self.write(**{name.replace("/", "__"): text for name, text in FILES.items()})

    def write(self, **files):
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))

    def train(self, run_id, *arguments):
        """Train a run from this folder and give the run's folder."""
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setenv("POINTS_ROOT", str(self.data))
        files = ["--model_conf", "model.yml", "--data_conf", "data.yml", "--eval_conf", "eval.yml"]
        code = cli.main(
            [*files, "--arch_impl", "modules/nets.py", "--tracker", "local", "--device", "cpu"]
            + ["--epochs", "2", "--run_id", run_id, *arguments],
            self.folder,
        )
        forget_modules()  # as in another process, in which the files may be other ones
        assert code == 0
        return self.folder / "experiments" / run_id


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("JADE_CACHE", str(tmp_path / "cache"))
    for name in ("EXPERIMENTS_ROOT", "DEVICE", "WANDB_SWEEP_ID", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    before = list(sys.path)
    yield Project(tmp_path / "project", monkeypatch)
    sys.path[:] = before
    forget_modules()


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, which becomes the present one; and a way to open a run there."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def opened(run, **options):
        monkeypatch.chdir(folder)
        forget_modules()
        return load(run, **options)

    return opened


@pytest.fixture(scope="module")
def without_account(tmp_path_factory):
    """Nobody's home: no account and no server but the one that a test names."""
    from tests.stored.remote_runs import home_of_nobody  # wandb takes half a second

    with home_of_nobody(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture
def filled(tmp_path):
    """A server that runs can be put on, and the environment of who asks it."""
    from tests.stored.remote_runs import filled_server

    with filled_server(tmp_path) as found:
        yield found
