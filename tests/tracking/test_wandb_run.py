import json
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from jade.entries import Entry
from jade.errors import TrackingError
from jade.record import Record
from jade.tracking import wandb_run
from jade.tracking.wandb_run import WandbTracker
from tests.tracking.contract import ENTRIES, FLAT, TrackerContract

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True, scope="module")
def without_account(tmp_path_factory):
    """Nobody's home and no server: whatever a test does, wandb can reach nothing."""
    home = tmp_path_factory.mktemp("home")
    known = {
        "HOME": home,
        "NETRC": home / ".netrc",
        "WANDB_MODE": "offline",
        "WANDB_BASE_URL": NOWHERE,
        "WANDB_ERROR_REPORTING": "false",
        "WANDB_CONFIG_DIR": home / "config",
        "WANDB_CACHE_DIR": home / "cache",
        "WANDB_DATA_DIR": home / "data",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        for name, value in known.items():
            patch.setenv(name, str(value))
        wandb.teardown()  # wandb reads its environment once in a process
        yield
        wandb.teardown()


@pytest.fixture
def environ():
    return dict(os.environ)


def offline_folder(tracker):
    (folder,) = tracker.directory.glob("wandb/offline-run-*")
    return folder


def stored(tracker):
    """Read back what an offline run holds, with wandb's own command."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(offline_folder(tracker))]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestOffline(TrackerContract):
    @pytest.fixture
    def tracker(self, record, environ):
        return WandbTracker(record, environ, "my run")

    @pytest.fixture
    def finished(self, tracker):
        tracker.start(FLAT)
        for entry in ENTRIES.values():
            tracker.log([entry], 20, 2)
        tracker.log([Entry("loss", "scalar", 1.0), Entry("other", "scalar", 2.0)], 10, 1)
        path = tracker.directory / "yaml/model [1].yml"
        path.parent.mkdir()
        path.write_text("first")
        tracker.keep(path)
        path.unlink()
        path.write_text("second")
        tracker.keep(path)
        tracker.finish("finished")
        return tracker

    def test_the_way_to_it_is_a_command_that_uploads(self, finished):
        words = shlex.split(finished.way_to_it())

        assert words[:2] == ["wandb", "sync"]
        assert Path(words[2]) == offline_folder(finished)

    def test_kept_files_and_media_are_in_the_run_in_their_last_state(self, finished):
        files = offline_folder(finished) / "files"

        assert (files / "yaml/model [1].yml").read_text() == "second"
        assert len(list(files.glob("media/images/*.png"))) == 3
        assert list(files.glob("media/table/*.json"))

    def test_the_run_holds_its_name_flat_params_and_every_row_at_its_iteration(self, finished):
        records = stored(finished)

        run = next(record["run"] for record in records if record["type"] == "run")
        rows = [record["history"]["item"] for record in records if record["type"] == "history"]
        assert (run["display_name"], run["run_id"]) == ("my run", finished.run_id)
        assert {**run["config"]["update"], "_wandb": None} == {**FLAT, "_wandb": None}
        assert [row["iterations"] for row in rows] == [20] * len(ENTRIES) + [10]
        assert [row["epochs"] for row in rows] == [2] * len(ENTRIES) + [1]
        assert (rows[0]["Test/Accuracy (%)"], rows[-1]["loss"], rows[-1]["other"]) == (0.5, 1.0, 2.0)

    def test_every_metric_is_drawn_against_the_iterations(self, finished):
        metrics = [record["metric"] for record in stored(finished) if record["type"] == "metric"]

        assert [
            (metric.get("glob_name"), metric.get("step_metric"))
            for metric in metrics
            if "glob_name" in metric
        ] == [("*", "iterations")]

    @pytest.mark.parametrize(("status", "code"), [("stopped", 0), ("failed", 1)])
    def test_a_failed_run_is_failed_there_too(self, tracker, status, code):
        tracker.start(FLAT)
        tracker.finish(status)

        (end,) = [record["exit"] for record in stored(tracker) if record["type"] == "exit"]
        assert end.get("exit_code", 0) == code

    def test_handing_over_prints_nothing(self, tracker, capfd):
        tracker.start(FLAT)
        capfd.readouterr()

        tracker.log([ENTRIES["images"], ENTRIES["table"]], 1, 0)
        for content in ("first", "second"):
            (tracker.directory / "model.pt").write_text(content)
            tracker.keep(tracker.directory / "model.pt")
        tracker.finish("finished")

        assert capfd.readouterr() == ("", "")


class TestDisabled(TrackerContract):
    @pytest.fixture
    def tracker(self, record, environ):
        return WandbTracker(record, {**environ, "WANDB_MODE": "disabled"})

    def test_the_folder_is_all_there_is(self, started):
        started.log([Entry("loss", "scalar", 1.0)], 1, 0)

        assert [path.name for path in started.directory.iterdir()] == ["metrics.jsonl"]
        assert started.way_to_it() is None


# Sweeps


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """The environment that an agent of a sweep gives to a run."""
    params = tmp_path / "config-abc.yaml"
    params.write_text("wandb_version: 1\nmodel.params.beta:\n  value: 0.5\nseed:\n  value: 7\n")
    swept = {"WANDB_SWEEP_ID": "abcdefgh", "WANDB_SWEEP_PARAM_PATH": str(params)}
    wandb.teardown()
    for name, value in swept.items():
        monkeypatch.setenv(name, value)
    yield swept
    wandb.teardown()


# wandb leaves the file of the sweep's params to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_agents_values_win_and_come_back_under_dotted_keys(record, environ, agent):
    tracker = WandbTracker(record, {**environ, **agent})

    effective = tracker.start(FLAT)
    tracker.finish("finished")

    assert tracker.changes_params
    assert effective == {**FLAT, "model.params.beta": 0.5, "seed": 7}


# What wandb is asked for. Only here it is replaced: an online run is never started.


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path / "experiments", "abc")
    record.create()
    return record


class AskedFor(Exception):  # noqa: N818 - it is an answer
    pass


@pytest.fixture
def asked(record, monkeypatch):
    """Return what a tracker in an environment hands to `wandb.init`, which is not called."""

    def init(**arguments):
        raise AskedFor(arguments)

    monkeypatch.setattr(wandb, "init", init)

    def ask(**environ):
        with pytest.raises(AskedFor) as caught:
            WandbTracker(record, environ, "my run").start(FLAT)
        return caught.value.args[0]

    return ask


def test_the_run_has_id_name_and_folder_of_its_own(asked, record):
    found = asked(WANDB_MODE="offline")

    assert (found["id"], found["name"], found["dir"]) == ("abc", "my run", str(record.directory))
    assert found["config"] == FLAT


@pytest.mark.parametrize(
    ("environ", "entity", "project"),
    [
        ({}, None, "jade"),
        ({"WANDB_USER": "me", "WANDB_PROJECT": "mine"}, "me", "mine"),
        ({"WANDB_USER": "me", "WANDB_ENTITY": "team"}, "team", "jade"),
        ({"WANDB_USER": "", "WANDB_PROJECT": ""}, None, "jade"),
    ],
)
def test_user_and_project_come_from_the_environment(asked, environ, entity, project):
    found = asked(WANDB_MODE="offline", **environ)

    assert (found["entity"], found["project"]) == (entity, project)


@pytest.mark.parametrize("mode", ["offline", "online", "disabled"])
def test_a_mode_that_is_set_is_taken(asked, mode):
    assert asked(WANDB_MODE=mode, WANDB_API_KEY="k" * 40)["mode"] == mode


def test_a_mode_that_is_none_is_told(record):
    with pytest.raises(TrackingError, match="WANDB_MODE is 'ofline', which is no mode") as caught:
        WandbTracker(record, {"WANDB_MODE": "ofline"}).start(FLAT)

    assert "did you mean: offline" in str(caught.value)


def test_without_credentials_the_run_is_offline_and_one_line_says_so(asked, caplog):
    assert asked()["mode"] == "offline"
    (message,) = [entry.message for entry in caplog.records if entry.name == wandb_run.__name__]
    assert "the run is logged offline" in message
    assert "wandb sync" in message


def test_with_a_key_the_run_is_online(asked, caplog):
    assert asked(WANDB_API_KEY="k" * 40)["mode"] == "online"
    assert [entry for entry in caplog.records if entry.levelno >= logging.WARNING] == []


def test_with_a_login_for_the_server_the_run_is_online(asked, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password " + "k" * 40)

    assert asked(NETRC=str(netrc))["mode"] == "online"


@pytest.mark.parametrize(
    "text", ["machine elsewhere.example login user password kkkk", "no netrc at all {", ""], ids=str
)
def test_a_login_for_another_server_is_none(asked, tmp_path, text):
    netrc = tmp_path / "netrc"
    netrc.write_text(text)

    assert asked(NETRC=str(netrc))["mode"] == "offline"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (wandb.errors.CommError("timed out"), "http://server does not start the run: timed out"),
        (wandb.errors.AuthenticationError("bad key"), "http://server refuses the credentials: bad key"),
        (wandb.errors.UsageError("odd name"), "http://server does not start the run: odd name"),
        (ValueError("api_key not valid"), "http://server does not start the run: api_key not valid"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_run_that_does_not_start_is_told_with_the_ways_out(record, monkeypatch, error, told):
    def init(**arguments):
        raise error

    monkeypatch.setattr(wandb, "init", init)
    tracker = WandbTracker(record, {"WANDB_MODE": "online", "WANDB_BASE_URL": "http://server"})

    with pytest.raises(TrackingError) as caught:
        tracker.start(FLAT)

    assert str(caught.value).startswith(told)
    assert "WANDB_MODE=offline" in str(caught.value)
    assert "--tracker local" in str(caught.value)
    assert caught.value.__cause__ is error
    tracker.finish("failed")
