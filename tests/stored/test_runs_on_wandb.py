"""Runs of a project and of a sweep, listed, shown, drawn and opened from a real server by the real client."""

import json

import pytest

import jade
from jade.commands import plot, runs, show
from jade.errors import JadeError
from tests.stored import remote_runs
from tests.stored.remote_runs import FILES, filled_server

MADE = "mutation Made($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { name } } }"
SWEEP = (
    "method: grid\nmetric: {name: Loss, goal: minimize}\nparameters: {model.params.lr: {values: [0.1, 0.2]}}"
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A server with two runs of a project, and a sweep with another two."""
    folder = tmp_path_factory.mktemp("server")
    with remote_runs.home_of_nobody(folder / "home"), filled_server(folder) as found:
        found.run("plain", displayName="a name", files=FILES)
        found.run("bare", files={}, code=1)
        reply = found.doors.graphql(MADE, input={"entityName": "local", "projectName": "p", "config": SWEEP})
        found.sweep = reply.data["upsertSweep"]["sweep"]["name"]
        for name in ("t1", "t2"):
            found.run(name, sweep=found.sweep, files={"metrics.jsonl": FILES["metrics.jsonl"]})
        yield found


@pytest.fixture
def here(filled, tmp_path, monkeypatch):
    """An empty folder, from which the server is asked."""
    monkeypatch.chdir(tmp_path)
    for name, value in filled.environ.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def listed(capsys, *arguments):
    runs.run([*arguments, "--format", "json"])
    return json.loads(capsys.readouterr().out)


def test_a_project_is_listed_without_fetching_anything(here, filled, capsys):
    found = listed(capsys, "local/p", "--metric", "Loss", "--sort", "run")

    assert [row["run"] for row in found["rows"]] == ["bare", "plain", "t1", "t2"]
    assert found["counts"] == {"finished": 3, "failed": 1}
    plain = found["rows"][1]
    assert (plain["name"], plain["last"], plain["best"], plain["trained"]) == ("a name", 0.5, 0.25, 1)
    assert plain["where"].endswith("/local/p/runs/plain")
    assert found["rows"][2]["sweep"] == f"local/p/{filled.sweep}"
    assert list(here.iterdir()) == []


def test_a_sweep_is_listed_by_its_path(here, filled, capsys):
    found = listed(capsys, f"local/p/{filled.sweep}", "--filter", "lr=0.1", "--state", "finished")

    assert sorted(row["run"] for row in found["rows"]) == ["t1", "t2"]
    assert (found["metric"], found["goal"], found["why"]) == ("Loss", "minimize", "the sweep's")


def test_a_run_is_shown(here, capsys):
    show.run(["local/p/plain", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    show.run(["local/p/plain"])

    assert (found["run"]["id"], found["run"]["folder"], found["run"]["owner"]) == ("plain", None, "local")
    assert list(found["config"]) == ["model.class", "model.params.lr", "data.n"]
    assert found["metrics"]["Loss"]["last"] == 0.5
    assert found["files"]["checkpoints"]["count"] == 2
    assert found["code"] | {"digest": None} == {
        "commit": None,
        "diff": 0,
        "files": 1,
        "size": 16,
        "digest": None,
    }
    assert capsys.readouterr().out.startswith("a name (plain)  finished\nwhere    local/p/plain\n")


def test_a_run_and_a_sweep_are_drawn(here, filled, capsys):
    plot.run(["local/p/plain", f"local/p/{filled.sweep}", "--metric", "Loss"])

    assert capsys.readouterr().out == "picture  plot.png\n"
    assert (here / "plot.png").stat().st_size > 1000


def test_a_notebook_gets_the_runs_of_a_project_with_what_is_known_of_them(here, filled, monkeypatch):
    found = jade.runs("local/p", sweep=filled.sweep, metric="Loss")

    assert sorted(run.id for run in found) == ["t1", "t2"]
    with monkeypatch.context() as patch:
        patch.setattr(found[0].source, "answer", pytest.fail)
        assert (found[0].summary["Loss"], found[0].state) == (0.5, "finished")
    assert found[0].history()["Loss"].tolist() == [0.5]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("local/q", "There is no project local/q"),
        ("local/p/nothing", "nothing"),
    ],
)
def test_what_is_not_there_is_named(here, where, said):
    with pytest.raises(JadeError) as caught:
        runs.run([where])
    with pytest.raises(JadeError):
        plot.run([where])

    assert said in str(caught.value)
    assert list(here.iterdir()) == []
