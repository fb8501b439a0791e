"""The real client against the stand-in for its server: a test that uses the stand-in may trust it."""

import contextlib
import gzip
import http.client
import json
import math
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from tests.tracking.loopback import ENTITY, PROJECT, Loopback

PATH = f"{ENTITY}/{PROJECT}/one"
LOGS = """
import wandb
from pathlib import Path
run = wandb.init(id="one", name="my run", config={"model.beta": 0.1, "seed": 0})
for row in range(3):
    run.log({"row": row, "loss": float("nan") if row == 0 else 1 / row})
Path("yaml").mkdir()
Path("yaml/model a.yml").write_text("beta: 0.1")
run.save("yaml/model a.yml", policy="now")
run.finish()
"""
RESUMES = """
import json, wandb
run = wandb.init(id="one", resume="allow")
{then}
row, loss = run.summary["row"], run.summary["loss"]
for new in range(row + 1, row + 3):
    run.log({{"iterations": 10 * new, "row": new}})
run.finish()
print(json.dumps({{"row": row, "loss": loss, "resumed": run.resumed, "config": dict(run.config)}}))
"""


@pytest.fixture
def server():
    with Loopback() as server:
        yield server


@pytest.fixture
def python(server, tmp_path):
    """Run a client's code to its end and give what it printed."""

    def run(*arguments, **more):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=server.environ(**more),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def rows(history):
    return [(row["_step"], row["row"]) for row in history]


def test_what_a_run_logs_arrives(server, python):
    python("-c", LOGS)

    run = server.runs["one"]
    assert run.name == "my run"
    assert run.config == {"model.beta": 0.1, "seed": 0}
    assert rows(run.history) == [(0, 0), (1, 1), (2, 2)]
    assert math.isnan(run.history[0]["loss"])
    assert (run.summary["row"], run.summary["loss"]) == (2, 0.5)
    assert run.files["yaml/model a.yml"] == b"beta: 0.1"
    assert (run.starts, run.complete, run.exit_code, run.state) == (1, True, 0, "finished")
    assert server.unknown == []


@pytest.mark.parametrize(
    "then",
    [
        pytest.param("", id="plain"),
        pytest.param('run.define_metric("*", step_metric="iterations")', id="with a step of its own"),
    ],
)
def test_a_resumed_run_goes_on_from_its_summary(server, python, then):
    python("-c", LOGS)
    seen = json.loads(python("-c", RESUMES.format(then=then)))

    assert seen == {"row": 2, "loss": 0.5, "resumed": True, "config": {"model.beta": 0.1, "seed": 0}}
    run = server.runs["one"]
    assert run.name == "my run"
    assert rows(run.history) == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)]
    assert (run.summary["row"], run.summary["loss"]) == (4, 0.5)
    assert "yaml/model a.yml" in run.files
    assert (run.starts, run.exit_code) == (2, 0)
    assert server.unknown == []


def test_a_run_that_is_not_there_is_not_resumed(server, python):
    python(
        "-c",
        'import wandb; run = wandb.init(id="one", resume="allow"); assert not run.resumed; run.log({"row": 0})',
    )

    assert rows(server.runs["one"].history) == [(0, 0)]


def test_a_run_that_is_not_resumed_begins_anew(server, python):
    python("-c", LOGS)
    python("-c", 'import wandb; run = wandb.init(id="one"); run.log({"row": 7})')

    run = server.runs["one"]
    assert rows(run.history) == [(0, 7)]
    assert "loss" not in run.summary
    assert run.config == {}
    assert run.starts == 2


def test_a_new_name_is_no_new_start(server, python):
    python(
        "-c",
        'import wandb; run = wandb.init(id="one"); run.log({"row": 0}); run.name = "new"; run.tags = ("a",)',
    )

    run = server.runs["one"]
    assert (run.name, run.starts, rows(run.history)) == ("new", 1, [(0, 0)])


