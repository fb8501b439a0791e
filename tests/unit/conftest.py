"""Projects in a folder with a hostile name, and a clean interpreter after each of them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from jade.plugins import Plugins


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

    def plugins(self) -> Plugins:
        return Plugins(self.root)


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[[str], Project]]:
    path, modules = list(sys.path), dict(sys.modules)

    def new(name: str) -> Project:
        return Project(tmp_path / name)

    yield new
    sys.path[:] = path
    for name in list(sys.modules):
        file = getattr(sys.modules[name], "__file__", None) or ""
        if name.partition(".")[0] == "modules" or file.startswith(str(tmp_path)):
            del sys.modules[name]
    # A module that a project's file has replaced is put back.
    sys.modules.update({name: module for name, module in modules.items() if name not in sys.modules})


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    return new_project("my 'project' [v1]")
