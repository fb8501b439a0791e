"""Sweeps with the installed `wandb sweep` and `wandb agent` and a trivial program, against the server."""

import json
import os
import shutil
import signal

import pytest
import yaml

from tests.server.conftest import HERE, wait_until
from tests.server.test_runs_of_the_real_client import PREPARE, lines

METRIC = {"name": "loss", "goal": "minimize"}


@pytest.fixture
def write(client):
    """Write a sweep's file for the trivial program."""

    def written(client=client, **config):
        shutil.copy(HERE / "programs" / "quadratic.py", client.folder)
        path = client.folder / "sweep.yml"
        path.write_text(yaml.safe_dump({"program": "quadratic.py", "metric": METRIC, **config}))
        return path

    return written


def trials(client, sweep):
    """The runs of a sweep: id, state, params, number of rows."""
    code = f"""
sweep = wandb.Api().sweep("local/{client.project}/{sweep}")
shown(sweep.state)
shown([[run.id, run.state, dict(run.config), len(list(run.scan_history()))] for run in sweep.runs])
"""
    state, runs = lines(client.python(PREPARE + code))
    return state, runs


def params(runs):
    return sorted(json.dumps(run[2], sort_keys=True) for run in runs)


def test_two_agents_share_a_nested_grid_without_a_lost_or_doubled_point(client, write):
    nested = {
        "parameters": {"lr": {"values": [1, 2]}, "deep": {"parameters": {"z": {"values": [None, True]}}}}
    }
    sweep = client.sweep(
        write(method="grid", parameters={"x": {"values": [0.5, "a"]}, "model": nested, "a.b": {"value": [1]}})
    )

    first, second = client.agent(sweep), client.agent(sweep)
    texts = [agent.communicate(timeout=180)[0] for agent in (first, second)]

    state, runs = trials(client, sweep)
    assert state == "FINISHED", texts
    assert [run[1] for run in runs].count("failed") == 8  # those whose x is a text: tried twice
    known = {json.dumps(run[2], sort_keys=True) for run in runs}
    assert known == {
        json.dumps({"a.b": [1], "model": {"deep": {"z": z}, "lr": lr}, "x": x}, sort_keys=True)
        for z in (None, True)
        for lr in (1, 2)
        for x in (0.5, "a")
    }


def test_a_sweep_is_paused_goes_on_and_is_stopped_by_the_command_line(client, write):
    sweep = client.sweep(write(method="random", parameters={"x": {"min": 0.0, "max": 1.0}}))
    path = f"local/{client.project}/{sweep}"
    agent = client.agent(sweep)
    wait_until(lambda: len(trials(client, sweep)[1]) >= 2)

    states = []
    for flag in ("--pause", "--resume", "--stop"):
        assert client.run("wandb", "sweep", flag, path)[0] == 0
        states.append(trials(client, sweep)[0])
    agent.communicate(timeout=60)

    assert states == ["PAUSED", "RUNNING", "FINISHED"]
    assert agent.returncode == 0
    assert {run[1] for run in trials(client, sweep)[1]} == {"finished"}


def test_a_canceled_sweep_stops_its_runs_which_keep_what_they_logged(client, write):
    sweep = client.sweep(write(method="random", parameters={"x": {"min": 0.0, "max": 1.0}}))
    agent = client.agent(sweep, STEPS="1000", STEP_SECONDS="0.1")
    wait_until(lambda: any(run[3] for run in trials(client, sweep)[1]))

    code, text = client.run("wandb", "sweep", "--cancel", f"local/{client.project}/{sweep}")
    agent.communicate(timeout=90)

    assert code == 0, text
    state, ((_, ended, _, rows),) = trials(client, sweep)
    assert (state, ended) == ("CANCELED", "killed")
    assert 0 < rows < 1000


def test_run_cap_ends_a_random_sweep_and_the_same_seed_proposes_the_same(own_server, client_of, write):
    config = {
        "method": "random",
        "run_cap": 3,
        "parameters": {
            "x": {"distribution": "log_uniform_values", "min": 1e-3, "max": 1.0},
            "y": {"values": [1, 2]},
        },
    }
    proposed = []
    for _ in range(2):
        client = client_of(own_server("--seed", "7"))
        sweep = client.sweep(write(client, **config))
        client.agent_to_end(sweep)
        state, runs = trials(client, sweep)
        assert state == "FINISHED"
        proposed.append([run[2] for run in runs])

    assert len(proposed[0]) == 3
    assert proposed[0] == proposed[1]


