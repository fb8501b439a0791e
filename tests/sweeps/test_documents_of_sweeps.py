"""What the README says of sweeps on one machine, as it stands there."""

import re
import sys

import pytest

from tests.test_shipped_files import blocks, tutorial_files


@pytest.fixture
def project(tmp_path, command):
    """The project that the README builds, its sweep cut short."""
    folder = tmp_path / "my_project"
    command(sys.executable, "-m", "jade", "new", folder)
    for name, body in tutorial_files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body.replace("--epochs=10", "--epochs=1").replace("run_cap: 30", "run_cap: 2"))
    return folder


def test_the_readme_runs_shows_and_exports_a_sweep_and_trains_with_the_winner(project, command):
    (begin,) = [body for body in blocks("shell") if body.startswith("python -m jade sweep run")]
    (after,) = [body for body in blocks("shell") if body.startswith("python -m jade sweep show")]

    done = command(
        "bash", "-euc", begin.replace("python ", f"{sys.executable} "), folder=project, EXPERIMENTS_ROOT=None
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 finished; best TestLoss/reconstruction" in done.stdout
    shown = command(
        "bash", "-euc", after.replace("python ", f"{sys.executable} "), folder=project, EXPERIMENTS_ROOT=None
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "TestLoss/reconstruction is minimized" in shown.stdout
    again = re.search(r"^python train.py .*$", shown.stdout, re.M)[0]
    trained = command(
        "bash", "-euc", f"{again} --check".replace("python ", f"{sys.executable} ", 1), folder=project
    )
    assert trained.returncode == 0, trained.stderr
    assert (
        (project / "configurations" / "best_model.yml")
        .read_text()
        .startswith("# configurations/models/vae.yml")
    )


def test_a_folder_of_runs_is_shown_as_the_readme_says(project, command):
    folder = project / "experiments"
    train = [
        sys.executable, "train.py", "--epochs", "1", "--model_conf", "configurations/models/vae.yml",
        "--data_conf", "configurations/data/digits.yml", "--eval_conf", "configurations/eval/vae.yml",
        "--arch_impl", "modules/architectures/dense.py", "--tracker", "local", "--experiments-root", folder,
    ]  # fmt: skip
    for beta in ("0.1", "1.0"):
        assert command(*train, f"model.params.beta={beta}", folder=project).returncode == 0

    shown = command(
        sys.executable, "-m", "jade", "sweep", "show", "experiments", "--metric", "TestLoss/reconstruction",
        folder=project,
    )  # fmt: skip

    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^2 finished; best TestLoss/reconstruction [\d.]+ \(\w+\)$", shown.stdout, re.M)
