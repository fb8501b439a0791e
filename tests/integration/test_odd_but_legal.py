"""Unusual code and surroundings that must work, and slips that only look legal. Each was met in a trial."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from jade import cli, devices
from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "jade" / "template"
TRAINER, METRICS = "modules/models/classifier.py", "modules/eval/classification.py"
MODEL, EVAL = "configurations/models/classifier.yml", "configurations/eval/spirals.yml"
JOB = [
    f"--model_conf={MODEL}", "--data_conf=configurations/data/spirals.yml", f"--eval_conf={EVAL}",
    "--arch_impl=modules/architectures/mlp.py", "--tracker=local", "--epochs=1",
]  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = Path(shutil.copytree(TEMPLATE, tmp_path / "project"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("DEVICE", "EXPERIMENTS_ROOT", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def edit(project):
    def change(name, before, after):
        text = (project / name).read_text()
        assert before in text
        (project / name).write_text(text.replace(before, after))

    return change


@pytest.fixture
def run(project, capsys, caplog):
    def start(*arguments):
        code = cli.main([*JOB, *arguments], project)
        return code, capsys.readouterr().err + caplog.text

    return start


@pytest.fixture
def refused(project, run):
    def start(*arguments):
        code, text = run(*arguments)
        assert code == 2, text
        assert not (project / "experiments").exists()
        return text

    return start


def only_run(project):
    (folder,) = (project / "experiments").iterdir()
    return folder


def test_counters_that_initialize_sets_are_refused_for_the_run_would_train_nothing(edit, refused):
    edit(TRAINER, "# What a checkpoint", "self.epochs = 10  # What a checkpoint")

    text = refused()

    assert "ClassifierTrainer sets self.iterations or self.epochs" in text
    assert "--epochs" in text


@pytest.mark.parametrize(("name", "before"), [(MODEL, "class: ClassifierTrainer"), (EVAL, "class: Accuracy")])
def test_a_function_in_place_of_a_class_is_refused(name, before, edit, refused):
    edit(name, before, "class: torch.relu")

    assert "torch.relu is no class" in refused()


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        (TRAINER, "def train_step(self, data:", "def train_step(self, *, data:", "ClassifierTrainer.train_step cannot be called with (self, data)"),
        (METRICS, "def evaluate_batch(", "def evaluate_batches(", "Accuracy defines no evaluate_batch(self, data)"),
        (METRICS, "def evaluate(self)", "def evaluation(self)", "DecisionBoundary defines no evaluate(self)"),
        (METRICS, "def evaluate(self)", "def evaluate(self, trainer)", "DecisionBoundary.evaluate cannot be called with (self)"),
        (TRAINER, "def initialize(self", "def initialise(self", "It has 'initialise': rename it to 'initialize'."),
    ],
)  # fmt: skip
def test_a_method_that_is_missing_or_takes_something_else_is_refused_before_the_run(
    name, before, after, expected, edit, refused
):
    edit(name, before, after)

    assert expected in refused()


def test_a_syntax_error_is_the_answer_and_not_a_class_of_torchvision(edit, refused):
    edit("modules/data/spirals.py", "def __len__(self)", "def __len__(self")

    text = refused()

    assert "There is no class 'Spirals' for 'data' in the files that can be read." in text
    assert "not read: " in text
    assert "did you mean" not in text


def test_a_wrong_kind_of_dataset_name_is_refused(edit, refused):
    edit(EVAL, "evaluate_on: test\n\n", "evaluate_on: [test]\n\n")

    assert "There is no dataset ['test']." in refused()


def test_a_run_id_that_is_taken_names_the_variable_that_gave_it(project, run, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    assert run()[0] == 0

    code, text = run()

    assert code == 2
    assert "There is a run 'mine'" in text
    assert "at: WANDB_RUN_ID" in text


@pytest.mark.parametrize("value", ["../x", "a/b", "a b"])
def test_a_run_id_that_leads_elsewhere_is_refused(value, refused, monkeypatch):
    monkeypatch.setenv("WANDB_RUN_ID", value)

    text = refused()

    assert f"{value!r} is no run id" in text
    assert "WANDB_RUN_ID" in text


def test_how_often_a_metric_is_evaluated_does_not_change_the_training(project, run):
    losses = []
    for every in ("1", "never"):
        shutil.rmtree(project / "experiments", ignore_errors=True)
        text = (project / EVAL).read_text()
        (project / EVAL).write_text(
            text.replace("evaluate_on: test\n\n", f"evaluate_on: test\n    evaluate_every: {every}\n\n")
        )
        assert run("--epochs=3")[0] == 0
        (project / EVAL).write_text(text)
        rows = [json.loads(line) for line in (only_run(project) / "metrics.jsonl").read_text().splitlines()]
        losses.append([row["metrics"]["Loss"] for row in rows if "Loss" in row["metrics"]])

    assert losses[0] == losses[1]


def test_a_folder_that_the_users_code_changes_to_does_not_move_the_run(project, edit, run):
    edit(TRAINER, "self.network = self", "import os; os.chdir('/'); self.network = self")

    code, text = run()

    assert code == 0, text
    assert "Not in the copy of the code" not in text
    assert (only_run(project) / "model.pt").is_file()
    assert (only_run(project) / "yaml/model.yml").read_text() == (project / MODEL).read_text()


def test_a_configuration_from_a_pipe_is_kept_as_it_was_read(project, clean_environ):
    line = f"{sys.executable} train.py {' '.join(JOB[1:])} --model_conf <(cat {MODEL})"

    done = subprocess.run(
        ["bash", "-c", line], cwd=project, env=clean_environ, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    (run_folder,) = Path(clean_environ["EXPERIMENTS_ROOT"]).iterdir()
    assert (run_folder / "yaml/model.yml").read_text() == (project / MODEL).read_text()


def test_an_architecture_file_outside_of_the_project_is_kept_with_the_code(project, run):
    outside = project.parent / "networks" / "mlp.v2.py"
    outside.parent.mkdir()
    shutil.move(project / "modules/architectures/mlp.py", outside)

    code, text = run(f"--arch_impl={outside}")

    assert code == 0, text
    assert (only_run(project) / "code/outside/mlp.v2.py").is_file()


def test_a_modules_folder_behind_a_link_has_relative_imports_and_its_code_is_kept(project, edit, run):
    edit(TRAINER, "from jade.trainer import Trainer", "from .base import Trainer")
    (project / "modules/models/base.py").write_text("from jade.trainer import Trainer\n")
    (project / "modules").rename(project.parent / "elsewhere")
    (project / "modules").symlink_to(project.parent / "elsewhere")

    code, text = run()

    assert code == 0, text
    assert (only_run(project) / "code/modules/models/base.py").is_file()


@pytest.mark.parametrize("name", ["class.v2.py", "my trainer.py", "größe.py"])
def test_a_module_file_may_have_any_name(name, project, run):
    (project / TRAINER).rename(project / "modules/models" / name)

    code, text = run()

    assert code == 0, text
    assert (only_run(project) / "code/modules/models" / name).is_file()


def test_names_of_metrics_may_be_long_and_of_any_script(project, edit, run):
    names = ["境" * 100, "a/b: c?"]
    edit(EVAL, "TestDecisionBoundary:", f'"{names[0]}":')
    edit(EVAL, "TestAccuracy:\n  class: Accuracy\n", f'"{names[1]}":\n  class: DecisionBoundary\n')

    code, text = run()

    assert code == 0, text
    rows = [json.loads(line) for line in (only_run(project) / "metrics.jsonl").read_text().splitlines()]
    assert {name for row in rows for name in row.get("files", {})} == set(names)
    assert all((only_run(project) / path).is_file() for row in rows for path in row.get("files", {}).values())


def test_pyplot_figures_are_closed_once_they_are_logged(edit, run):
    edit(
        METRICS,
        "from matplotlib.figure import Figure",
        "import matplotlib; matplotlib.use('Agg'); from matplotlib.pyplot import figure as Figure",
    )
    edit(EVAL, "evaluate_every: 10", "evaluate_every: 1 iterations")

    code, text = run("--epochs=2")  # 33 figures; pyplot warns of more than 20, and warnings are errors here

    assert code == 0, text


def test_what_learns_but_is_not_stored_is_told(edit, run):
    edit(TRAINER, 'self.add_attribute_to_store("opt")', "pass")

    code, text = run()

    assert code == 0
    assert "opt learns or changes, but is in no checkpoint: a continued run begins with it anew." in text
    assert text.count("is in no checkpoint") == 1
    assert "self.add_attribute_to_store(name) puts it there." in text


def test_a_loss_item_named_like_an_evaluation_ends_the_run_at_its_first_step(project, edit, run):
    edit(TRAINER, 'add_loss_item("Loss"', 'add_loss_item("TestAccuracy"')

    code, text = run()

    assert code == 2
    assert "'TestAccuracy' is the name of a loss item, but also of an evaluation" in text
    assert (
        "iteration 0" in text
        or json.loads((only_run(project) / "status.json").read_text())["iterations"] == 0
    )


def test_a_collate_function_of_the_trainer_goes_to_spawned_workers(edit, run):
    edit(
        TRAINER,
        "shuffle=True)",
        'shuffle=True, num_workers=1, multiprocessing_context="spawn", collate_fn=self.collate)',
    )
    edit(
        TRAINER,
        "    def train_step",
        "    def collate(self, items):\n        from torch.utils.data import default_collate\n\n        return default_collate(items)\n\n    def train_step",
    )

    code, text = run()

    assert code == 0, text


def test_a_process_without_standard_error_runs(project, clean_environ):
    line = f"exec {sys.executable} train.py {' '.join(JOB)} 2>&-"

    assert subprocess.run(["bash", "-c", line], cwd=project, env=clean_environ).returncode == 0


def test_the_name_of_a_run_is_in_its_status(project, run):
    run("--run_name=first try")

    assert json.loads((only_run(project) / "status.json").read_text())["name"] == "first try"


def test_a_failed_run_says_where_its_folder_is(project, edit, caplog):
    edit(TRAINER, "loss.backward()", "1 / 0")

    with pytest.raises(ZeroDivisionError):
        cli.main(JOB, project)

    assert "The run has failed." in caplog.text
    assert f"folder  {only_run(project).relative_to(Path.cwd())}" in caplog.text


@dataclasses.dataclass(frozen=True)
class Pair:
    x: torch.Tensor
    name: str


def test_dataclasses_and_packed_sequences_are_moved():
    meta = torch.device("meta")
    packed = torch.nn.utils.rnn.pack_sequence([torch.ones(2), torch.ones(1)])

    pair = devices.move(Pair(torch.ones(1), "a"), meta)

    assert (pair.x.device.type, pair.name) == ("meta", "a")
    assert devices.move(packed, meta).data.device.type == "meta"


def test_the_resolved_configuration_is_read_back_as_it_was(project, run):
    run("model.params.lr=1e-4")

    known = yaml.safe_load((only_run(project) / "config.yml").read_text())
    assert known["model"]["params"]["lr"] == 1e-4


def test_a_device_from_the_environment_is_named_as_such(refused, monkeypatch):
    monkeypatch.setenv("DEVICE", "cuda:77")

    assert "at: environment variable DEVICE" in refused()


def test_a_function_with_the_name_of_the_class_is_told(project, edit, refused):
    edit(
        "modules/data/spirals.py",
        "class Spirals(Dataset)",
        "def Spirals():\n    pass\n\n\nclass Spiral(Dataset)",
    )

    text = refused()

    assert "spirals.py has 'Spirals', but not as a class that is defined there." in text
    assert "did you mean: Spiral\n" in text


# Runs that go on


@pytest.fixture
def go_on(project, capsys, caplog):
    """Continue the project's only run for one more epoch, as another process would."""

    def start(*arguments, run="run1"):
        for name in [name for name in sys.modules if name.partition(".")[0] == "modules"]:
            del sys.modules[name]
        caplog.clear()
        code = cli.main([f"--resume={run}", "--epochs=2", "--tracker=local", *arguments], project)
        return code, capsys.readouterr().err + caplog.text

    return start


