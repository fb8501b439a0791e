import json
import logging
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb

from jade.entries import Entry
from jade.errors import TrackingError
from jade.record import Record
from jade.tracking import wandb_run
from jade.tracking.wandb_run import WandbTracker
from tests.tracking.contract import ENTRIES, FLAT, TrackerContract
from tests.tracking.loopback import PROJECT, Loopback

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
    def make(self, environ):
        return lambda record: WandbTracker(record, environ, "my run")

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
        tracker.finish("finished", 0)
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

    def test_rows_are_numbered_there_as_on_disk(self, finished):
        rows = [record["history"]["item"] for record in stored(finished) if record["type"] == "history"]

        assert [row["row"] for row in rows] == list(range(len(ENTRIES) + 1))

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

        assert {metric["name"] for metric in metrics if "name" in metric} >= {"iterations", "row"}
        assert [
            (metric.get("glob_name"), metric.get("step_metric"))
            for metric in metrics
            if "glob_name" in metric
        ] == [("*", "iterations")]

    @pytest.mark.parametrize(
        ("status", "given", "code"),
        [
            ("finished", 0, 0),
            ("stopped", 0, 0),
            ("stopped", 143, 143),
            ("stopped", 124, 124),
            ("failed", 0, 1),
        ],
    )
    def test_a_run_ends_there_as_it_ended(self, tracker, status, given, code):
        tracker.start(FLAT)
        tracker.finish(status, given)

        (end,) = [record["exit"] for record in stored(tracker) if record["type"] == "exit"]
        assert end.get("exit_code", 0) == code

    def test_a_run_that_is_to_be_continued_says_so_there(self, tracker):
        tracker.start(FLAT)
        tracker.mark_preempting()
        tracker.finish("stopped", 138)

        assert "preempting" in {record["type"] for record in stored(tracker)}

    # A run that goes on makes a second offline folder.

    def test_the_folder_of_a_run_that_goes_on_holds_every_row_and_is_the_only_one(self, gone_on):
        gone_on.log([Entry("loss", "scalar", 7.0)], 70, 7)
        gone_on.finish("finished", 0)

        rows = [record["history"]["item"] for record in stored(gone_on) if record["type"] == "history"]
        kinds = len(ENTRIES)
        assert [row["row"] for row in rows] == [*range(kinds), kinds]
        assert [row["iterations"] for row in rows] == [*(10 * number for number in range(kinds)), 70]
        assert [row["epochs"] for row in rows] == [*range(kinds), 7]
        assert [row.get("loss") for row in rows][1:] == [*range(1, kinds), 7.0]
        assert [row["_step"] for row in rows] == list(range(kinds + 1))
        assert len(list(gone_on.directory.glob("wandb/replaced/offline-run-*"))) == 1

    def test_media_of_before_is_in_the_folder_of_a_run_that_goes_on(self, gone_on):
        gone_on.finish("finished", 0)

        rows = {}
        for record in stored(gone_on):
            if record["type"] == "history":
                rows.update(record["history"]["item"])
        kinds = {
            name: rows[f"{ENTRIES[name].name}._type"] for name in ("figure", "images", "histogram", "table")
        }
        assert kinds == {
            "figure": "image-file",
            "images": "image-file",
            "histogram": "histogram",
            "table": "table-file",
        }
        assert rows["text"] == "two\nlines"
        files = offline_folder(gone_on) / "files"
        assert len(list(files.glob("media/images/**/*.png"))) == 2
        (table,) = files.glob("media/table/*.json")
        assert json.loads(table.read_text())["data"] == [["a", 1], ["b", None], [None, 2.5]]

    def test_a_run_that_goes_on_again_and_again_leaves_one_folder_to_upload(self, tracker, record, make):
        tracker.start(FLAT)
        tracker.log([Entry("loss", "scalar", 0.0)], 0, 0)
        tracker.finish("stopped", 143)
        for number in (1, 2):
            time.sleep(1.01)  # the folder's name has the second in which the run was started
            after = Record(record.directory.parent, record.run_id)
            tracker = make(after)
            tracker.start(FLAT, after.continue_from(number, 0.0))
            tracker.log([Entry("loss", "scalar", float(number))], number, 0)
            tracker.finish("stopped", 143)

        rows = [entry["history"]["item"] for entry in stored(tracker) if entry["type"] == "history"]
        assert [row["loss"] for row in rows] == [0, 1, 2]
        assert len(list(tracker.directory.glob("wandb/replaced/offline-run-*"))) == 2

    def test_folders_that_were_begun_in_the_same_second_are_put_aside_too(self, tracker, record):
        wandb_folder, name = record.directory / "wandb", f"offline-run-20260101_000000-{record.run_id}"
        for path in (wandb_folder / name, wandb_folder / f"{name}-1", wandb_folder / "replaced" / name):
            path.mkdir(parents=True)
            (path / "file").touch()

        tracker.start(FLAT, [])
        tracker.finish("finished", 0)

        assert offline_folder(tracker).name[12:20] > "20260101"
        assert len(list((wandb_folder / "replaced").glob("*/file"))) == 3

    def test_the_way_to_a_run_that_goes_on_names_the_one_folder_that_is_whole(self, gone_on):
        assert Path(shlex.split(gone_on.way_to_it())[2]) == offline_folder(gone_on)

    def test_folders_of_other_runs_are_left_where_they_are(self, tracker, record, make):
        tracker.start(FLAT)
        tracker.finish("stopped", 143)
        other = record.directory / "wandb/offline-run-20260101_000000-other"
        other.mkdir()
        after = Record(record.directory.parent, record.run_id)

        found = make(after)
        found.start(FLAT, after.continue_from(0, 0.0))
        found.finish("finished", 0)

        assert other.is_dir()

    def test_a_checkpoint_that_was_dropped_is_not_uploaded(self, tracker):
        tracker.start(FLAT)
        for name in ("checkpoint_1.pt", "checkpoint_2.pt"):
            (tracker.directory / name).write_text(name)
            tracker.keep(tracker.directory / name)
        (tracker.directory / "checkpoint_1.pt").unlink()
        tracker.drop(tracker.directory / "checkpoint_1.pt")
        tracker.finish("finished", 0)

        files = offline_folder(tracker) / "files"
        assert [path.name for path in sorted(files.glob("checkpoint_*"))] == ["checkpoint_2.pt"]

    def test_handing_over_prints_nothing(self, tracker, capfd):
        tracker.start(FLAT)
        capfd.readouterr()

        tracker.log([ENTRIES["images"], ENTRIES["table"]], 1, 0)
        for content in ("first", "second"):
            (tracker.directory / "model.pt").write_text(content)
            tracker.keep(tracker.directory / "model.pt")
        tracker.finish("finished", 0)

        assert capfd.readouterr() == ("", "")

    def test_no_file_outside_of_the_runs_folder_is_handed_over_whatever_a_row_says(self, tracker, tmp_path):
        (tmp_path / "secret.txt").write_text("secret")
        row = {"row": 0, "iterations": 0, "epochs": 0, "metrics": {"loss": 1.0}}
        files = {"a": "../../secret.txt", "b": str(tmp_path / "secret.txt")}

        tracker.start(FLAT, [{**row, "files": files}])
        tracker.finish("finished", 0)

        (found,) = [record["history"]["item"] for record in stored(tracker) if record["type"] == "history"]
        assert "secret" not in found.values()


