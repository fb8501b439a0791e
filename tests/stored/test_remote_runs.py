"""Stored runs of a server as sources: what the real client reads of a real server, through the cache."""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jade.errors import CheckpointError, ConfigError, TrackingError, UnreachableError
from jade.stored.cache import Copy
from jade.stored.find import find
from jade.stored.remote import ArtifactSource, RemoteSource
from jade.stored.run import StoredRun
from jade.tracking.wandb_files import WandbFiles
from tests.conftest import REPOSITORY
from tests.server.doors import KEY, opened
from tests.stored import remote_runs
from tests.stored.remote_runs import FILES, filled_server, md5

pytestmark = pytest.mark.usefixtures("without_account")


@pytest.fixture
def downloads(filled, monkeypatch):
    """The names of the files that the server has given."""
    given = []
    located = filled.doors.parts.tokens.read

    def noted(token):
        right = located(token)
        if right is not None and right.action == "get":
            given.append(right.name)
        return right

    monkeypatch.setattr(filled.doors.parts.tokens, "read", noted)
    return given


def test_the_facts_and_files_of_a_run_are_what_the_server_says(filled):
    path = filled.run(displayName="a name")

    source = RemoteSource(path, filled.environ)
    facts, files = source.facts(), source.files()

    assert (facts.run_id, facts.name, facts.state, facts.owner) == ("abc", "a name", "finished", "local")
    assert facts.params == {"model.class": "Toy", "model.params.lr": 0.1, "data.n": 2}
    assert facts.summary == {"Loss": 0.5, "Loss/best": 0.25, "Worst": float("inf")}
    assert (facts.iterations, facts.epochs, facts.seconds, facts.is_foreign) == (3, 1, 7.5, False)
    assert (facts.url, facts.sweep) == (f"{filled.url}/local/p/runs/abc", None)
    assert facts.began is not None
    assert set(files) == set(FILES)
    assert (files["model.pt"].size, files["model.pt"].digest) == (700, md5(b"weights" * 100))


def test_a_file_is_fetched_once_and_anew_when_it_changed(filled, downloads):
    path = filled.run()
    source = RemoteSource(path, filled.environ)

    first = source.path("model.pt").read_bytes()
    RemoteSource(path, filled.environ).fetch(["model.pt", "config.yml"])
    filled.put(path, {"model.pt": b"trained"})
    second = RemoteSource(path, filled.environ).path("model.pt").read_bytes()

    assert (first, second) == (b"weights" * 100, b"trained")
    assert downloads == ["model.pt", "config.yml", "model.pt"]
    assert source.folder.name == "abc"
    assert sorted(one.name for one in source.folder.iterdir()) == ["config.yml", "model.pt"]


def test_what_is_asked_in_a_row_is_asked_once_and_later_anew(filled):
    now = [0.0]
    path = filled.run()
    source = RemoteSource(path, filled.environ, clock=lambda: now[0])

    source.fetch(["model.pt"])
    filled.put(path, {"model.pt": b"trained", "best.pt": b"best"})
    just_now, content = set(source.files()), source.path("model.pt").read_bytes()
    now[0] = 10.0
    later = set(source.files())

    assert (just_now, content) == (set(FILES), b"weights" * 100)
    assert later == set(FILES) | {"best.pt"}
    assert source.path("model.pt").read_bytes() == b"trained"


def test_only_what_begins_so_is_fetched(filled, downloads):
    source = RemoteSource(filled.run(), filled.environ)

    source.fetch_all("code/", "yaml/")

    assert sorted(downloads) == ["code/modules/models/Toy.py", "yaml/model.yml"]
    assert (source.folder / "code/modules/models/Toy.py").read_text() == "class Toy: pass\n"


def test_a_file_that_the_run_has_no_more_is_taken_away_from_the_copy(filled):
    path = filled.run()
    source = RemoteSource(path, filled.environ)
    source.fetch_all("code/")

    filled.write("DELETE FROM files WHERE name = 'code/modules/models/Toy.py'")
    RemoteSource(path, filled.environ).fetch_all("code/")

    assert not (source.folder / "code/modules/models/Toy.py").exists()


