"""A project written by the user guide runs unchanged; each slip of the guide itself gets an error that mends it."""

import shutil
from pathlib import Path

import pytest

from tests.conftest import MNIST

PROJECT = Path(__file__).parent / "guide_project"
JOB = [
    "--data_conf=configurations/data/MNIST_valid.yml",
    "--eval_conf=configurations/eval/VAE_simple.yml",
    "--model_conf=configurations/models/VAE.yml",
    "--arch_impl=modules/architectures/simple_MNIST.py",
    "--epochs=2",
    "--seed=42",
]


@pytest.fixture
def project(tmp_path):
    return Path(shutil.copytree(PROJECT, tmp_path / "a project [of mine]"))


@pytest.fixture
def edit(project):
    def change(name, before, after):
        path = project / name
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    return change


@pytest.mark.skipif(not MNIST.is_dir(), reason="the MNIST files are not beside this repository")
def test_a_project_written_by_the_guide_trains_unchanged(project, train, mnist):
    done = train(*JOB, folder=project, DATA_ROOT=str(mnist), NUM_WORKERS="0", EXPERIMENTS_ROOT="runs")

    assert done.returncode == 0, done.stderr
    assert "TestReconstructionsError" in done.stderr
    (run,) = (project / "runs").iterdir()
    assert {path.name for path in run.iterdir()} >= {
        "model.pt",
        "config.yml",
        "metrics.jsonl",
        "code",
        "wandb",
    }
    assert sorted(path.name for path in (run / "media/TestImageReconstructions").iterdir()) == [
        "0.png",
        "8.png",
    ]


SLIPS = {
    "core.trainer": (
        ("modules/models/VAE.py", "from jade.trainer", "from core.trainer"),
        [],
        ["modules/models/VAE.py cannot be imported", "VAE.py:5: write from jade.trainer import Trainer"],
    ),
    "core.Trainer": (
        ("modules/models/VAE.py", "from jade.trainer", "from core"),
        [],
        ["VAE.py:5: write from jade import Trainer"],
    ),
    "Evaluaiton": (
        ("modules/eval/elbo.py", "import Evaluation", "import Evaluaiton"),
        [],
        ["elbo.py:4: write from jade.eval import Evaluation"],
    ),
    "class name": (
        ("modules/models/VAE.py", "class VariationalAutoencoderTrainer", "class VariationalAutoencoder"),
        [],
        [
            "There is no class 'VariationalAutoencoderTrainer'",
            "configurations/models/VAE.yml:1 (model.class)",
            "did you mean: VariationalAutoencoder\n",
        ],
    ),
    "num_workers and n_workers": (
        ("modules/models/VAE.py", "num_workers=0", "n_workers=0"),
        [],
        ["takes no parameter 'num_workers'", "VAE.yml:13", "did you mean: n_workers"],
    ),
    "dataset without a length": (
        ("modules/data/MNIST.py", "def __len__", "def length"),
        [],
        ["The dataset 'train' is a MNISTWrapper, which has no __len__", "def __len__(self):"],
    ),
    "collapsed list": (
        ("configurations/models/VAE.yml", "    - 1024\n    - 256\n\n", "    -1024\n    -256\n\n"),
        [],
        ["VAE.yml:4 (model.params.encoder_layers)", "encoder_layers:\n    - 1024\n    - 256"],
    ),
    "params for data": (
        None,
        ["params.split=valid"],
        [
            "'params.split' does not say whose param it is",
            "data.test.params.split or data.train.params.split",
        ],
    ),
}


@pytest.mark.parametrize("slip", SLIPS, ids=list(SLIPS))
def test_each_slip_of_the_guide_gets_an_error_that_names_the_right_form(slip, project, edit, train, tmp_path):
    change, arguments, expected = SLIPS[slip]
    if change:
        edit(*change)
    if slip == "dataset without a length":
        edit("modules/data/MNIST.py", "dataset = MNIST(", "dataset = range(9) or MNIST(")  # no files needed

    done = train(
        *JOB, *arguments, folder=project, DATA_ROOT=str(tmp_path), NUM_WORKERS="0", EXPERIMENTS_ROOT="runs"
    )

    assert done.returncode == 2, done.stderr
    for text in expected:
        assert text in done.stderr
    assert not (project / "runs").exists()


def test_n_workers_given_to_a_loader_is_explained_below_the_users_own_traceback(
    project, edit, train, tmp_path
):
    edit("modules/models/VAE.py", "num_workers=num_workers", "n_workers=num_workers")
    edit("modules/data/MNIST.py", "dataset = MNIST(", "dataset = range(9) or MNIST(")

    done = train(*JOB, folder=project, DATA_ROOT=str(tmp_path), NUM_WORKERS="0", EXPERIMENTS_ROOT="runs")

    assert done.returncode == 1
    assert "TypeError: " in done.stderr
    lines = (project / "modules/models/VAE.py").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "DataLoader(" in text)
    assert (
        f"VAE.py:{line}: DataLoader takes no parameter 'n_workers'. did you mean: num_workers" in done.stderr
    )
    assert not (project / "runs").exists()


def test_the_guides_sweep_key_without_params_is_read_as_it_is_meant(project, train, tmp_path):
    done = train(*JOB, "--print-config", "model.z_dim=32", folder=project, DATA_ROOT="d", NUM_WORKERS="0")

    assert "model.params.z_dim: 32" in done.stdout
    assert "model.z_dim is read as model.params.z_dim" in done.stderr
