"""The folders of runs as trials: what they say, which are passed over, which are named."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jade import scalars
from jade.errors import ConfigError
from jade.stored import local_runs

CONFIG = {
    "model": {"class": "VIB", "params": {"beta": 0.5, "lr": 1e-05, "note": "a\n$b", "when": "12:30"}},
    "seed": 1,
}


class Experiments:
    def __init__(self, folder):
        self.folder = folder

    def run(self, run_id, beta=0.5, status="finished", metrics=None, rows=(), **facts):
        folder = self.folder / run_id
        folder.mkdir(parents=True)
        params = {**CONFIG["model"]["params"], "beta": beta}
        (folder / "config.yml").write_text(
            scalars.dump(CONFIG | {"model": {"class": "VIB", "params": params}})
        )
        known = {
            key: {"last": last, "best": best}
            for key, (last, best) in (metrics or {"Loss": (2.0, 1.0)}).items()
        }
        written = {
            "run": run_id,
            "status": status,
            "epochs": 3,
            "started": 10.0,
            "runtime": 4.5,
            "metrics": known,
        }
        (folder / "status.json").write_text(json.dumps(written | facts))
        lines = [json.dumps({"metrics": row}) for row in rows]
        (folder / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return folder


@pytest.fixture
def experiments(tmp_path):
    return Experiments(tmp_path / "experiments")


def test_a_run_is_a_trial_with_all_that_its_folder_says(experiments):
    folder = experiments.run("a1", name="first try")

    trials, warnings = local_runs.read(experiments.folder)

    (trial,) = trials.rows
    assert warnings == []
    assert (trial.run_id, trial.name, trial.state, trial.folder) == ("a1", "first try", "finished", folder)
    assert (trial.epochs, trial.last, trial.best, trial.seconds, trial.began) == (3, 2.0, 1.0, 4.5, 10.0)
    assert trial.params == {
        "model.class": "VIB",
        "model.params.beta": 0.5,
        "model.params.lr": 1e-05,
        "model.params.note": "a\n$b",
        "model.params.when": "12:30",
        "seed": 1,
    }
    assert (trials.metric, trials.goal, trials.name) == ("Loss", "minimize", "experiments")


def test_what_differs_between_the_runs_is_what_varies(experiments):
    experiments.run("a", beta=0.1)
    experiments.run("b", beta=0.2)

    trials, _ = local_runs.read(experiments.folder)

    assert trials.parameters == ("model.params.beta",)


def test_what_is_no_run_is_passed_over(experiments):
    experiments.run("a")
    (experiments.folder / "server").mkdir()
    (experiments.folder / "server" / "jade.db").write_text("")
    (experiments.folder / "notes.txt").write_text("")

    trials, warnings = local_runs.read(experiments.folder)

    assert [trial.run_id for trial in trials.rows] == ["a"]
    assert warnings == []


def test_one_run_is_a_folder_of_one(experiments):
    folder = experiments.run("a")

    trials, _ = local_runs.read(folder)

    assert [trial.run_id for trial in trials.rows] == ["a"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("config.yml", "{", "its config.yml cannot be read (while parsing"),
        ("config.yml", "- 1", "its config.yml cannot be read (it is no mapping)"),
        ("status.json", "{", "its status.json cannot be read (Expecting"),
        ("status.json", "[]", "its status.json cannot be read (it is no mapping)"),
        ("status.json", None, "its status.json cannot be read ([Errno 2]"),
    ],
)
def test_a_damaged_run_is_named_and_left_out(experiments, file, text, said):
    experiments.run("good")
    path = experiments.run("bad") / file
    path.write_text(text) if text else path.unlink()

    trials, (warning,) = local_runs.read(experiments.folder)

    assert [trial.run_id for trial in trials.rows] == ["good"]
    assert warning.startswith(f"{experiments.folder / 'bad'} is left out: {said}")


def test_a_run_that_failed_before_its_configuration_was_written_is_a_failed_trial(experiments):
    experiments.run("a", beta=0.1)
    experiments.run("b", beta=0.2)
    (experiments.run("c", status="failed", metrics={}) / "config.yml").unlink()

    trials, _ = local_runs.read(experiments.folder)

    assert [(trial.run_id, trial.state, dict(trial.params)) for trial in trials.rows][2] == (
        "c",
        "failed",
        {},
    )
    assert trials.parameters == ("model.params.beta",)


def test_a_run_whose_process_is_gone_has_died_with_the_last_row_that_it_logged(experiments):
    rows = [{"Loss": 3.0}, {"Other": 1.0}, {"Loss": 0.5}, {"Loss": math.nan}, {"Loss": 1.5}]
    folder = experiments.run("a", status="running", rows=rows)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"metrics": {"Loss"')
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (folder / "lock").write_text(json.dumps({"host": platform.node(), "pid": ended.pid}))

    trials, _ = local_runs.read(experiments.folder)

    assert (trials.rows[0].state, trials.rows[0].last, trials.rows[0].best) == ("died", 1.5, 0.5)


def test_a_run_whose_process_lives_is_running(experiments):
    folder = experiments.run("a", status="running")
    (folder / "lock").write_text(
        json.dumps({"host": platform.node(), "pid": os.getpid(), "since": time.time()})
    )

    trials, _ = local_runs.read(experiments.folder)

    assert trials.rows[0].state == "running"


def test_the_metric_must_be_said_where_there_are_several(experiments):
    experiments.run("a", metrics={"Loss": (1.0, 1.0), "TestAccuracy": (0.5, 0.6)})

    with pytest.raises(ConfigError) as caught:
        local_runs.read(experiments.folder)

    assert str(caught.value) == (
        "It must be said by which metric the runs are compared.\n"
        f"  at: --metric, for {experiments.folder}\n  known: Loss, TestAccuracy"
    )


def test_an_unknown_metric_names_the_nearest(experiments):
    experiments.run("a")

    with pytest.raises(ConfigError, match="did you mean: Loss"):
        local_runs.read(experiments.folder, "Los")


def test_the_goal_is_what_the_name_of_the_metric_suggests(experiments):
    experiments.run("a", metrics={"Loss": (1.0, 1.0), "TestAccuracy": (0.5, 0.6)})

    trials, _ = local_runs.read(experiments.folder, "TestAccuracy")

    assert (trials.goal, trials.rows[0].last, trials.rows[0].best) == ("maximize", 0.5, 0.6)


def test_the_best_value_is_looked_for_anew_where_the_goal_is_another(experiments):
    experiments.run("a", rows=[{"Loss": 3.0}, {"Loss": 1.0}, {"Loss": 2.0}])

    trials, _ = local_runs.read(experiments.folder, "Loss", "maximize")

    assert (trials.rows[0].last, trials.rows[0].best) == (2.0, 3.0)


def test_the_best_value_of_a_metric_can_be_the_metric(experiments):
    experiments.run("a")

    trials, _ = local_runs.read(experiments.folder, "Loss/best")

    assert (trials.metric, trials.rows[0].last, trials.rows[0].best) == ("Loss/best", 1.0, 1.0)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None])
def test_a_folder_without_runs_is_refused(tmp_path, make):
    make(tmp_path / "empty")

    with pytest.raises(ConfigError, match="empty (holds no runs|cannot be read: No such file or directory)."):
        local_runs.read(tmp_path / "empty")


def test_a_folder_that_is_not_there_is_named_by_its_whole_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError) as caught:
        local_runs.folders(Path("experiments"))

    assert f"\n  at: {tmp_path / 'experiments'}" in str(caught.value)


def test_neither_torch_nor_wandb_is_loaded_to_read_a_folder(experiments):
    experiments.run("a")
    code = "import sys; from jade.commands import sweep; sweep.run(['show', sys.argv[1]])"
    code += "; assert not {'torch', 'wandb', 'numpy', 'matplotlib'} & set(sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", code, str(experiments.folder)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