SNAPSHOT_IS_USED = "The code has changed since the run was begun"


def test_a_run_goes_on_with_its_own_code_whatever_has_become_of_the_present_one(project, edit, run, go_on):
    assert run("--run_id=run1")[0] == 0
    edit(TRAINER, "loss.backward()", "raise AssertionError('the present code is not used')")

    code, text = go_on()

    assert code == 0, text
    assert f"{SNAPSHOT_IS_USED} ({TRAINER}): its own snapshot is used." in text
    assert json.loads((only_run(project) / "status.json").read_text())["epochs"] == 2


def test_the_code_of_a_run_behind_a_link_is_its_own_and_stays(project, edit, run, go_on):
    (project.parent / "disk").mkdir()
    (project / "experiments").symlink_to(project.parent / "disk")
    assert run("--run_id=run1")[0] == 0
    kept = (only_run(project) / "code" / TRAINER).read_bytes()
    edit(TRAINER, "loss.backward()", "raise AssertionError('the present code is not used')")

    code, text = go_on()

    assert code == 0, text
    assert SNAPSHOT_IS_USED in text
    assert (only_run(project) / "code" / TRAINER).read_bytes() == kept
    assert not (only_run(project) / "code.previous").exists()


@pytest.mark.parametrize(
    "form", ["{project}/modules/architectures/mlp.py", "../project/modules/architectures/mlp.py"]
)
def test_an_architecture_file_named_by_a_longer_way_is_found_in_the_code_of_the_run(
    project, edit, run, go_on, form
):
    assert run("--run_id=run1", f"--arch_impl={form.format(project=project)}")[0] == 0
    edit(TRAINER, "loss.backward()", "raise AssertionError('the present code is not used')")

    code, text = go_on()

    assert code == 0, text


