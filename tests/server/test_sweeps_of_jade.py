"""Whole sweeps of JADE's own trials: the server, `wandb agent`, train.py; killed, preempted, stopped, failed."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import MNIST, REPOSITORY
from tests.integration import torture
from tests.server.conftest import Client, wait_until
from tests.server.test_runs_of_the_real_client import PREPARE, lines

COMMAND = [
    "${env}", "${interpreter}", "-m", "jade", "train", "--model_conf=configurations/one.yml",
    "--data_conf=configurations/points.yml", "--eval_conf=configurations/eval.yml",
    "--arch_impl=modules/architectures/small.py", "--epochs=40", "--log-loss-every=5",
    "--backup-every=7 iterations",
]  # fmt: skip
GRID = {"method": "grid", "parameters": {"model.lr": {"values": ["2e-2"]}}}


@pytest.fixture
def project(client, tmp_path):
    """The client in the small project, its runs' folders apart."""
    client.folder = torture.PROJECT
    client._environ["EXPERIMENTS_ROOT"] = str(tmp_path / "experiments")
    client._environ["WANDB_DIR"] = str(tmp_path)  # not into the project, which is a part of the repository
    return client


@pytest.fixture
def write(tmp_path):
    def written(config=GRID, command=(), **more):
        path = tmp_path / "sweep.yml"
        path.write_text(yaml.safe_dump({"command": [*COMMAND, *command], **config, **more}))
        return path

    return written


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the trial that nobody disturbed."""
    root = tmp_path_factory.mktemp("undisturbed")
    command = [
        sys.executable,
        "-m",
        *COMMAND[3:],
        "model.params.lr=2e-2",
        "--tracker=local",
        "--run_id=whole",
    ]
    done = Client.__new__(Client)  # only its way to run a command is wanted
    done.folder, done.processes = torture.PROJECT, []
    done.environ = lambda **more: torture.environment() | {"EXPERIMENTS_ROOT": str(root)}
    code, text = done.run(*command)
    done.close()
    assert code == 0, text
    return root / "whole"


def folders(client):
    return sorted(Path(client._environ["EXPERIMENTS_ROOT"]).glob("*/"))


def rows(folder):
    path = folder / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def begun(client, count=1, wanted=15):
    """Wait until trials have logged some rows, and return their folders."""
    return wait_until(lambda: [one for one in folders(client) if len(rows(one)) > wanted][:count] or None)


def trial_of(agent):
    """The process of an agent's trial."""
    (child,) = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()[-1:]
    return int(child)


def on_the_server(client, sweep):
    code = f"""
sweep = wandb.Api().sweep("local/{client.project}/{sweep}")
for run in sweep.runs:
    rows = list(run.scan_history())
    shown([run.id, run.state, dict(run.config), [row["row"] for row in rows], dict(run.summary)])
shown(sweep.state)
"""
    *runs, state = lines(client.python(PREPARE + code))
    return state, runs


def assert_same_run(client, sweep, whole):
    """The sweep's one trial is one run, finished, with every row once and every bit of the undisturbed one."""
    state, ((name, ended, config, numbers, summary),) = on_the_server(client, sweep)
    (folder,) = folders(client)
    assert (state, ended, folder.name) == ("FINISHED", "finished", name)
    assert numbers == list(range(len(rows(folder))))
    assert config["model.params.lr"] == 0.02
    assert 0 < summary["Accuracy"] <= 1
    assert summary["Accuracy/best"] >= summary["Accuracy"]
    assert torture.differences(whole, folder) == []


def test_a_trial_leaves_no_folder_of_its_entity_where_its_agent_was_started(project, write, tmp_path):
    (tmp_path / "here").mkdir()
    project._environ["WANDB_DIR"] = str(tmp_path / "here")

    project.agent_to_end(project.sweep(write(command=["--epochs=1"])))

    assert len(folders(project)) == 1
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["wandb"]


def test_a_trial_killed_without_a_word_goes_on_as_the_same_run_bit_by_bit(project, write, whole):
    sweep = project.sweep(write())
    agent = project.agent(sweep)
    begun(project)

    os.kill(trial_of(agent), signal.SIGKILL)
    text, _ = agent.communicate(timeout=180)

    assert "goes on: epoch" in text
    assert_same_run(project, sweep, whole)


