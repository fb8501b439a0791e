"""Projects in a folder with a hostile name, and a clean interpreter after each of them."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from jade import config
from jade.config import Config
from jade.plugins import Plugins

# A whole small project: three steps an epoch, one evaluation at the start and after each epoch.
LINE_PROJECT = {
    "net.py": """\
        from torch import nn

        class Net(nn.Module):
            def __init__(self, width):
                super().__init__()
                self.layer = nn.Linear(1, width)

            def forward(self, x):
                return self.layer(x)
        """,
    "modules/models/line.py": """\
        import torch
        from torch.utils.data import DataLoader
        from jade.trainer import Trainer

        class LineTrainer(Trainer):
            def initialize(self, lr, width=2):
                self.net = self.instantiate_architecture("Net", width=width)
                self.opt = torch.optim.SGD(self.net.parameters(), lr=lr)
                self.lr = lr
                self.train_loader = DataLoader(self.datasets["train"], batch_size=2)
                self.add_attribute_to_store("net")
                self.add_attribute_to_store("opt")

            def train_step(self, data):
                loss = self.net(data).square().mean()
                self.opt.zero_grad()
                loss.backward()
                self.opt.step()
                self.add_loss_item("loss", loss)
        """,
    "modules/data/points.py": """\
        import torch

        class Points:
            def __init__(self, n, scale=None):
                self.n = n
                self.scale = scale

            def __len__(self):
                return self.n

            def __getitem__(self, item):
                return torch.tensor([float(item)])

        class Scale:
            def __init__(self, factor):
                self.factor = factor
        """,
    "modules/eval/norm.py": """\
        from jade.eval import Evaluation

        class Norm(Evaluation):
            def initialize(self, on="train"):
                self.dataset = self.datasets[on]

            def evaluate(self):
                return {"type": "scalar", "value": self.trainer.net.layer.weight.norm()}

        class Every(Evaluation):
            def initialize(self, evaluate_every):
                self.seen = evaluate_every

            def evaluate(self):
                return {"type": "scalar", "value": 0.0}
        """,
    "m.yml": "class: LineTrainer\nparams:\n  lr: 0.1\n",
    "d.yml": "train:\n  class: Points\n  params:\n    n: 6\n",
    "e.yml": "Norm:\n  class: Norm\n",
}


class Project:
    """A folder that files are written into, as a researcher has one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "modules").mkdir(parents=True)

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else dedent(text).encode())
        importlib.invalidate_caches()
        return file

    def change(self, path: str, before: str, after: str) -> Path:
        """Replace a text that a file holds; nothing is indented or stripped."""
        text = (self.root / path).read_text()
        assert before in text
        return self.write(path, text.replace(before, after).encode())

    def add(self, path: str, text: str) -> Path:
        """Write a text behind what a file holds."""
        return self.write(path, (self.root / path).read_bytes() + text.encode())

    def start_anew(self) -> None:
        """Forget what was imported, as another process would not know it."""
        for name in _imported_from(self.root.parent):
            del sys.modules[name]
        importlib.invalidate_caches()

    def plugins(self) -> Plugins:
        return Plugins(self.root)

    def composed(
        self,
        seed: int = 42,
        epochs: int = 2,
        deterministic: bool = False,
        environ: Mapping[str, str] | None = None,
        **overrides: object,
    ) -> Config:
        """Return the configuration of the project's three files."""
        files = {section: self.root / f"{section[0]}.yml" for section in config.SECTIONS}
        top = {
            "arch_impl": ("net.py", "--arch_impl"),
            "seed": (seed, "--seed"),
            "epochs": (epochs, "--epochs"),
            "deterministic": (deterministic, "--deterministic"),
        }
        return config.compose(files, top, overrides, environ or {})


def _imported_from(folder: Path) -> list[str]:
    return [
        name
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "modules"
        or (getattr(module, "__file__", None) or "").startswith(str(folder))
    ]


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    path, modules = list(sys.path), dict(sys.modules)

    def new(name: str) -> Project:
        return Project(tmp_path / name)

    yield new
    sys.path[:] = path
    for name in _imported_from(tmp_path):
        del sys.modules[name]
    # A module that a project's file has replaced is put back.
    sys.modules.update({name: module for name, module in modules.items() if name not in sys.modules})


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    return new_project("my 'project' [v1]")


@pytest.fixture
def written(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A whole small project, in the folder of the process; a test changes the files it is about."""
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.root.parent))
    for path, text in LINE_PROJECT.items():
        project.write(path, text)
    return project
