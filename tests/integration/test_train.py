"""`train.py` as a process: what a run prints, leaves and ends with."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from tests.conftest import DIGITS, REPOSITORY

FAST = [*DIGITS, "--tracker", "local", "--epochs", "2"]


def runs(tmp_path):
    return sorted(path for path in (tmp_path / "experiments").iterdir())


def rows(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def status(run):
    return json.loads((run / "status.json").read_text())


@pytest.fixture
def project(tmp_path, command):
    """A small project of its own, as `python -m jade new` makes it."""
    folder = tmp_path / "project"
    assert command(sys.executable, "-m", "jade", "new", folder).returncode == 0
    return folder


JOB = [
    "--model_conf=configurations/models/classifier.yml",
    "--data_conf=configurations/data/spirals.yml",
    "--eval_conf=configurations/eval/spirals.yml",
    "--arch_impl=modules/architectures/mlp.py",
    "--epochs=2",
]


def test_the_main_job_reaches_96_per_cent_and_ends_with_a_summary(train, tmp_path):
    # The flags of `make train`.
    makefile = (REPOSITORY / "Makefile").read_text().split("ARGS ?=")[1].split(".PHONY")[0]

    done = train(*makefile.replace("\\\n", " ").split())

    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    final = [row["metrics"] for row in rows(run) if "TestAccuracy" in row["metrics"]][-1]
    assert final["TestAccuracy"] >= 0.96
    summary = done.stderr[done.stderr.index("The run has finished.") :]
    assert "TestAccuracy" in summary
    assert f"folder  {run}" in summary
    assert f"upload  wandb sync {run}/wandb/offline-run-" in summary


def test_a_run_leaves_everything_in_its_folder(train, tmp_path):
    done = train(*FAST, "--checkpoint-every", "1", "model.params.beta=0.1", "--run_name", "mine")

    assert done.returncode == 0, done.stderr
    (run,) = runs(tmp_path)
    config = yaml.safe_load((run / "config.yml").read_text())
    assert config["model"]["params"]["beta"] == 0.1
    assert config["seed"] == 42
    assert (run / "yaml/model.yml").read_text() == (REPOSITORY / DIGITS[1]).read_text()
    assert (run / "code/modules/models/VIB.py").is_file()
    assert (run / "code/modules/architectures/layers.py").is_file()
    environment = json.loads((run / "environment.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__.partition("+")[0]
    assert "model.params.beta=0.1" in environment["command"]
    assert environment["schedule"] == {
        "log_loss_every": "100 iterations", "checkpoint_every": "1", "backup_every": "10 minutes",
    }  # fmt: skip
    assert environment["torch_threads"] == torch.get_num_threads()
    assert environment["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert not (run / "lock").exists()
    assert status(run)["status"] == "finished"
    assert status(run)["name"] == "mine"
    assert status(run)["runtime"] > 0
    assert status(run)["iterations_per_second"] > 0
    assert (status(run)["iterations"], status(run)["epochs"]) == (46, 2)
    assert sorted(path.name for path in run.glob("*.pt")) == [
        "checkpoint_23.pt",
        "checkpoint_46.pt",
        "model.pt",
    ]
    model = torch.load(run / "model.pt", weights_only=True)
    assert sorted(model["attributes"]) == ["encoder", "label_classifier", "opt"]


def test_a_row_is_written_for_every_log_with_its_iteration(train, tmp_path):
    train(*FAST, "--log-loss-every", "10")

    (run,) = runs(tmp_path)
    losses = [row["iterations"] for row in rows(run) if "KL Divergence" in row["metrics"]]
    accuracies = [row["iterations"] for row in rows(run) if "TestAccuracy" in row["metrics"]]
    assert losses == [10, 20, 30, 40, 46]
    assert accuracies == [0, 23, 46]
    assert [row["row"] for row in rows(run)] == list(range(len(rows(run))))


def test_the_same_seed_gives_the_same_numbers_with_either_tracker(train, tmp_path):
    for tracker in ("local", "wandb", "local"):
        train(*DIGITS, "--epochs", "2", "--tracker", tracker)
    train(*FAST, "--seed", "7")

    found = {path: [(row["iterations"], row["metrics"]) for row in rows(path)] for path in runs(tmp_path)}
    by_seed = {7: [], 42: []}
    for path, metrics in found.items():
        by_seed[yaml.safe_load((path / "config.yml").read_text())["seed"]].append(metrics)
    assert by_seed[42][0] == by_seed[42][1] == by_seed[42][2]
    assert by_seed[7][0] != by_seed[42][0]


def test_two_runs_started_at_once_get_two_folders(clean_environ, tmp_path):
    start = [sys.executable, "train.py", *FAST]
    both = [
        subprocess.Popen(start, cwd=REPOSITORY, env=clean_environ, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]

    assert [process.wait(120) for process in both] == [0, 0]
    assert [status(run)["status"] for run in runs(tmp_path)] == ["finished", "finished"]


def test_torchvision_and_pyplot_are_not_imported_by_a_run_that_does_not_use_them(command):
    code = (
        "import sys; from jade.cli import main; code = main(sys.argv[1:]);"
        "print(code, [name for name in ('torchvision', 'matplotlib.pyplot', 'wandb') if name in sys.modules])"
    )

    done = command(sys.executable, "-c", code, *FAST)

    assert done.stdout == "0 []\n"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGUSR2, 140)],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_signal_ends_the_run_cleanly_with_a_backup(clean_environ, tmp_path, number, code):
    process = subprocess.Popen(
        [sys.executable, "train.py", *DIGITS, "--tracker", "local", "--epochs", "100000", "--log-loss-every", "1"],
        cwd=REPOSITORY, env=clean_environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    await_row(tmp_path)

    process.send_signal(number)
    _, text = process.communicate(timeout=60)

    (run,) = runs(tmp_path)
    assert process.returncode == code
    assert "The run has stopped." in text
    assert "Traceback" not in text
    assert status(run)["status"] == "stopped"
    assert not (run / "lock").exists()
    assert torch.load(run / "model.pt", weights_only=True)["iterations"] == status(run)["iterations"] > 0


def await_row(tmp_path, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if any(path.read_text().count("\n") > 5 for path in tmp_path.glob("experiments/*/metrics.jsonl")):
            return
        time.sleep(0.05)
    raise AssertionError("no run began")


def test_a_users_exception_keeps_its_traceback_and_says_where_in_the_run_it_was(project, train, tmp_path):
    path = project / "modules/models/classifier.py"
    path.write_text(
        path.read_text().replace("loss.backward()", "loss.backward() if self.iterations < 20 else 1 / 0")
    )

    done = train(*JOB, folder=project)

    assert done.returncode == 1
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "in train_step of ClassifierTrainer, epoch 1, iteration 20" in done.stderr
    (run,) = runs(tmp_path)
    assert status(run)["status"] == "failed"


def test_a_failure_while_building_leaves_no_folder(project, train, tmp_path):
    path = project / "modules/models/classifier.py"
    path.write_text(path.read_text().replace("self.network =", "1 / 0; self.network ="))

    done = train(*JOB, folder=project)

    assert done.returncode == 1
    assert "while building model: ClassifierTrainer from" in done.stderr
    assert not (tmp_path / "experiments").exists()


def test_a_file_system_that_refuses_more_is_named_and_what_was_there_stays_whole(
    project, clean_environ, tmp_path
):
    # 100 blocks of 1024 bytes a file: the network below needs more. SIGXFSZ is ignored by Python.
    line = f"ulimit -f 100; exec {sys.executable} train.py {' '.join(JOB)} --tracker local 'model.params.layers=[512, 512]'"

    done = subprocess.run(
        ["bash", "-c", line], cwd=project, env=clean_environ, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "model.pt cannot be written: File too large." in done.stderr
    (run,) = runs(tmp_path)
    assert list(run.glob("*.pt")) == []
    assert list(run.glob(".*.tmp")) == []
    assert status(run)["status"] == "failed"


def test_check_tells_ok_and_writes_nothing(project, train, tmp_path):
    before = sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts)

    done = train(*JOB, "--check", folder=project)

    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout == "ok: everything was built; one step and every evaluation ran; nothing was written.\n"
    )
    assert sorted(path for path in project.rglob("*") if "__pycache__" not in path.parts) == before
    assert not (tmp_path / "experiments").exists()


def test_check_tells_all_that_is_wrong(project, train):
    model, evaluation = project / "modules/models/classifier.py", project / "modules/eval/classification.py"
    model.write_text(
        model.read_text().replace('self.add_loss_item("Loss", loss)', 'self.add_loss_item("Loss", "x")')
    )
    text = evaluation.read_text().replace('"type": "figure"', '"type": "figur"')
    evaluation.write_text(text.replace(".float().mean()", ".float()"))

    done = train(*JOB, "--check", folder=project)

    assert done.returncode == 2
    assert "The loss item 'Loss' is 'x'; a number is expected." in done.stderr
    assert "in the first step of ClassifierTrainer" in done.stderr
    assert "did you mean: figure" in done.stderr
    assert "evaluate_batch returned a Tensor of shape [256]" in done.stderr
    assert "in the evaluation 'TestAccuracy'" in done.stderr


def test_print_config_shows_each_value_with_its_origin(project, train):
    done = train(*JOB, "--print-config", "model.params.lr=1e-4", "--seed=3", folder=project)

    assert done.returncode == 0
    lines = [line.split("  # ") for line in done.stdout.splitlines()]
    assert dict((key.strip(), origin) for key, origin in lines) == {
        "model.class: ClassifierTrainer": "configurations/models/classifier.yml:2",
        "model.params.layers: [64, 64]": "configurations/models/classifier.yml:4",
        "model.params.lr: 0.0001": "command line",
        "model.params.batch_size: 64": "configurations/models/classifier.yml:8",
        "data.train.class: Spirals": "configurations/data/spirals.yml:3",
        "data.train.params.n_points: 1000": "configurations/data/spirals.yml:5",
        "data.train.params.seed: 0": "configurations/data/spirals.yml:6",
        "data.test.class: Spirals": "configurations/data/spirals.yml:9",
        "data.test.params.n_points: 500": "configurations/data/spirals.yml:11",
        "data.test.params.seed: 1": "configurations/data/spirals.yml:12",
        "eval.TestAccuracy.class: Accuracy": "configurations/eval/spirals.yml:3",
        "eval.TestAccuracy.params.evaluate_on: test": "configurations/eval/spirals.yml:5",
        "eval.TestDecisionBoundary.class: DecisionBoundary": "configurations/eval/spirals.yml:8",
        "eval.TestDecisionBoundary.params.evaluate_on: test": "configurations/eval/spirals.yml:10",
        "eval.TestDecisionBoundary.params.evaluate_every: 10": "configurations/eval/spirals.yml:12",
        "arch_impl: modules/architectures/mlp.py": "--arch_impl",
        "seed: 3": "--seed",
        "epochs: 2": "--epochs",
        "deterministic: false": "default",
    }


def test_dot_env_is_read_and_the_shell_wins_over_it(project, train, tmp_path):
    (project / ".env").write_text(f"EXPERIMENTS_ROOT={tmp_path}/from_dot_env\nDEVICE=cuda:77\nN_POINTS=12\n")
    data = project / "configurations/data/spirals.yml"
    data.write_text(data.read_text().replace("n_points: 1000", "n_points: $N_POINTS"))

    done = train(*JOB, "--tracker=local", folder=project, EXPERIMENTS_ROOT=None, DEVICE="cpu")

    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "from_dot_env").iterdir()
    assert yaml.safe_load((run / "config.yml").read_text())["data"]["train"]["params"]["n_points"] == 12
    assert not (run / "code/.env").exists()


def test_a_server_that_is_down_is_an_error_before_anything_is_left(project, train, tmp_path):
    done = train(
        *JOB, folder=project, WANDB_MODE="online", WANDB_API_KEY="0" * 40, WANDB_BASE_URL="http://127.0.0.1:9"
    )

    assert done.returncode == 2
    assert "http://127.0.0.1:9 does not start the run: " in done.stderr
    assert "Offline: WANDB_MODE=offline; without W&B: --tracker local." in done.stderr
    assert "epoch" not in done.stderr
    assert not (tmp_path / "experiments").exists()


def test_a_key_that_cannot_be_one_is_an_error_before_anything_is_left(project, train, tmp_path):
    done = train(
        *JOB, folder=project, WANDB_MODE="online", WANDB_API_KEY="short", WANDB_BASE_URL="http://127.0.0.1:9"
    )

    assert done.returncode == 2
    assert "refuses the credentials" in done.stderr
    assert not (tmp_path / "experiments").exists()


def test_without_credentials_the_run_is_offline_and_one_line_says_so(project, train, tmp_path):
    done = train(*JOB, folder=project, WANDB_MODE=None, WANDB_BASE_URL="http://127.0.0.1:9")

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No W&B credentials were found: the run is logged offline.") == 1
    (run,) = runs(tmp_path)
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


def test_an_offline_run_holds_config_metrics_pictures_and_files(project, train, command, tmp_path):
    assert train(*JOB, folder=project).returncode == 0

    (run,) = runs(tmp_path)
    (offline,) = run.glob("wandb/offline-run-*")
    inspected = command("wandb", "leet", "inspect", "--summary", "--json", offline, PATH=path_with_wandb())
    assert inspected.returncode == 0, inspected.stderr
    assert "TestAccuracy" in inspected.stdout
    kept = {
        str(path.relative_to(offline / "files")) for path in (offline / "files").rglob("*") if path.is_file()
    }
    assert {"config.yml", "model.pt", "yaml/model.yml", "code/modules/models/classifier.py"} <= kept
    assert any(name.startswith("media/images/TestDecisionBoundary") for name in kept)


def path_with_wandb():
    return f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def test_a_backup_that_replaced_another_is_the_one_that_wandb_has(project, train, tmp_path):
    train(*JOB, "--backup-every", "3 iterations", "--checkpoint-every", "10 iterations", folder=project)

    (run,) = runs(tmp_path)
    (files,) = run.glob("wandb/offline-run-*/files")
    assert torch.load(files / "model.pt", weights_only=True)["iterations"] == 32
    assert torch.load(run / "model.previous.pt", weights_only=True)["iterations"] == 30
    assert {path.name for path in files.glob("checkpoint_*.pt")} == {
        "checkpoint_10.pt", "checkpoint_20.pt", "checkpoint_30.pt",
    }  # fmt: skip


def test_a_sweeps_values_win_and_are_checked(project, train, tmp_path):
    sampled = tmp_path / "params.yaml"
    # As the agent hands them over: a number as a float, a key as the guide's own sweep writes it.
    sampled.write_text("wandb_version: 1\nmodel.params.lr:\n  value: 0.5\nmodel.batch_size:\n  value: 32.0\n")

    done = train(
        *JOB, folder=project, WANDB_SWEEP_ID="abc", WANDB_SWEEP_PARAM_PATH=str(sampled), WANDB_RUN_ID="trial1"
    )

    assert done.returncode == 0, done.stderr
    run = tmp_path / "experiments" / "trial1"
    params = yaml.safe_load((run / "config.yml").read_text())["model"]["params"]
    assert (params["lr"], params["batch_size"]) == (0.5, 32)


def test_a_sweeps_unknown_key_is_an_error_with_a_suggestion(project, train, tmp_path):
    sampled = tmp_path / "params.yaml"
    sampled.write_text("wandb_version: 1\nmodel.params.lrr:\n  value: 0.5\n")

    done = train(
        *JOB, folder=project, WANDB_SWEEP_ID="abc", WANDB_SWEEP_PARAM_PATH=str(sampled), WANDB_RUN_ID="trial1"
    )

    assert done.returncode == 2
    assert "'model.params.lrr' is set, but no configuration file defines it." in done.stderr
    assert "did you mean: model.params.lr\n" in done.stderr
    assert status(tmp_path / "experiments" / "trial1")["status"] == "failed"