def test_a_file_that_there_is_not_names_those_there_are(filled):
    source = RemoteSource(filled.run(), filled.environ)

    with pytest.raises(CheckpointError, match=r"The run local/p/abc has no checkpoint_4\.pt\.") as caught:
        source.fetch(["checkpoint_4.pt"])

    assert "did you mean: checkpoint_3.pt" in str(caught.value)


def test_names_that_lead_elsewhere_are_nobodys_files(filled, caplog):
    path = filled.run(files={"config.yml": "seed: 1"})
    odd = [
        "../../evil.py",
        "/etc/evil",
        "code/../../x.py",
        "pulled.json",
        "lock",
        "a\\b",
        "code//x",
        ".hidden",
        "Pulled.JSON",
        "code/modules/__pycache__/toy.cpython-311.pyc",
        "code/modules/toy.so",
    ]
    for number, name in enumerate(odd):
        filled.write(
            "INSERT INTO files (run, name, blob, size, md5, updated_at)"
            " SELECT run, ?, blob, size, md5, updated_at FROM files WHERE name = 'config.yml' LIMIT 1",
            name,
        )
        assert number < len(odd)

    source = RemoteSource(path, filled.environ)
    source.fetch_all("")

    assert set(source.files()) == {"config.yml"}
    assert [one.name for one in source.folder.iterdir()] == ["config.yml"]
    assert "Left out of local/p/abc, for what they are called" in caplog.text
    assert "../../evil.py" in caplog.text


def test_without_a_network_the_copy_answers_with_one_warning(filled, caplog):
    path = filled.run()
    RemoteSource(path, filled.environ).fetch(["model.pt"])
    caplog.clear()
    offline = {**filled.environ, "WANDB_MODE": "offline"}

    source = RemoteSource(path, offline)
    weights = source.path("model.pt").read_bytes()

    assert (weights, source.facts().iterations) == (b"weights" * 100, 3)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "No server is asked: WANDB_MODE is offline. The copy of local/p/abc in the cache is used, as it was"
        " fetched last."
    ]
    with pytest.raises(UnreachableError) as caught:
        source.fetch(["config.yml"])
    assert str(caught.value) == (
        "config.yml of local/p/abc cannot be fetched. What is not in the cache cannot be fetched.\n"
        f"  The cache has no whole copy: {source.folder}"
    )


def test_a_server_that_does_not_answer_is_known_at_once_and_the_copy_is_used(tmp_path, caplog):
    with filled_server(tmp_path) as filled:
        path = filled.run()
        RemoteSource(path, filled.environ).fetch(["model.pt"])

    warm = RemoteSource(path, filled.environ)
    assert warm.path("model.pt").is_file()
    assert "http://127.0.0.1" in caplog.text
    assert "does not answer. The copy of local/p/abc in the cache is used" in caplog.text
    with pytest.raises(UnreachableError) as caught:
        RemoteSource("local/p/other", filled.environ).facts()
    assert f"local/p/other cannot be fetched. {filled.url} does not answer." in str(caught.value)
    assert "The cache has no copy of it: " in str(caught.value)


def test_without_credentials_the_copy_is_used_and_nobody_is_asked_for_a_key(filled, caplog):
    path = filled.run()
    RemoteSource(path, filled.environ).fetch(["model.pt"])
    keyless = {name: value for name, value in filled.environ.items() if name != "WANDB_API_KEY"}

    source = RemoteSource(path, keyless)

    assert source.path("model.pt").is_file()
    assert "There are no credentials for" in caplog.text
    with pytest.raises(UnreachableError, match="There are no credentials for"):
        RemoteSource("local/p/other", keyless).facts()


