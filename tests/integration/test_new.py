"""`python -m jade`: its commands, the project that `new` makes, and all of it from an installed wheel."""

import shutil
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which JADE's wheel is installed, as `pip install jade` does, without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: setuptools would also pack what an earlier build has left in the repository.
    shutil.copytree(REPOSITORY / "jade", folder / "source/jade", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder / "source")
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        folder,
        folder / "source",
    ]
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder / "site"]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*pip, wheel], check=True, capture_output=True)
    return folder / "site"


def test_a_new_project_trains_at_once_from_an_installed_wheel(installed, command, tmp_path):
    def run(*arguments, folder=tmp_path):
        return command(
            sys.executable, *arguments, folder=folder, PYTHONPATH=str(installed), EXPERIMENTS_ROOT=None
        )

    where = run("-c", "import jade; print(jade.__file__)")
    made = run("-m", "jade", "new", "my project")
    shown = made.stdout.split("Try it:")[1].replace("\\\n", " ").split("python train.py")[1].split()
    trained = run("train.py", *shown, folder=tmp_path / "my project")
    by_module = run("-m", "jade", "train", *shown, "--check", folder=tmp_path / "my project")

    assert where.stdout.startswith(str(installed))
    assert made.returncode == 0
    assert trained.returncode == 0, trained.stderr
    assert "The run has finished." in trained.stderr
    assert by_module.stdout.startswith("ok")
    (run_folder,) = (tmp_path / "my project/experiments").iterdir()
    assert sorted(path.name for path in (run_folder / "media/TestDecisionBoundary").iterdir()) == [
        "0.png", "160.png", "320.png",
    ]  # fmt: skip


def test_a_new_project_has_every_part(command, tmp_path):
    command(sys.executable, "-m", "jade", "new", tmp_path / "p")

    made = {str(path.relative_to(tmp_path / "p")) for path in (tmp_path / "p").rglob("*") if path.is_file()}
    assert made == {
        ".env.example", ".gitignore", "README.md", "train.py",
        "configurations/data/spirals.yml", "configurations/eval/spirals.yml", "configurations/models/classifier.yml",
        "modules/architectures/mlp.py", "modules/data/spirals.py", "modules/eval/classification.py",
        "modules/README.md", "modules/models/classifier.py", "slurm/agent.sbatch", "sweeps/learning_rate.yml",
    }  # fmt: skip


def test_a_folder_that_holds_something_is_left_alone(command, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")

    done = command(sys.executable, "-m", "jade", "new", tmp_path / "full")

    assert done.returncode == 2
    assert "is there already and is not empty" in done.stderr
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_filled(command, tmp_path):
    (tmp_path / "empty").mkdir()

    done = command(sys.executable, "-m", "jade", "new", ".", folder=tmp_path / "empty")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "train.py").is_file()


def test_the_overview_names_each_command(command):
    done = command(sys.executable, "-m", "jade")

    assert done.returncode == 0
    assert "  train     Train one run" in done.stdout
    assert "  new       Make a small working project" in done.stdout


def test_an_unknown_command_is_refused_with_the_nearest(command):
    done = command(sys.executable, "-m", "jade", "trian")

    assert done.returncode == 2
    assert "There is no command 'trian'" in done.stderr
    assert "did you mean: train" in done.stderr


def test_the_version_is_told(command):
    assert command(sys.executable, "-m", "jade", "--version").stdout == "jade 0.1.0\n"
