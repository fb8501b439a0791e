"""`python -m jade pull`: a run's folder as it would be had it run here, whole or not at all."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from jade import __main__ as jade_command
from jade.errors import CheckpointError, ConfigError, TrackingError
from jade.stored import local_runs
from jade.stored.pull import pull
from jade.stored.remote import RemoteSource
from jade.stored.source import facts_of
from tests.conftest import REPOSITORY
from tests.stored import remote_runs
from tests.stored.remote_runs import FILES

pytestmark = pytest.mark.usefixtures("without_account")

OF_THE_RUN = set(FILES) - {"wandb-metadata.json", "output.log"}


@pytest.fixture
def into(tmp_path):
    return tmp_path / "experiments"


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_pulled_run_is_a_run_of_the_experiments(filled, into):
    path = filled.run(displayName="a name")

    done = pull(RemoteSource(path, filled.environ), into)

    folder = into / "abc"
    assert (done.folder, done.path, done.was_there) == (folder, path, False)
    assert set(done.changed) == OF_THE_RUN
    assert names(folder) == OF_THE_RUN | {"status.json", "pulled.json"}
    assert (folder / "model.pt").read_bytes() == FILES["model.pt"]
    assert [one.name for one in into.iterdir()] == ["abc"]
    facts = facts_of(folder)
    assert (facts.run_id, facts.name, facts.state, facts.iterations) == ("abc", "a name", "finished", 3)
    assert (facts.summary["Loss"], facts.summary["Loss/best"], facts.seconds) == (0.5, 0.25, 7.5)
    assert (facts.owner, facts.is_foreign, facts.url) == ("local", False, f"{filled.url}/local/p/runs/abc")
    origin = json.loads((folder / "pulled.json").read_text())
    assert (origin["path"], origin["server"]) == (path, filled.url)


def test_a_status_that_the_run_has_uploaded_is_its_own(filled, into):
    path = filled.run(files={**FILES, "status.json": '{"status": "stopped", "run": "abc"}'}, entity="else")

    pull(RemoteSource(path, filled.environ), into)

    facts = facts_of(into / "abc")
    assert (facts.state, facts.owner, facts.is_foreign) == ("stopped", "else", True)


def test_a_run_that_runs_elsewhere_has_not_died_until_it_goes_on_here(filled, into):
    path = filled.run(code=None)
    pull(RemoteSource(path, filled.environ), into)
    status = into / "abc" / "status.json"

    before = facts_of(into / "abc").state
    status.write_text(json.dumps({**json.loads(status.read_text()), "updated": 1e12}))

    assert (before, facts_of(into / "abc").state) == ("running", "died")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [("all", {"model.pt", "checkpoint_3.pt", "init.pt"}), ("last", {"model.pt", "init.pt"}), ("none", set())],
)
def test_the_checkpoints_that_are_wanted_are_fetched(filled, into, wanted, expected):
    pull(RemoteSource(filled.run(files={**FILES, "init.pt": b"first"}), filled.environ), into, wanted)

    assert {name for name in names(into / "abc") if name.endswith(".pt")} == expected


def test_a_checkpoint_that_there_is_not_leaves_nothing(filled, into):
    run = filled.run(files={**FILES, "init.pt": b"first"})

    with pytest.raises(CheckpointError, match=r"The run local/p/abc has no best\.pt") as caught:
        pull(RemoteSource(run, filled.environ), into, "best")

    assert "known: checkpoint_3.pt, model.pt" in str(caught.value)
    assert not into.exists()


def test_pulled_again_only_what_changed_is_brought_up_to_date(filled, into):
    path = filled.run(files={**FILES, "code/old.py": "old"})
    pull(RemoteSource(path, filled.environ), into)
    (into / "abc" / "notes.txt").write_text("mine")

    same = pull(RemoteSource(path, filled.environ), into)
    filled.put(path, {"model.pt": b"trained", "code/new.py": "new"})
    filled.write("DELETE FROM files WHERE name = 'code/old.py'")
    other = pull(RemoteSource(path, filled.environ), into, "last")

    assert (same.changed, same.was_there) == ((), True)
    assert set(other.changed) == {"model.pt", "code/new.py"}
    assert names(into / "abc") == OF_THE_RUN | {"code/new.py", "notes.txt", "status.json", "pulled.json"}
    assert (into / "abc" / "model.pt").read_bytes() == b"trained"


def test_what_changed_here_is_not_overwritten(filled, into):
    path = filled.run()
    pull(RemoteSource(path, filled.environ), into)
    (into / "abc" / "metrics.jsonl").write_text("more")
    filled.put(path, {"model.pt": b"trained"})

    with pytest.raises(ConfigError, match=r"was changed since the run was pulled: metrics\.jsonl\."):
        pull(RemoteSource(path, filled.environ), into)

    assert (into / "abc" / "model.pt").read_bytes() == FILES["model.pt"]


def test_what_changes_here_leaves_the_cache_as_it_was(filled, into, tmp_path):
    source = RemoteSource(filled.run(), filled.environ)
    pull(source, into)

    with (into / "abc" / "metrics.jsonl").open("a") as file:
        file.write("more")

    assert (source.folder / "metrics.jsonl").read_text() == FILES["metrics.jsonl"]


@pytest.mark.parametrize("other", ["a run of this machine", "a run of another server"])
def test_another_run_of_the_same_id_is_not_overwritten(filled, into, other):
    path = filled.run()
    (into / "abc").mkdir(parents=True)
    (into / "abc" / "config.yml").write_text("seed: 2\n")
    if other == "a run of another server":
        (into / "abc" / "pulled.json").write_text(json.dumps({"path": path, "host": "api.wandb.ai"}))

    said = {
        "a run of this machine": "already, which was not pulled: it may be the run itself.",
        "a run of another server": "already, which was pulled from local/p/abc of api.wandb.ai.",
    }[other]
    with pytest.raises(ConfigError, match=said):
        pull(RemoteSource(path, filled.environ), into)

    assert (into / "abc" / "config.yml").read_text() == "seed: 2\n"


def test_an_artifact_is_pulled_beside_its_run(filled, into, tmp_path, capsys, monkeypatch):
    path = filled.run("made")
    remote_runs.artifact(filled, tmp_path, run_id="made")
    for name, value in filled.environ.items():
        monkeypatch.setenv(name, value)

    codes = [jade_command.main(["pull", name]) for name in (path, "local/p/abc-model:best")]

    assert codes == [0, 0]
    assert {"best.pt", "config.yml", "code/modules/models/Toy.py"} <= names(into / "abc-model-v0")
    assert not (into / "abc-model-v0" / "model.pt").exists()
    assert [run.name for run in local_runs.folders(into)] == ["abc-model-v0", "made"]
    text = capsys.readouterr().out
    assert f"{path} pulled: 7 files, " in text
    assert f"folder  {into / 'abc-model-v0'}\n" in text
    assert f"show    python -m jade show {into / 'made'}\n" in text


def test_what_is_here_is_not_pulled(into, capsys, monkeypatch):
    (into / "abc").mkdir(parents=True)
    (into / "abc" / "config.yml").write_text("seed: 2\n")
    monkeypatch.setenv("EXPERIMENTS_ROOT", str(into))

    assert jade_command.main(["pull", "abc"]) == 2

    assert f"abc is on this machine already: {into / 'abc'}" in capsys.readouterr().err


def test_what_a_killed_process_left_is_neither_listed_nor_left(filled, into):
    left = into / ".abc.pulled.999999999.x"
    left.mkdir(parents=True)
    (left / "config.yml").write_text("seed: 1\n")

    listed = local_runs.folders(into)
    pull(RemoteSource(filled.run(), filled.environ), into)

    assert listed == []
    assert [one.name for one in into.iterdir()] == ["abc"]


# Ends itself, in the way that a test chooses, in the middle of a file.
INTERRUPTED = """
import os, resource, signal, sys
from contextlib import contextmanager
from jade import progress
from jade.__main__ import main