def test_a_key_that_is_refused_is_told_with_what_the_cache_has(tmp_path):
    with opened(tmp_path / "locked", api_key=KEY) as doors:
        filled = remote_runs.Filled(doors, tmp_path)
        path = filled.run()
        RemoteSource(path, filled.environ).facts()

        with pytest.raises(TrackingError, match="refuses the credentials") as caught:
            RemoteSource(path, {**filled.environ, "WANDB_API_KEY": "x" * 40}).facts()

    assert caught.value.__notes__ == ["The cache has a copy: WANDB_MODE=offline uses it."]


def test_a_run_of_another_entity_is_foreign_also_without_a_network(filled):
    path = filled.run(entity="somebody")

    online = RemoteSource(path, filled.environ).facts()
    offline = RemoteSource(path, {**filled.environ, "WANDB_MODE": "offline"}).facts()

    assert (online.is_foreign, online.owner) == (True, "somebody")
    assert offline == online


def test_a_folder_of_the_cache_is_no_less_foreign(filled, tmp_path):
    theirs, own = (RemoteSource(filled.run(entity=name), filled.environ) for name in ("mallory", "local"))
    for source in (theirs, own):
        source.fetch_all("")
        (source.folder / "status.json").write_text('{"status": "finished"}')
    (tmp_path / "link").symlink_to(theirs.folder)

    found = [
        find(str(place), tmp_path, filled.environ) for place in (theirs.folder, tmp_path / "link", own.folder)
    ]

    assert [source.facts().is_foreign for source in found] == [True, True, False]
    assert found[0].facts().owner == "mallory"


def test_an_unknown_run_names_near_ones_and_an_unknown_project_those_there_are(filled, tmp_path):
    filled.run("abc")
    filled.run("xyz")

    with pytest.raises(TrackingError) as run:
        find("local/p/abd", tmp_path, filled.environ)
    with pytest.raises(TrackingError) as project:
        find("local/q/abc", tmp_path, filled.environ)

    assert (
        f"There is no run 'abd' in local/p on {filled.url}.\n  did you mean: abc\n  known: abc, xyz"
        in str(run.value)
    )
    assert f"There is no project local/q on {filled.url}." in str(project.value)
    assert "known: p" in str(project.value)


def test_an_id_is_looked_for_here_first_and_then_on_the_server(filled, tmp_path):
    filled.run("abc")
    filled.run("both")
    root = tmp_path / "experiments"
    (root / "both").mkdir(parents=True)
    (root / "both" / "config.yml").write_text("seed: 1\n")
    environ = {**filled.environ, "WANDB_PROJECT": "p"}

    assert find("abc", root, environ).label == "local/p/abc"
    assert find("p/abc", root, environ).label == "local/p/abc"
    assert find("both", root, environ).folder == root / "both"
    with pytest.raises(ConfigError) as caught:
        find("abd", root, environ)
    assert str(caught.value).splitlines() == [
        "There is no run 'abd'.",
        "  did you mean: abc",
        "  known: abc, both",
        f"  tried: the folder {Path.cwd()}/abd",
        f"         the id in {root}",
        f"         There is no run 'abd' in local/p on {filled.url}.",
    ]


def test_an_id_is_found_in_the_cache_where_nobody_can_be_asked(filled, tmp_path):
    find(filled.run("abc"), tmp_path, filled.environ)
    offline = {**filled.environ, "WANDB_MODE": "offline"}

    assert find("abc", tmp_path, offline).facts().run_id == "abc"
    assert find("p/abc", tmp_path, offline).facts().run_id == "abc"
    with pytest.raises(
        ConfigError, match="W&B: No server is asked: WANDB_MODE is offline. The cache has no run 'x'"
    ):
        find("x", tmp_path, offline)


def test_the_address_of_a_page_is_a_run_of_this_server_only(filled, tmp_path):
    filled.run("abc")

    assert find(f"{filled.url}/local/p/runs/abc/files?x=1", tmp_path, filled.environ).label == "local/p/abc"
    with pytest.raises(ConfigError) as other:
        find("https://wandb.ai/local/p/runs/abc", tmp_path, filled.environ)
    with pytest.raises(ConfigError, match="is no page of a run"):
        find(f"{filled.url}/local/p", tmp_path, filled.environ)
    assert "The page is one of wandb.ai, but the server that is asked is 127.0.0.1:" in str(other.value)