def test_the_api_reads_a_run(server, python, tmp_path):
    python("-c", LOGS)
    code = f"""
import json, wandb
run = wandb.Api().run("{PATH}")
found = {{
    "name": run.name,
    "state": run.state,
    "config": run.config,
    "summary": run.summary_metrics,
    "history": run.history(pandas=False),
    "of keys": run.history(keys=["row"], pandas=False),
    "scanned": list(run.scan_history()),
    "scanned of keys": list(run.scan_history(keys=["row"])),
    "sampled": len(run.history(samples=2, pandas=False)),
    "files": {{file.name: file.size for file in run.files()}},
    "yaml": [file.name for file in run.files(pattern="yaml/%")],
    "missing": run.file("missing").md5,
}}
for _ in range(2):
    run.file("yaml/model a.yml").download("got", replace=True).close()
print(json.dumps(found))
"""
    found = json.loads(python("-c", code))

    assert (found["name"], found["state"]) == ("my run", "finished")
    assert found["config"] == {"model.beta": 0.1, "seed": 0}
    assert (found["summary"]["row"], found["summary"]["loss"]) == (2, 0.5)
    for way in ("history", "of keys", "scanned", "scanned of keys"):
        assert rows(found[way]) == [(0, 0), (1, 1), (2, 2)]
    assert [row["loss"] for row in found["history"]] == ["NaN", 1.0, 0.5]
    assert [row["loss"] for row in found["scanned"]] == ["NaN", 1.0, 0.5]
    assert found["sampled"] == 2
    assert found["files"] == {name: len(data) for name, data in server.runs["one"].files.items()}
    assert found["yaml"] == ["yaml/model a.yml"]
    assert found["missing"] == "0"
    assert (tmp_path / "got/yaml/model a.yml").read_bytes() == b"beta: 0.1"
    assert server.unknown == []


def test_the_api_does_not_find_a_run_that_is_not_there(server, python):
    code = f"""
import wandb
try:
    wandb.Api().run("{PATH}")
except Exception as error:
    print(type(error).__name__, error)
"""
    said = python("-c", code)

    assert said.startswith("CommError Could not find run")
    assert server.runs == {}


def test_a_preempted_run_is_known_as_one(server, python):
    python("-c", 'import wandb; run = wandb.init(id="one"); run.mark_preempting(); run.finish(1)')

    run = server.runs["one"]
    assert (run.preempting, run.complete, run.exit_code, run.state) == (True, True, 1, "preempted")


def test_a_stop_reaches_the_process(server, tmp_path):
    code = """
import threading, wandb
from wandb.sdk.lib.run_stopping import RunStopChecker
RunStopChecker.__init__.__kwdefaults__["poll_interval"] = 0.3  # seconds, instead of 15
asked = threading.Event()
run = wandb.init(id="one", settings=wandb.Settings(stop_fn=asked.set))
print("ready", flush=True)
for row in range(200):
    run.log({"row": row})
    if asked.wait(0.1):
        break
run.finish()
print("asked" if asked.is_set() else "not asked")
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=tmp_path, env=server.environ(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        server.stop("one")
        said, _ = process.communicate(timeout=60)

    assert said == "asked\n"
    assert server.runs["one"].exit_code == 0


def test_an_offline_run_arrives_when_it_is_synced(server, python, tmp_path):
    python("-c", LOGS, WANDB_MODE="offline")
    assert server.runs == {}

    (folder,) = tmp_path.glob("wandb/offline-run-*")
    for _ in range(2):
        python("-m", "wandb", "sync", str(folder))

    run = server.runs["one"]
    assert run.config == {"model.beta": 0.1, "seed": 0}
    assert rows(run.history) == [(0, 0), (1, 1), (2, 2)]
    assert run.summary["row"] == 2
    assert run.files["yaml/model a.yml"] == b"beta: 0.1"
    assert (run.complete, run.exit_code) == (True, 0)
    assert server.unknown == []


def test_nobodys_settings_come_in(server, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("WANDB_TAGS", "mine")
    monkeypatch.setenv("JADE_ANYTHING", "mine")

    environ = server.environ(WANDB_NAME="given")

    assert environ["WANDB_MODE"] == "online"
    assert environ["WANDB_NAME"] == "given"
    assert "mine" not in environ.values()
    assert environ["NETRC"].startswith(environ["HOME"])


def test_what_it_does_not_know_is_answered_and_remembered(server):
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)

    def post(path, body, **headers):
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()

    with contextlib.closing(connection):
        packed = gzip.compress(b'{"query": "query Viewer { viewer { entity } }"}')
        status, body = post("/graphql", packed, **{"Content-Encoding": "gzip"})
        assert (status, json.loads(body)["data"]["viewer"]["entity"]) == (200, ENTITY)

        status, body = post("/graphql", b'{"operationName": "LaunchRocket", "query": ""}')
        assert (status, json.loads(body)["data"]) == (200, None)
        assert "LaunchRocket" in json.loads(body)["errors"][0]["message"]
        assert server.unknown == ["LaunchRocket"]

        assert post("/sdk/otel/v1/metrics", b"{}") == (404, b"")