def test_a_trial_whose_agent_and_server_are_killed_is_taken_up_by_another_agent(
    own_server, project, write, whole
):
    project.server = own_server("--grace", "2")
    sweep = project.sweep(write())
    agent = project.agent(sweep)
    begun(project)

    for process in (agent.pid, trial_of(agent)):
        os.kill(process, signal.SIGKILL)
    project.server.kill()
    project.server.start()
    text = project.agent_to_end(sweep)

    assert "goes on: epoch" in text
    assert_same_run(project, sweep, whole)


def test_a_trial_that_a_scheduler_preempts_goes_on_where_the_next_agent_starts(project, write, whole):
    sweep = project.sweep(write())
    job = {"SLURM_JOB_ID": "7"}
    agent = project.agent(sweep, "--forward-signals", **job)
    begun(project)

    agent.send_signal(signal.SIGTERM)
    first, _ = agent.communicate(timeout=120)
    preempted = on_the_server(project, sweep)[1][0][1]
    second = project.agent_to_end(sweep, **job)

    assert preempted == "preempted", first
    assert "goes on: epoch" in second
    assert_same_run(project, sweep, whole)


def test_a_trial_without_prospects_ends_well_and_keeps_its_data(project, write):
    config = {
        "method": "grid",
        "metric": {"name": "Accuracy", "goal": "maximize"},
        "parameters": {"model.params.lr": {"values": [0.02, 1e-9]}},
        "early_terminate": {"type": "hyperband", "min_iter": 6, "eta": 2},
    }
    sweep = project.sweep(write(config, ["--epochs=400", "model.params.batch_size=16"]))

    text = project.agent_to_end(sweep)

    state, runs = on_the_server(project, sweep)
    assert state == "FINISHED", text
    ended = {
        config["model.params.lr"]: (state, numbers, summary) for _, state, config, numbers, summary in runs
    }
    assert ended[0.02][0] == ended[1e-9][0] == "finished"
    assert len(ended[1e-9][1]) < len(ended[0.02][1])
    (stopped,) = [
        one
        for one in folders(project)
        if json.loads((one / "status.json").read_text())["status"] == "stopped"
    ]
    assert (stopped / "model.pt").exists()
    assert ended[1e-9][1] == list(range(len(rows(stopped))))


def test_a_trial_whose_loss_is_no_number_fails_and_is_tried_once_more_from_its_start(project, write):
    config = {"method": "grid", "parameters": {"model.params.lr": {"values": [1e30]}}}
    sweep = project.sweep(write(config))

    text = project.agent_to_end(sweep)

    state, runs = on_the_server(project, sweep)
    assert state == "FINISHED"
    assert [run[1] for run in runs] == ["failed", "failed"]
    assert "--allow-nan" in text, text
    assert "goes on" not in text


SHIPPED = sorted((REPOSITORY / "sweeps").glob("*.yml"))


def test_four_sweeps_are_shipped():
    assert len(SHIPPED) >= 4


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_sweep_runs_trials_and_logs_its_metric(client, tmp_path, path, request):
    config = yaml.safe_load(path.read_text())
    needs_mnist = any("MNIST" in word for word in config["command"])
    if needs_mnist and not MNIST.is_dir():
        pytest.skip("MNIST is not there.")
    client.folder = REPOSITORY
    client._environ["EXPERIMENTS_ROOT"] = str(tmp_path / "experiments")
    client._environ["WANDB_DIR"] = str(tmp_path)
    if needs_mnist:
        client._environ["DATA_ROOT"] = str(request.getfixturevalue("mnist"))
    short = [word if not word.startswith("--epochs") else "--epochs=1" for word in config["command"]]
    copy = tmp_path / path.name
    copy.write_text(yaml.safe_dump(config | {"command": short}))

    sweep = client.sweep(copy)
    text = client.agent_to_end(sweep, "--count", "1" if needs_mnist else "2", timeout=400)

    state, runs = on_the_server(client, sweep)
    assert [run[1] for run in runs] == ["finished"] * (1 if needs_mnist else 2), text
    for _, _, used, _, summary in runs:
        last, best = (
            summary[name] for name in (config["metric"]["name"], f"{config['metric']['name']}/best")
        )
        assert last <= best if config["metric"]["goal"] == "maximize" else last >= best
        assert set(config["parameters"]) <= set(used)