class TestDisabled(TrackerContract):
    @pytest.fixture
    def make(self, environ):
        return lambda record: WandbTracker(record, {**environ, "WANDB_MODE": "disabled"})

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
    tracker.finish("finished", 0)

    assert tracker.changes_params
    assert effective == {**FLAT, "model.params.beta": 0.5, "seed": 7}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mode", ["offline", "disabled"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model:\n  value:\n    params:\n      beta: 0.25\n", {"model": {"params": {"beta": 0.25}}}),
        ("model.beta:\n  value: null\n", {"model.beta": None}),
        ("model.params.layers:\n  value: [1, 2]\n", {"model.params.layers": [1, 2]}),
    ],
)
def test_nested_and_odd_values_of_an_agent_come_back(record, environ, agent, mode, text, expected):
    Path(agent["WANDB_SWEEP_PARAM_PATH"]).write_text(f"wandb_version: 1\n\n{text}")
    tracker = WandbTracker(record, {**environ, **agent, "WANDB_MODE": mode})

    effective = tracker.start(FLAT)
    tracker.finish("finished", 0)

    assert effective == {**FLAT, **expected}


# Online, where the server is a stand-in for W&B's.


DRIVER = """
import json, os, sys, threading, time
from pathlib import Path
from jade.entries import Entry
from jade.record import Record
from jade.tracking.wandb_run import WandbTracker

asked = threading.Event()
record = Record(Path("experiments"), "abc")
tracker = WandbTracker(record, os.environ, "my run", asked.set)

def begin():
    record.create()
    return tracker.start({"model.beta": 0.5, "seed": 1})

def go_on(rows):
    return tracker.start({"model.beta": 0.5, "seed": 1}, record.continue_from(rows, 0.0))

def log(*numbers):
    for number in numbers:
        tracker.log([Entry("loss", "scalar", float(number)), Entry("note", "text", str(number))], 10 * number, number)
"""