def test_an_architecture_file_outside_of_the_project_is_found_in_the_code_of_the_run(project, run, go_on):
    outside = project.parent / "networks" / "mlp.v2.py"
    outside.parent.mkdir()
    shutil.move(project / "modules/architectures/mlp.py", outside)
    assert run("--run_id=run1", f"--arch_impl={outside}")[0] == 0
    outside.write_text("raise AssertionError('the present code is not used')")

    code, text = go_on()

    assert code == 0, text
    assert f"{SNAPSHOT_IS_USED} (outside/mlp.v2.py)" in text


def test_a_run_whose_code_changes_the_folder_goes_on_in_its_own(project, edit, run, go_on, monkeypatch):
    edit(TRAINER, "self.network = self", "import os; os.chdir('/'); self.network = self")
    assert run("--run_id=run1")[0] == 0
    monkeypatch.chdir(project)

    code, text = go_on()

    assert code == 0, text
    assert len(list((project / "experiments").iterdir())) == 1
    assert json.loads((only_run(project) / "status.json").read_text())["epochs"] == 2


def test_names_and_values_of_any_script_are_the_same_when_a_run_goes_on(project, edit, run, go_on):
    edit(EVAL, "TestAccuracy:", '"Güte: 境 #1":')
    edit(MODEL, "lr: 0.01", "lr: 1e-2")
    assert run("--run_id=run1")[0] == 0
    before = (only_run(project) / "config.yml").read_text()

    code, text = go_on()

    assert code == 0, text
    assert (only_run(project) / "config.yml").read_text() == before.replace("epochs: 1", "epochs: 2")


def test_a_run_that_is_complete_says_so_and_makes_nothing(project, run, go_on):
    assert run("--run_id=run1")[0] == 0
    before = {path: path.read_bytes() for path in only_run(project).rglob("*") if path.is_file()}

    code, text = go_on("--epochs=1")

    assert code == 0
    assert "The run run1 is complete: 1 epochs, 16 iterations." in text
    assert {path: path.read_bytes() for path in only_run(project).rglob("*") if path.is_file()} == before