def test_trials_of_a_killed_agent_and_server_are_taken_up_as_the_same_runs(own_server, client_of, write):
    server = own_server("--grace", "2")
    client = client_of(server)
    sweep = client.sweep(write(client, method="grid", parameters={"x": {"values": [1, 2, 3, 4]}}))
    killed = client.agent(sweep, STEPS="40", STEP_SECONDS="0.1")
    wait_until(lambda: any(run[3] for run in trials(client, sweep)[1]))

    os.killpg(killed.pid, signal.SIGKILL)  # the agent, its trial and wandb's own process
    server.kill()
    server.start()
    client.agent_to_end(sweep)

    state, runs = trials(client, sweep)
    assert state == "FINISHED"
    assert [run[1] for run in runs] == ["finished"] * 4
    assert params(runs) == [f'{{"x": {x}}}' for x in (1, 2, 3, 4)]


def test_a_trial_that_outlives_its_agent_is_left_to_end(own_server, client_of, write):
    client = client_of(own_server("--grace", "3"))
    sweep = client.sweep(write(client, method="grid", parameters={"x": {"values": [1, 2]}}))
    killed = client.agent(sweep, STEPS="60", STEP_SECONDS="0.1")
    wait_until(lambda: any(run[3] for run in trials(client, sweep)[1]))

    killed.kill()  # its trial goes on by itself
    text = client.agent_to_end(sweep)

    state, runs = trials(client, sweep)
    assert state == "FINISHED", text
    assert sorted(run[3] for run in runs) == [3, 60]


def test_hyperband_stops_the_worst_and_keeps_what_they_logged(client, write):
    """Trials come one after the other, better ones first: only those that are worse than before are stopped."""
    sweep = client.sweep(
        write(
            method="grid",
            parameters={"x": {"values": [0.3, 0.4, 5.0]}},
            early_terminate={"type": "hyperband", "min_iter": 3, "eta": 2},
        )
    )

    client.agent_to_end(sweep, STEPS="300", STEP_SECONDS="0.1", SLOW_FROM_X="5")

    state, runs = trials(client, sweep)
    ended = {run[2]["x"]: (run[1], run[3]) for run in runs}
    assert state == "FINISHED"
    assert ended[0.3] == ("finished", 300)
    assert ended[5.0][0] == "killed"
    assert 3 <= ended[5.0][1] < 300


def test_a_faulty_sweep_is_refused_with_all_its_faults(client, write):
    code, text = client.run(
        "wandb",
        "sweep",
        write(method="grid", parameters={"x": {"min": 0.0, "max": 1.0}, "y": {"min": 3, "max": 1}}),
    )

    assert code != 0
    assert "x" in text
    assert "min" in text
    assert "y" in text


def test_earlier_runs_count_for_a_sweep_that_is_given_them(client, write):
    client.python(
        "import wandb\nwith wandb.init(id='before', config={'x': 2}) as run:\n    run.log({'loss': 1})"
    )
    path = write(method="grid", parameters={"x": {"values": [1, 2]}})

    code, text = client.run("wandb", "sweep", "--prior_run", "before", path)
    assert code == 0, text
    sweep = text.split("wandb agent ")[1].split()[0].rpartition("/")[2]
    client.agent_to_end(sweep)

    assert params(trials(client, sweep)[1]) == ['{"x": 1}', '{"x": 2}']


def test_a_function_is_swept_in_one_process(client):
    text = client.python(
        PREPARE
        + """
from wandb.agents import pyagent
name = wandb.sweep({"method": "grid", "parameters": {"x": {"values": [1, 2]}}})
def trial():
    with wandb.init() as run:
        run.log({"loss": run.config.x})
wandb.agent(name, function=trial)
shown(sorted(run.config["x"] for run in wandb.Api().sweep(name).runs))
""",
        PYTHONWARNINGS="ignore",
    )

    assert lines(text) == [[1, 2]]
