"""Run the sweep that the notebook looks at, then the notebook, and keep what it shows: `make notebook`.

Both run in a copy of the project, so that the notebook is one of a fresh clone, with the paths of one.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOK = Path("notebooks/load_and_compare.ipynb")
SWEEP = Path("sweeps/digits_vae_grid.yml")
PROJECT = ("configurations", "modules", "sweeps", "train.py")
EPOCHS = "--epochs=40"  # in the sweep's file
SECONDS = 600  # that a cell may take


def main() -> None:
    """Make the notebook's outputs anew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "-o", metavar="FILE", type=Path, default=REPOSITORY / NOTEBOOK, help="(default: itself)"
    )
    parser.add_argument("--project", metavar="DIR", type=Path, help="folder of the copy, which is kept")
    parser.add_argument("--trials", type=int, help="how many (default: all of the grid)")
    parser.add_argument("--epochs", type=int, help="of each trial (default: the sweep's)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        project = (given.project or Path(temporary) / "project").resolve()
        copy_project(project, given.epochs)
        environ = environment()
        run_sweep(project, given.trials, environ)
        nbformat.write(executed(project, environ), given.o)


def copy_project(folder: Path, epochs: int | None) -> None:
    """Copy what a project consists of, and the notebook; the sweep trains for so many epochs."""
    for name in PROJECT:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / NOTEBOOK).parent.mkdir()
    shutil.copy(REPOSITORY / NOTEBOOK, folder / NOTEBOOK)
    if epochs is not None:
        text = (folder / SWEEP).read_text(encoding="utf-8")
        (folder / SWEEP).write_text(text.replace(EPOCHS, f"--epochs={epochs}"), encoding="utf-8")


def environment() -> dict[str, str]:
    """Return the environment, in which JADE is the one of this clone, and runs lie in the project."""
    own = {name: value for name, value in os.environ.items() if name != "EXPERIMENTS_ROOT"}
    paths = [str(REPOSITORY), *filter(None, [own.get("PYTHONPATH")])]
    return own | {"PYTHONPATH": os.pathsep.join(paths)}


def run_sweep(project: Path, trials: int | None, environ: dict[str, str]) -> None:
    """Run the sweep on this machine, to its end."""
    command = [sys.executable, "-m", "jade", "sweep", "run", str(SWEEP), "--local"]
    count = ["--count", str(trials)] if trials is not None else []
    subprocess.run([*command, *count], cwd=project, env=environ, check=True)


def executed(project: Path, environ: dict[str, str]) -> nbformat.NotebookNode:
    """Return the notebook with its outputs, run where it lies, as Jupyter does.

    Raises:
        CellExecutionError: if a cell raises.
        ValueError: if an output names a folder of this machine.
    """
    notebook = nbformat.read(project / NOTEBOOK, as_version=4)
    metadata = dict(notebook.metadata)
    # No other kernel than this very Python, whatever is installed for the user.
    kernels = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=kernels),
        timeout=SECONDS,
        record_timing=False,
        resources={"metadata": {"path": str((project / NOTEBOOK).parent)}},
    )
    client.execute(env=environ, cleanup_kc=True)  # a kernel manager that is handed in is else left running
    notebook.metadata = nbformat.from_dict(metadata)  # without the version of this Python
    shown = nbformat.writes(notebook)
    for folder in (project, REPOSITORY, Path(sys.prefix), Path.home()):
        if str(folder) in shown:
            raise ValueError(f"An output of the notebook names {folder}.")
    return notebook


if __name__ == "__main__":
    main()
