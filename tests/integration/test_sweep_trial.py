"""Trials as wandb's own agent starts them: real command lines, real files, and a loopback server."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jade import checkpoint, resume
from tests.integration import torture
from tests.integration.test_stop_and_resume import FILES, rows, status, until
from tests.tracking.loopback import ENTITY, PROJECT, Loopback

# What the agent does with a command of the server, but for the waiting for one.
AGENT = """
import json, sys
from wandb.wandb_agent import Agent

command, trial = json.loads(sys.argv[1]), json.loads(sys.argv[2])
agent = Agent(None, None, sweep_id="s1")
agent._sweep_command = command
agent._command_run(trial)
sys.exit(agent._run_processes[trial["run_id"]].wait())
"""
RUN = ["${env}", "${interpreter}", "-m", "jade", "train", *FILES, "--log-loss-every=5", "--epochs=2"]


@pytest.fixture
def server():
    with Loopback() as running:
        yield running


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "experiments"


@pytest.fixture
def trial(clean_environ, server, runs, tmp_path):
    """Start a trial with the given params as an agent does, and give the finished process."""

    def run(params, *macros, kind="run", **environ):
        known = {**clean_environ, **server.environ(WANDB_SWEEP_ID="s1", WANDB_DIR=tmp_path, WANDB_SILENT="")}
        known.pop("WANDB_SILENT")
        known["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        known |= {"EXPERIMENTS_ROOT": str(runs), "PYTHONPATH": str(torture.REPOSITORY), **environ}
        args = {key: {"value": value} for key, value in params.items()}
        told = {"type": kind, "run_id": "trial", "program": "train.py", "args": args}
        return subprocess.run(
            [sys.executable, "-c", AGENT, json.dumps([*RUN, *macros]), json.dumps(told)],
            cwd=torture.PROJECT,
            env=known,
            capture_output=True,
            text=True,
            timeout=200,
        )

    return run


@pytest.mark.parametrize(
    "macros",
    [["${args}"], ["--params", "${args_json_file}"], ["${args_json}", "--tracker=local"]],
    ids=["args", "json file", "json, local"],
)
def test_params_reach_a_trial_in_every_way_and_w_and_b_shows_what_was_used(trial, server, runs, macros):
    # As a server samples them: a number as a float, text for a number, a short key, a nested one, a list as text.
    swept = {
        "model.batch_size": 16.0,
        "model.params.lr": "1e-3",
        "data": {"train": {"params": {"n": 64}}},
        "eval.Accuracy.params.evaluate_on": "train",
        "seed": 7,
    }

    done = trial(swept, *macros)

    assert done.returncode == 0, done.stderr
    used = {
        "model.params.batch_size": 16,
        "model.params.lr": 1e-3,
        "data.train.params.n": 64,
        "eval.Accuracy.params.evaluate_on": "train",
        "seed": 7,
    }
    flat = resume.read(runs / "trial").config.flat
    assert {key: flat[key] for key in used} == used
    assert status(runs / "trial")["iterations"] == 8
    assert done.stderr.count("model.batch_size is read as model.params.batch_size") == 1
    if "--tracker=local" not in macros:
        run = server.runs["trial"]
        assert run.config == {**flat, **swept}
        assert "WARNING" not in done.stderr
        assert (run.sweep, run.state) == ("s1", "finished")
        assert server.unknown == []


def test_the_summary_holds_the_last_values_and_the_best(trial, server, runs):
    server.sweep = "metric: {name: Accuracy/best, goal: maximize}"

    done = trial({"seed": 3}, "--epochs=6", WANDB_MODE="online")

    assert done.returncode == 0, done.stderr
    values = [row["metrics"]["Accuracy"] for row in rows(runs / "trial") if "Accuracy" in row["metrics"]]
    losses = [row["metrics"]["Loss"] for row in rows(runs / "trial") if "Loss" in row["metrics"]]
    summary = server.runs["trial"].summary
    assert (summary["Accuracy"], summary["Accuracy/best"]) == pytest.approx((values[-1], max(values)))
    assert (summary["Loss"], summary["Loss/best"]) == pytest.approx((losses[-1], min(losses)))
    assert len(server.runs["trial"].history) == len(rows(runs / "trial"))
    kept = checkpoint.read(runs / "trial" / "best.pt")["best"]
    assert (kept["metric"], kept["mode"], kept["value"]) == ("Accuracy/best", "max", max(values))
    facts = json.loads(server.runs["trial"].files["environment.json"])
    assert facts["sweep"] == {
        "path": f"{ENTITY}/{PROJECT}/s1",
        "metric": {"name": "Accuracy/best", "goal": "maximize"},
    }
    assert set(json.loads(server.runs["trial"].files["checkpoints.json"])) >= {"best.pt", "model.pt"}
    assert json.loads(server.runs["trial"].files["status.json"])["status"] == "finished"
    assert "best.pt" in server.runs["trial"].files


def test_a_loss_that_is_no_number_ends_the_trial_early_as_failed(trial, server, runs):
    done = trial({"model.params.lr": 1e30})

    assert done.returncode == 1
    assert "The run has failed." in done.stderr
    assert (
        "The training came to no number: the mean of 'Loss' is nan.\n  at: iteration 5, epoch 0"
        in done.stderr
    )
    assert "--allow-nan trains on regardless." in done.stderr
    assert "Traceback" not in done.stderr
    assert math.isnan(rows(runs / "trial")[-1]["metrics"]["Loss"])
    assert status(runs / "trial")["status"] == "failed"
    assert (server.runs["trial"].state, server.runs["trial"].exit_code) == ("failed", 1)
    assert math.isnan(server.runs["trial"].summary["Loss"])
    assert "Loss/best" not in server.runs["trial"].summary


def test_a_trial_that_may_have_nan_goes_on_and_keeps_that_when_it_is_continued(trial, server, runs):
    first = trial({"model.params.lr": 1e30}, "--allow-nan", INTERRUPT=until(9, signal.SIGUSR1))
    second = trial({"model.params.lr": 1e30}, kind="resume")

    assert (first.returncode, second.returncode) == (138, 0), first.stderr + second.stderr
    environment = json.loads((runs / "trial/environment.json").read_text())
    assert environment["schedule"]["allow_nan"] == "true"
    assert server.runs["trial"].state == "finished"


@pytest.mark.parametrize(
    ("params", "code", "told"),
    [
        ({"model.params.lr": -1}, 1, "Invalid learning rate"),
        ({"model.params.lrr": 1}, 2, "did you mean: model.params.lr\n"),
    ],
    ids=["exception", "key"],
)
def test_a_trial_that_fails_says_so(trial, server, runs, params, code, told):
    done = trial(params)

    assert done.returncode == code
    assert told in done.stderr
    assert (server.runs["trial"].state, server.runs["trial"].exit_code) == ("failed", 1)
    assert status(runs / "trial")["status"] == "failed"


def test_a_local_trial_that_hears_of_no_param_is_refused(trial, runs):
    done = trial({"model.params.lr": 0.1}, "--tracker=local")

    assert done.returncode == 2
    assert "the command line does not have model.params.lr: every trial" in done.stderr
    assert not runs.exists()


def test_a_trial_that_was_preempted_goes_on_with_the_same_params_and_the_same_bits(trial, server, runs):
    params, macro = {"model.lr": 5e-3, "epochs": 3.0, "model.params.batch_size": 12}, "${args}"
    whole = trial(params, macro, EXPERIMENTS_ROOT=str(runs / "whole"), WANDB_MODE="offline")

    first = trial(params, macro, INTERRUPT=until(9, signal.SIGUSR1))
    second = trial(params, macro, kind="resume")

    assert [done.returncode for done in (whole, first, second)] == [0, 138, 0], first.stderr + second.stderr
    assert "The run trial goes on" in second.stderr
    found = [[row["metrics"] for row in rows(root / "trial")] for root in (runs / "whole", runs)]
    assert found[0] == found[1]
    flat = resume.read(runs / "trial").config.flat
    assert (flat["model.params.lr"], flat["epochs"]) == (5e-3, 3)
    run = server.runs["trial"]
    assert (run.state, run.starts) == ("finished", 2)
    assert run.config == {**flat, **params}
    assert [row["row"] for row in run.history] == list(range(len(found[1])))


def test_a_complete_trial_that_is_handed_out_again_tells_w_and_b_what_it_missed(trial, server, runs):
    """So it is where a process was killed between its last row on disk and its end on W&B."""
    trial({"seed": 3})
    before = (rows(runs / "trial"), status(runs / "trial")["iterations"])
    run = server.runs["trial"]
    for number in range(4, len(run.history)):
        del run.streams["wandb-history.jsonl"][number]
    run.summary["row"] = 3
    run.complete = False

    again = trial({"seed": 3}, kind="resume")

    assert again.returncode == 0, again.stderr
    assert (rows(runs / "trial"), status(runs / "trial")["iterations"]) == before
    assert [row["row"] for row in run.history] == list(range(len(before[0])))
    assert run.state == "finished"