how, run = sys.argv[1:]
if how == "full":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))

@contextmanager
def transfer(*arguments):
    came = 0
    def told(count):
        nonlocal came
        came += count
        if came > 4_000_000 and how in ("SIGKILL", "SIGINT"):
            os.kill(os.getpid(), getattr(signal, how))
    yield told

if how != "whole":
    progress.transfer = transfer
sys.exit(main(["pull", run]))
"""


@pytest.fixture
def pulling(filled):
    def run(how, path):
        environ = {**os.environ, **filled.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            [sys.executable, "-c", INTERRUPTED, how, path],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def given(caplog):
    """How many bytes the server has given of files, in each answer."""
    text = "\n".join(record.getMessage() for record in caplog.records)
    return [int(size) for size in re.findall(r"GET /storage\S* .*?(\d+) bytes", text)]


def test_a_pull_that_was_killed_leaves_nothing_half_and_goes_on(filled, into, pulling, caplog):
    caplog.set_level(logging.INFO, logger="jade.server")
    weights = os.urandom(1_000_000) * 10
    path = filled.run(files={"config.yml": "seed: 1\n", "model.pt": weights})

    killed = pulling("SIGKILL", path)
    after_kill = into.exists()
    interrupted = pulling("SIGINT", path)
    after_interrupt = into.exists()
    caplog.clear()
    whole = pulling("whole", path)

    assert (killed.returncode, interrupted.returncode) == (-signal.SIGKILL, 130), interrupted.stderr
    assert "Interrupted. What has come so far is kept" in interrupted.stderr
    assert (after_kill, after_interrupt) == (False, False)
    assert whole.returncode == 0, whole.stderr
    assert (into / "abc" / "model.pt").read_bytes() == weights
    (rest,) = given(caplog)
    assert rest < 6_100_000
    assert not list((into.parent / "cache").rglob("*/parts/*"))


def test_a_full_disk_is_told_and_leaves_nothing_half(filled, into, pulling):
    path = filled.run(files={"config.yml": "seed: 1\n", "model.pt": bytes(6_000_000)})

    done = pulling("full", path)

    assert done.returncode == 2
    assert "The cache cannot be written: File too large." in done.stderr
    assert not into.exists()
    assert not list((into.parent / "cache").rglob("*/parts/*"))


def test_a_file_that_is_deleted_meanwhile_is_told(filled, into, monkeypatch):
    path = filled.run()
    source = RemoteSource(path, filled.environ)
    asked = source.server.run

    def deleted(path):
        answer = asked(path)
        filled.write("DELETE FROM files WHERE name = 'checkpoint_3.pt'")
        return answer

    monkeypatch.setattr(source.server, "run", deleted)

    with pytest.raises((CheckpointError, TrackingError), match=r"has no checkpoint_3\.pt"):
        pull(source, into)

    assert not into.exists()
    shutil.rmtree(into.parent / "cache")