def test_an_id_with_odd_characters_has_a_folder_of_its_own(filled, tmp_path):
    source = find(filled.run("a b+c%2e"), tmp_path, filled.environ)
    source.fetch(["model.pt"])

    assert source.folder.parent == tmp_path / "cache" / f"127.0.0.1:{filled.doors.port}" / "local" / "p"
    page = f"{filled.url}/local/p/runs/a%20b%2Bc%252e"
    assert find(page, tmp_path, filled.environ).folder == source.folder
    assert Copy(tmp_path, "h", "e/p/..").folder == tmp_path / "h" / "e" / "p" / "%2E."


def test_a_cache_that_cannot_be_written_says_so(filled, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(CheckpointError, match="The cache cannot be written: Not a directory") as caught:
        RemoteSource(filled.run(), {**filled.environ, "JADE_CACHE": str(tmp_path / "file")}).fetch(
            ["model.pt"]
        )

    assert "JADE_CACHE names another folder for it." in str(caught.value)


def test_what_was_damaged_in_the_cache_is_fetched_anew_and_what_was_copied_is_not(
    filled, downloads, tmp_path
):
    path = filled.run()
    source = RemoteSource(path, filled.environ)
    source.fetch(["model.pt", "config.yml"])
    damaged = source.folder / "model.pt"
    damaged.write_bytes(b"Weights" * 100)
    shutil.copytree(tmp_path / "cache", tmp_path / "copy", copy_function=shutil.copyfile)

    moved = RemoteSource(path, {**filled.environ, "JADE_CACHE": str(tmp_path / "copy")})
    moved.fetch(["model.pt", "config.yml"])

    assert (moved.folder / "model.pt").read_bytes() == b"weights" * 100
    assert sorted(downloads) == ["config.yml", "model.pt", "model.pt"]


def test_a_digest_that_never_comes_is_an_error_and_leaves_nothing_under_the_name(filled):
    path = filled.run()
    filled.write("UPDATE files SET md5 = ? WHERE name = 'model.pt'", remote_runs.in_base64(b"other"))
    source = RemoteSource(path, filled.environ)

    with pytest.raises(TrackingError, match="The files of local/p/abc do not come whole"):
        source.fetch(["model.pt"])

    assert [one.name for one in source.folder.iterdir()] == []


def test_runs_of_a_project_and_of_a_sweep_are_listed_with_their_facts(filled):
    filled.run("one")
    filled.run("two", code=1)
    server = WandbFiles(filled.environ)

    both = server.runs("local/p")
    failed = server.runs("p", {"state": "failed"})

    assert {path: facts.state for path, facts in both} == {"local/p/one": "finished", "local/p/two": "failed"}
    assert [path for path, _ in failed] == ["local/p/two"]
    assert both[0][1].params["model.params.lr"] == 0.1
    assert len(server.runs("local/p", limit=1)) == 1
    with pytest.raises(TrackingError, match="There is no project local/q"):
        server.runs("local/q")


def test_runs_of_a_sweep_are_those_of_the_sweep(filled):
    reply = filled.doors.graphql(
        "mutation Made($input: UpsertSweepInput!) { upsertSweep(input: $input) { sweep { name } } }",
        input={
            "entityName": "local",
            "projectName": "p",
            "config": "method: grid\nparameters: {seed: {values: [1]}}",
        },
    )
    sweep = reply.data["upsertSweep"]["sweep"]["name"]
    filled.run("one", sweep=sweep)
    filled.run("two")
    server = WandbFiles(filled.environ)

    found = server.runs(f"local/p/{sweep}")

    assert [(path, facts.sweep) for path, facts in found] == [("local/p/one", f"local/p/{sweep}")]
    with pytest.raises(TrackingError, match="The runs of local/p/nosweep1 cannot be read from"):
        server.runs("local/p/nosweep1")


PROGRAM = """
import os, sys
from jade.stored.remote import RemoteSource
source = RemoteSource(sys.argv[1], os.environ)
print(source.path("model.pt").stat().st_size, len(sys.modules), "torch" in sys.modules)
"""


def test_two_processes_at_once_fetch_a_run_once(filled, downloads):
    path = filled.run(files={"model.pt": os.urandom(3_000_000), "config.yml": "seed: 1"})
    environ = {**os.environ, **filled.environ, "PYTHONPATH": str(REPOSITORY)}

    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, path],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    done = [process.communicate(timeout=120) for process in both]

    assert [process.returncode for process in both] == [0, 0], done
    assert [text.split()[0::2] for text, _ in done] == [["3000000", "False"]] * 2
    assert downloads == ["model.pt"]


