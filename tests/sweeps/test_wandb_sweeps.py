"""The trials of a sweep, and the files of one, as the real client reads them from a real server."""

import json
import math
import os
import subprocess
import sys

import pytest
import wandb
import yaml

from jade.errors import ConfigError, TrackingError
from jade.sweeps.sources import Source
from jade.tracking.wandb_sweeps import WandbSweeps
from jade.trials import Trial
from tests.conftest import REPOSITORY
from tests.server.doors import KEY, opened
from tests.stored.remote_runs import home_of_nobody

SWEEP = {
    "name": "a search",
    "method": "random",
    "run_cap": 4,
    "metric": {"name": "TestAccuracy", "goal": "maximize"},
    "parameters": {
        "model.params.lr": {"min": 0.0, "max": 1.0},
        "seed": {"values": [1, 2]},
        "epochs": {"value": 3},
        "data": {"parameters": {"n": {"values": [1, 2]}, "m": {"values": [1]}}},
    },
}
MADE = "mutation Made($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { name } } }"


@pytest.fixture(autouse=True, scope="module")
def without_account(tmp_path_factory):
    with home_of_nobody(tmp_path_factory.mktemp("home")):
        yield


@pytest.fixture
def doors(tmp_path):
    with opened(tmp_path / "data") as found:
        yield found


@pytest.fixture
def environ(doors, tmp_path):
    return {
        "WANDB_BASE_URL": f"http://127.0.0.1:{doors.port}",
        "WANDB_API_KEY": KEY,
        "WANDB_ENTITY": "e",
        "WANDB_PROJECT": "p",
        "EXPERIMENTS_ROOT": str(tmp_path / "experiments"),
    }


@pytest.fixture
def sweep(doors):
    """Give the name of a sweep with runs that ended in different ways."""
    doors.begin("other")
    reply = doors.graphql(
        MADE, input={"entityName": "e", "projectName": "p", "config": yaml.safe_dump(SWEEP, sort_keys=False)}
    )
    name = reply.data["upsertSweep"]["sweep"]["name"]
    ends = {
        "good": (
            {"TestAccuracy": 0.9, "TestAccuracy/best": 0.95, "Loss": 0.5, "epochs": 3, "_runtime": 7.5},
            0,
        ),
        "nan": ({"TestAccuracy": math.nan}, 0),
        "failed": ({}, 1),
        "live": ({"TestAccuracy": 0.1}, None),
    }
    for number, (run, (summary, code)) in enumerate(ends.items()):
        config = {
            "model.params.lr": 0.1 * number, "seed": 1, "epochs": 3, "data": {"n": 2, "m": 1},
            "model.params.layers": [64, 32], "_wandb": {"t": 1},
        }  # fmt: skip
        values = json.dumps({key: {"value": value} for key, value in config.items()})
        doors.begin(run, sweep=name, config=values, displayName=f"trial-{number + 1}")
        ended = {} if code is None else {"complete": True, "exitcode": code}
        files = {"wandb-summary.json": {"offset": 0, "content": [json.dumps(summary)]}}
        doors.stream(run, {"files": files, **ended})
    return name


def test_a_sweep_is_read_with_its_trials(environ, sweep, capfd):
    trials = WandbSweeps(environ).trials(sweep)

    good = trials.rows[0]
    assert (trials.path, trials.name, trials.method) == (f"e/p/{sweep}", "a search", "random")
    assert (trials.metric, trials.goal, trials.run_cap) == ("TestAccuracy", "maximize", 4)
    assert trials.parameters == ("model.params.lr", "seed", "data.n")
    assert [(row.run_id, row.name, row.state) for row in trials.rows] == [
        ("good", "trial-1", "finished"),
        ("nan", "trial-2", "finished"),
        ("failed", "trial-3", "failed"),
        ("live", "trial-4", "running"),
    ]
    assert (good.last, good.best, good.epochs, good.seconds) == (0.9, 0.95, 3.0, 7.5)
    assert good.params == {
        "model.params.lr": 0.0, "seed": 1, "epochs": 3, "data.n": 2, "data.m": 1, "model.params.layers": [64, 32],
    }  # fmt: skip
    assert good.began is not None
    assert math.isnan(trials.rows[1].last)
    assert trials.rows[2].last is None
    assert capfd.readouterr() == ("", "")


def test_a_sweep_is_read_anew_each_time(environ, sweep, doors):
    reader = WandbSweeps(environ)
    before = reader.trials(f"e/p/{sweep}").rows[3].state

    doors.stream("live", {"complete": True, "exitcode": 0})

    assert (before, reader.trials(f"p/{sweep}").rows[3].state) == ("running", "finished")


