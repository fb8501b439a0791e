"""Runs that are continued while W&B follows them: a loopback server, the real client."""

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.integration import torture
from tests.integration.test_stop_and_resume import FILES, rows, status, until
from tests.tracking.loopback import ENTITY, PROJECT, Loopback

RUN = [*FILES, "--epochs=3", "--log-loss-every=5", "--backup-every=7 iterations"]


@pytest.fixture
def server():
    with Loopback() as running:
        yield running


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "experiments"


@pytest.fixture
def train(clean_environ, server, runs):
    def run(*arguments, **environ):
        known = {**clean_environ, **server.environ(), "EXPERIMENTS_ROOT": str(runs)}
        known.pop("WANDB_MODE", None)
        return subprocess.run(
            [sys.executable, "-m", "jade", "train", *arguments],
            cwd=torture.PROJECT,
            env=known | {"PYTHONPATH": str(torture.REPOSITORY), **environ},
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


def numbers(server, run_id):
    return [row["row"] for row in server.runs[run_id].history]


def test_w_and_b_gets_every_row_once_and_the_same_run(train, server, runs):
    stopped = train(*RUN, "--run_id=cut", INTERRUPT=until(17, signal.SIGTERM))
    before = len(server.runs["cut"].history)
    resumed = train("--resume=cut")

    run = server.runs["cut"]
    assert (stopped.returncode, resumed.returncode) == (143, 0), stopped.stderr + resumed.stderr
    assert 0 < before < len(run.history)
    assert numbers(server, "cut") == list(range(len(rows(runs / "cut"))))
    assert run.exit_code == 0
    assert run.starts == 2


def test_rows_after_the_backup_of_a_killed_run_are_not_sent_again(train, server, runs):
    # The kill comes six steps after the backup, when W&B has those rows.
    train(*RUN, "--run_id=cut", INTERRUPT=until(20, signal.SIGTERM))
    state = runs / "cut/model.pt"
    shutil.copy(runs / "cut/model.previous.pt", state)
    resumed = train("--resume=cut")

    assert resumed.returncode == 0, resumed.stderr
    assert "iteration 14" in resumed.stderr
    assert numbers(server, "cut") == list(range(len(rows(runs / "cut"))))


def test_a_run_that_is_on_w_and_b_only_is_fetched_and_continued(train, server, runs, tmp_path):
    train(*RUN, "--run_id=whole")
    train(*RUN, "--run_id=cut", INTERRUPT=until(17, signal.SIGTERM))
    train(*RUN, "--run_id=other", INTERRUPT=until(17, signal.SIGTERM))
    shutil.rmtree(runs / "cut")
    shutil.rmtree(runs / "other")

    auto = train(*RUN, "--run_id=cut", "--resume=auto")
    named = train(f"--resume={ENTITY}/{PROJECT}/other")
    missing = train(f"--resume={ENTITY}/{PROJECT}/nobody")

    assert auto.returncode == 0, auto.stderr
    assert "The run cut goes on: epoch 1, batch 5, iteration 17." in auto.stderr
    assert named.returncode == 0, named.stderr
    for name in ("cut", "other"):
        assert torture.differences(runs / "whole", runs / name) == []
        assert numbers(server, name) == list(range(len(rows(runs / name))))
    assert missing.returncode == 2
    assert f"There is no run {ENTITY}/{PROJECT}/nobody with a backup on W&B." in missing.stderr
    assert sorted(path.name for path in runs.iterdir()) == ["cut", "other", "whole"]


def test_a_run_begun_offline_and_continued_online_is_whole_on_w_and_b(train, server, runs):
    train(*RUN, "--run_id=cut", WANDB_MODE="offline", INTERRUPT=until(17, signal.SIGTERM))

    resumed = train("--resume=cut")

    assert resumed.returncode == 0, resumed.stderr
    assert numbers(server, "cut") == list(range(len(rows(runs / "cut"))))


@pytest.mark.parametrize(
    ("number", "environ", "expected"),
    [
        (signal.SIGUSR1, {}, True),
        (signal.SIGTERM, {"SLURM_JOB_ID": "1"}, True),
        (signal.SIGTERM, {}, False),
        (signal.SIGINT, {"SLURM_JOB_ID": "1"}, False),
    ],
)
def test_a_run_that_a_scheduler_stops_is_marked_as_preempting(train, server, number, environ, expected):
    stopped = train(*RUN, "--run_id=cut", INTERRUPT=until(9, number), **environ)

    assert stopped.returncode == 128 + number
    assert server.runs["cut"].preempting is expected
    assert server.runs["cut"].exit_code == 128 + number


def test_a_trial_of_a_sweep_is_continued_without_a_flag(train, server, runs, tmp_path):
    swept = tmp_path / "config-trial.yaml"
    swept.write_text("wandb_version: 1\nmodel.params.lr:\n  value: 0.05\n")
    trial = {"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "trial", "WANDB_SWEEP_PARAM_PATH": str(swept)}

    first = train(*RUN, **trial, INTERRUPT=until(17, signal.SIGUSR1))
    second = train(*RUN, **trial)

    assert (first.returncode, second.returncode) == (138, 0), first.stderr + second.stderr
    assert server.runs["trial"].config["model.params.lr"] == 0.05
    assert "The run trial goes on" in second.stderr
    assert status(runs / "trial")["status"] == "finished"
    assert "lr: 0.05" in (runs / "trial/config.yml").read_text()
    assert numbers(server, "trial") == list(range(len(rows(runs / "trial"))))


def test_a_stop_that_the_server_asks_for_ends_the_run_as_stopped_with_exit_code_0(
    clean_environ, server, runs, tmp_path
):
    # wandb asks its server every 15 seconds; here, several times a second.
    (tmp_path / "sitecustomize.py").write_text(
        "from wandb.sdk.lib.run_stopping import RunStopChecker\n"
        "RunStopChecker.__init__.__kwdefaults__['poll_interval'] = 0.3\n"
    )
    environ = {**clean_environ, **server.environ(), "EXPERIMENTS_ROOT": str(runs), "SLURM_JOB_ID": "1"}
    environ.pop("WANDB_MODE", None)
    with subprocess.Popen(
        [sys.executable, "-m", "jade", "train", *RUN, "--epochs=100000", "--run_id=cut"],
        cwd=torture.PROJECT,
        env=environ | {"PYTHONPATH": f"{tmp_path}:{torture.REPOSITORY}"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while process.poll() is None and not ("cut" in server.runs and server.runs["cut"].history):
            time.sleep(0.05)
        server.stop("cut")
        _, errors = process.communicate(timeout=120)

    assert process.returncode == 0, errors
    assert "The run has stopped." in errors
    assert status(runs / "cut")["status"] == "stopped"
    assert not server.runs["cut"].preempting
    assert json.loads((runs / "cut/status.json").read_text())["iterations"] > 0