def test_an_artifact_is_its_version_with_what_its_run_was(filled, tmp_path, downloads):
    path = filled.run("made")
    remote_runs.artifact(filled, tmp_path, run_id="made")

    source = find("local/p/abc-model:best", tmp_path, filled.environ)
    source.fetch(["best.pt", "config.yml"])
    offline = ArtifactSource("local/p/abc-model:best", {**filled.environ, "WANDB_MODE": "offline"})

    assert isinstance(source, ArtifactSource)
    assert source.folder.name == "abc-model:v0"
    assert (source.about["run"], source.about["version"], source.about["metadata"]) == (
        path,
        "v0",
        {"iterations": 3},
    )
    assert {"best", "latest"} == set(source.about["aliases"])
    assert source.facts().run_id == "made"
    assert [name for name in source.files() if name.endswith(".pt")] == ["best.pt"]
    assert (source.folder / "best.pt").read_bytes() == b"best" * 50
    assert offline.path("best.pt") == source.folder / "best.pt"
    assert (
        find(f"{filled.url}/local/p/artifacts/model/abc-model/v0", tmp_path, filled.environ).folder
        == source.folder
    )
    with pytest.raises(TrackingError) as alias:
        find("local/p/abc-model:beste", tmp_path, filled.environ)
    with pytest.raises(TrackingError) as name:
        find("local/p/abc-modle:best", tmp_path, filled.environ)
    assert str(alias.value) == (
        f"The artifact local/p/abc-model has neither an alias nor a version 'beste' on {filled.url}.\n"
        "  did you mean: best\n  known: best, latest, v0"
    )
    assert "There is no artifact 'abc-modle' in local/p" in str(name.value)
    assert "did you mean: abc-model" in str(name.value)


def test_an_artifact_with_a_config_has_of_its_run_what_it_logged_and_no_more(filled, tmp_path):
    filled.run("made")
    files = {"best.pt": b"best" * 50, "config.yml": b"seed: 1\n"}
    remote_runs.artifact(filled, tmp_path, run_id="made", files=files)

    source = find("local/p/abc-model:best", tmp_path, filled.environ)
    source.fetch(["metrics.jsonl", "config.yml"])

    assert sorted(source.files()) == ["best.pt", "config.yml", "metrics.jsonl"]
    assert (source.folder / "config.yml").read_text() == "seed: 1\n"
    assert StoredRun(source, filled.environ).history("Loss")["Loss"].tolist() == [0.5]


def test_an_artifact_whose_run_is_deleted_is_known_by_itself(filled, tmp_path):
    files = {"best.pt": b"best" * 50, "config.yml": b"seed: 1\n"}
    remote_runs.artifact(filled, tmp_path, run_id="gone", files=files)
    filled.write("UPDATE artifacts SET run = NULL")

    source = find("local/p/abc-model:v0", tmp_path, filled.environ)

    assert sorted(source.files()) == ["best.pt", "config.yml"]
    assert (source.facts().name, source.facts().owner, source.facts().is_foreign) == (
        "abc-model",
        "local",
        False,
    )
    assert json.loads(json.dumps(source.about["run"])) is None
    with pytest.raises(CheckpointError, match="has no metrics.jsonl, so nothing is known of 'Loss'"):
        StoredRun(source, filled.environ).history("Loss")