@pytest.fixture
def server():
    with Loopback() as server:
        yield server


@pytest.fixture
def online(server, tmp_path):
    """Run one process of an online run; give what it printed."""

    def run(code, **environ):
        done = subprocess.run(
            [sys.executable, "-c", DRIVER + code],
            cwd=tmp_path,
            env=server.environ(**environ),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def sent(server):
    return [(row["row"], row["iterations"], row["epochs"], row["loss"]) for row in server.runs["abc"].history]


def rows_of(*numbers):
    return [(number, 10 * number, number, float(number)) for number in numbers]


def test_an_online_run_that_goes_on_sends_only_rows_that_the_server_has_not(server, online):
    online("begin(); log(0, 1, 2, 3, 4); tracker.finish('stopped', 143)")
    between = len(server.runs["abc"].history)

    # Back to the checkpoint, which counted three rows: the next two are made again.
    flat = online("print(go_on(3)); log(3, 4, 5, 6); tracker.finish('finished', 0)")

    run = server.runs["abc"]
    assert between == 5
    assert sent(server) == rows_of(0, 1, 2, 3, 4, 5, 6)
    assert [row["_step"] for row in run.history] == list(range(7))
    assert (run.starts, run.exit_code, run.state, run.name) == (2, 0, "finished", "my run")
    assert (run.config, flat) == ({"model.beta": 0.5, "seed": 1}, "{'model.beta': 0.5, 'seed': 1}\n")
    assert server.unknown == []


def test_the_config_shows_the_params_as_they_are_used_but_for_the_swept_keys(server, online, tmp_path):
    (tmp_path / "config.yaml").write_text(
        "wandb_version: 1\n\nmodel.beta:\n  value: 2.0\nseed:\n  value: 7.0\n"
    )
    swept = {
        "WANDB_SWEEP_ID": "s1",
        "WANDB_RUN_ID": "abc",
        "WANDB_SWEEP_PARAM_PATH": "config.yaml",
        "WANDB_SILENT": "false",
    }

    online(
        "begin(); tracker.describe({'model.params.beta': 2, 'model.params.none': None, 'seed': 7,"
        " 'model.params.list': [1, 'a'], 'arch_impl': 'a.py'}); tracker.finish('finished', 0)",
        **swept,
    )

    run = server.runs["abc"]
    assert run.config == {
        "model.beta": 2,
        "seed": 7,
        "model.params.beta": 2,
        "model.params.none": None,
        "model.params.list": [1, "a"],
        "arch_impl": "a.py",
    }
    assert (run.sweep, run.project) == ("s1", PROJECT)


def test_a_trial_prints_no_warning_of_wandbs(tmp_path, server):
    (tmp_path / "config.yaml").write_text("wandb_version: 1\n\nseed:\n  value: 7.0\n")
    swept = {"WANDB_SWEEP_ID": "s1", "WANDB_RUN_ID": "abc", "WANDB_SWEEP_PARAM_PATH": "config.yaml"}
    code = "begin(); tracker.describe({'model.beta': 3, 'seed': 7}); log(0); tracker.finish('finished', 0)"

    done = subprocess.run(
        [sys.executable, "-c", DRIVER + code],
        cwd=tmp_path,
        env=server.environ(**swept, WANDB_SILENT="false"),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    assert "Ignor" not in done.stderr


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_the_summary_holds_the_last_value_as_a_number_and_the_best_beside_it(server, online, tmp_path, mode):
    online(
        "begin(); log(3); tracker.best({'loss': 3.0}); log(1, 2); tracker.best({'loss': 1.0, 'a.b/c': 0.5});"
        " tracker.finish('stopped', 143)",
        WANDB_MODE=mode,
    )
    online("go_on(3); tracker.best({'loss': 1.0}); log(4); tracker.finish('finished', 0)", WANDB_MODE=mode)
    if mode == "offline":
        (folder,) = tmp_path.glob("experiments/abc/wandb/offline-run-*")
        command = [sys.executable, "-m", "wandb", "sync", str(folder)]
        subprocess.run(
            command, cwd=tmp_path, env=server.environ(), capture_output=True, check=True, timeout=60
        )

    summary = server.runs["abc"].summary
    assert (summary["loss"], summary["loss/best"]) == (4, 1)
    assert len(server.runs["abc"].history) == 4


def test_rows_that_the_server_never_got_are_sent_when_the_run_goes_on(server, online):
    online("begin(); log(0, 1); tracker.finish('stopped', 143)")

    # Two rows were on disk only when the process was killed.
    online("record.rows = 2; [record.log([Entry('loss', 'scalar', float(n))], 10 * n, n) for n in (2, 3)]")
    online("go_on(4); log(4); tracker.finish('finished', 0)")

    assert sent(server) == rows_of(0, 1, 2, 3, 4)


def test_a_run_that_was_begun_elsewhere_arrives_whole(server, online):
    online("begin(); log(0, 1, 2); tracker.finish('stopped', 143)", WANDB_MODE="disabled")
    assert server.runs == {}

    online("go_on(3); log(3); tracker.finish('finished', 0)")

    assert sent(server) == rows_of(0, 1, 2, 3)
    assert [row["note"] for row in server.runs["abc"].history] == ["0", "1", "2", "3"]


def test_an_offline_run_that_goes_on_online_is_uploaded_once(server, online):
    online("begin(); log(0, 1, 2); tracker.finish('stopped', 143)", WANDB_MODE="offline")

    online("go_on(2); log(2, 3); tracker.finish('finished', 0)")

    assert sent(server) == rows_of(0, 1, 2, 3)
    assert server.runs["abc"].starts == 1


def test_an_offline_run_that_went_on_is_whole_when_it_is_synced(server, online, tmp_path):
    online("begin(); log(0, 1, 2); tracker.finish('stopped', 143)", WANDB_MODE="offline")
    online(
        "go_on(2); log(2, 3); tracker.finish('finished', 0); print(tracker.way_to_it())", WANDB_MODE="offline"
    )

    for folder in sorted(tmp_path.glob("experiments/abc/wandb/offline-run-*")):
        command = [sys.executable, "-m", "wandb", "sync", str(folder)]
        subprocess.run(
            command, cwd=tmp_path, env=server.environ(), capture_output=True, check=True, timeout=60
        )

    assert sent(server) == rows_of(0, 1, 2, 3)


@pytest.mark.parametrize(
    ("code", "exit_code", "state"),
    [
        ("tracker.finish('finished', 0)", 0, "finished"),
        ("tracker.finish('stopped', 0)", 0, "finished"),
        ("tracker.finish('stopped', 130)", 130, "failed"),
        ("tracker.finish('failed', 0)", 1, "failed"),
        ("tracker.mark_preempting(); tracker.finish('stopped', 138)", 138, "preempted"),
    ],
    ids=["finished", "stopped by the server", "stopped by a person", "failed", "preempted"],
)
def test_the_server_shows_how_a_run_ended(server, online, code, exit_code, state):
    online(f"begin(); {code}")

    assert (server.runs["abc"].exit_code, server.runs["abc"].state) == (exit_code, state)


def test_a_run_that_was_preempted_is_so_no_more_once_it_went_on(server, online):
    online("begin(); log(0); tracker.mark_preempting(); tracker.finish('stopped', 138)")

    online("go_on(1); log(1); tracker.finish('finished', 0)")

    assert server.runs["abc"].state == "finished"


WAITING = """
from wandb.sdk.lib.run_stopping import RunStopChecker
RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.3  # seconds, instead of 15
begin()
before = tracker.was_stopped()
print("ready", flush=True)
for number in range(200):
    log(number)
    if asked.wait(0.1):
        break
print(json.dumps([before, asked.is_set(), tracker.was_stopped()]))
tracker.finish("stopped", 0)
"""


def test_a_stop_that_the_server_asks_for_reaches_the_run_and_is_known_as_one(server, tmp_path):
    command = [sys.executable, "-c", DRIVER + WAITING]
    with subprocess.Popen(
        command, cwd=tmp_path, env=server.environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        server.stop("abc")
        said, _ = process.communicate(timeout=60)

    assert json.loads(said) == [False, True, True]
    assert server.runs["abc"].exit_code == 0


def test_a_kept_file_reaches_the_server_as_it_was_last(server, online):
    online(
        "begin(); path = tracker.directory / 'model.pt'\n"
        "for content in ('first', 'second'):\n"
        "    new = path.with_name('new'); new.write_text(content); new.replace(path); tracker.keep(path)\n"
        "tracker.finish('finished', 0)"
    )

    assert server.runs["abc"].files["model.pt"] == b"second"


def test_what_a_run_is_told_last_is_the_end_of_what_the_server_shows_as_printed(server, online):
    online("begin(); print('printed'); tracker.tell('Traceback\\nwhy'); tracker.finish('failed', 1)")

    lines = [line.rpartition(" ")[2].rstrip() for line in server.runs["abc"].log]

    assert [line for line in lines if line] == ["printed", "Traceback", "why"]


# What wandb is asked for. Only here it is replaced.


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

    def ask(earlier=None, **environ):
        with pytest.raises(AskedFor) as caught:
            WandbTracker(record, environ, "my run").start(FLAT, earlier)
        return caught.value.args[0]

    return ask


@pytest.mark.parametrize(
    ("mode", "earlier", "resume"),
    [
        ("online", None, None),
        ("online", [], "allow"),
        ("offline", None, None),
        ("offline", [], None),
        ("disabled", [], None),
    ],
)
def test_only_a_run_that_goes_on_online_resumes_one_of_the_server(asked, mode, earlier, resume):
    assert asked(earlier, WANDB_MODE=mode, WANDB_API_KEY="k" * 40)["resume"] == resume


def test_a_stop_of_the_server_calls_what_was_given_for_it(record, monkeypatch):
    def init(**arguments):
        arguments["settings"].stop_fn()
        raise AskedFor

    monkeypatch.setattr(wandb, "init", init)
    called = []

    with pytest.raises(AskedFor):
        WandbTracker(record, {"WANDB_MODE": "offline"}, None, lambda: called.append(1)).start(FLAT)

    assert called == [1]


def test_the_run_has_id_name_and_folder_of_its_own(asked, record):
    found = asked(WANDB_MODE="offline")

    assert (found["id"], found["name"], found["dir"]) == ("abc", "my run", str(record.directory))
    assert found["config"] == FLAT


def test_the_agent_of_a_sweep_names_the_run_and_whose_it_is(asked):
    found = asked(WANDB_MODE="offline", WANDB_SWEEP_ID="s", WANDB_RUN_ID="abc", WANDB_USER="me")

    assert {"id", "entity", "project"}.isdisjoint(found)


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
    tracker.finish("failed", 1)