# It would leave the process that runs the tests with a child that nobody has waited for.
KILLED = """
import os, pathlib, signal, sys
from jade.errors import TrackingError
from jade.sweeps.sources import Source
from jade.tracking.wandb_sweeps import WandbSweeps
from jade.trials import Trial

reader = WandbSweeps(os.environ)
reader.trials(sys.argv[1])
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        if f"port-{os.getpid()}.txt" in path.read_text():
            os.kill(int(path.parent.name), signal.SIGKILL)
            os.waitpid(int(path.parent.name), 0)
    except OSError:
        pass
try:
    reader.trials(sys.argv[1])
except TrackingError as error:
    print(error)
print(len(reader.trials(sys.argv[1]).rows))
"""


def test_a_client_whose_own_process_was_killed_says_so_and_begins_with_another(environ, sweep):
    own = {name: value for name, value in os.environ.items() if name != wandb.env.SERVICE}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, sweep], env={**own, **environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    refused, *_, rows = done.stdout.splitlines()
    assert refused.startswith(f"The sweep {sweep} cannot be read from http://127.0.0.1:"), done.stderr
    assert rows == "4"


def test_the_folder_of_a_run_of_this_machine_is_known(environ, sweep, tmp_path):
    folder = tmp_path / "experiments" / "good"
    folder.mkdir(parents=True)
    (folder / "config.yml").write_text("{}")

    trials = WandbSweeps(environ).trials(sweep)

    assert [row.folder for row in trials.rows] == [folder, None, None, None]


def test_another_metric_has_the_goal_that_its_name_suggests(environ, sweep):
    trials = WandbSweeps(environ).trials(sweep, "Loss")

    assert (trials.metric, trials.goal, trials.rows[0].last) == ("Loss", "minimize", 0.5)


def test_a_metric_that_no_trial_has_logged_names_the_nearest(environ, sweep):
    with pytest.raises(ConfigError) as caught:
        WandbSweeps(environ).trials(sweep, "TestAcuracy")

    assert "did you mean: TestAccuracy\n  known: Loss, TestAccuracy, TestAccuracy/best" in str(caught.value)


def test_an_unknown_sweep_names_those_of_the_project(environ, sweep):
    with pytest.raises(TrackingError) as caught:
        WandbSweeps(environ).trials("nosweep1")

    assert "There is no sweep 'nosweep1' in e/p on http://127.0.0.1" in str(caught.value)
    assert f"known: {sweep}" in str(caught.value)


def test_an_unknown_project_names_those_there_are(environ, sweep):
    with pytest.raises(TrackingError, match="There is no project e/q on") as caught:
        WandbSweeps(environ).trials(f"e/q/{sweep}")

    assert "known: p" in str(caught.value)


@pytest.mark.parametrize("path", ["", "a//b", "a/b/c/d"])
def test_what_is_no_path_is_refused(environ, path):
    with pytest.raises(TrackingError, match="is no path of a sweep"):
        WandbSweeps(environ).trials(path)


def test_without_credentials_nobody_is_asked_for_a_key(environ, sweep, tmp_path):
    known = {name: value for name, value in environ.items() if name != "WANDB_API_KEY"}

    with pytest.raises(TrackingError, match="There are no credentials for http://127.0.0.1"):
        WandbSweeps(known | {"NETRC": str(tmp_path / "none")}).trials(sweep)


def test_a_key_that_is_refused_is_told(tmp_path):
    with opened(tmp_path / "locked", api_key="l" * 40) as doors:
        environ = {"WANDB_BASE_URL": f"http://127.0.0.1:{doors.port}", "WANDB_API_KEY": KEY}

        with pytest.raises(TrackingError, match="refuses the credentials"):
            WandbSweeps(environ).trials("e/p/s")


def test_the_files_that_say_a_runs_configuration_are_read(environ, doors):
    doors.begin("good")
    asked = "mutation M($input: CreateRunFilesInput!) { createRunFiles(input: $input) { files { name uploadUrl } } }"
    names = ["config.yml", "yaml/model.yml", "model.pt", "environment.json", "code/train.py"]
    reply = doors.graphql(
        asked, input={"entityName": "e", "projectName": "p", "runName": "good", "files": names}
    )
    for file in reply.data["createRunFiles"]["files"]:
        path = "/" + file["uploadUrl"].split("/", 3)[3]
        assert doors.ask("PUT", path, f"text of {file['name']}".encode()).status == 200

    found = Source(environ, path="e/p/s").files(Trial("good", "good", "finished"), "e/p/s")

    assert found == {
        "config.yml": "text of config.yml",
        "environment.json": "text of environment.json",
        "yaml/model.yml": "text of yaml/model.yml",
    }


def test_the_files_of_an_unknown_run_are_refused(environ, sweep):
    with pytest.raises(TrackingError, match="There is no run 'nobody' in e/p on"):
        Source(environ, path="e/p/s").files(Trial("nobody", "nobody", "finished"), "e/p/s")
