"""Runs that go on and are somebody else's: nothing of their code is executed before it is trusted."""

import json

import pytest

from jade import cli
from jade.tracking.wandb_store import WandbStore
from tests.stored import remote_runs
from tests.stored.conftest import MODEL, forget_modules
from tests.stored.remote_runs import filled_server


@pytest.fixture
def left(project, elsewhere, monkeypatch):
    """A run that was left after one of its two epochs, whose code leaves a mark where it is imported."""
    folder = project.train("theirs", "--checkpoint-every", "1 epochs", "--best-metric", "Error")
    for name in ("model.pt", "checkpoint_6.pt", "best.pt"):
        (folder / name).unlink()
    (folder / "checkpoint_3.pt").rename(folder / "model.pt")
    model = folder / "code" / "modules" / "models" / "line.py"
    model.write_text(f"open({str(project.folder / 'mark')!r}, 'w').close()\n" + MODEL)
    monkeypatch.chdir(project.folder)
    return folder


@pytest.fixture
def go_on(project, capsys):
    """Let a run go on; give the exit code, and what was told."""

    def told(*arguments):
        forget_modules()
        capsys.readouterr()
        code = cli.main([*arguments, "--device", "cpu"], project.folder)
        return code, capsys.readouterr().err

    return told


def is_marked(project):
    mark = project.folder / "mark"
    found = mark.exists()
    mark.unlink(missing_ok=True)
    return found


def test_a_folder_that_was_fetched_from_another_entity_goes_on_once_its_code_is_trusted(project, left, go_on):
    origin = {"path": "mallory/p/theirs", "owner": "mallory", "is_foreign": True, "url": "https://x/y"}
    (left / "pulled.json").write_text(json.dumps(origin))
    files = [
        "--model_conf=model.yml",
        "--data_conf=data.yml",
        "--eval_conf=eval.yml",
        "--arch_impl=modules/nets.py",
    ]
    before = {path: path.read_bytes() for path in left.rglob("*") if path.is_file() and path.name != "lock"}

    for arguments in (
        ["--resume", "theirs"],
        ["--resume", "auto", "--run_id", "theirs", *files, "--epochs", "2"],
    ):
        refused, text = go_on(*arguments, "--tracker", "local")

        assert refused == 2
        assert text.startswith("The run mallory/p/theirs belongs to mallory, not to you, https://x/y.")
        assert f"Nothing was executed of its code, {left / 'code'} (digest" in text
        assert "--trust-code" in text
        assert "--code current" in text
        assert not is_marked(project)
    assert {path: path.read_bytes() for path in before} == before

    assert go_on("--resume", "theirs", "--tracker", "local", "--code", "current", "--check")[0] == 0
    assert not is_marked(project)
    assert go_on("--resume", "theirs", "--tracker", "local", "--trust-code", "--check")[0] == 0
    assert is_marked(project)
    code, text = go_on("--resume", "theirs", "--tracker", "local")
    assert (code, is_marked(project)) == (0, True), text
    assert json.loads((left / "status.json").read_text())["status"] == "finished"


def test_a_run_that_was_fetched_from_nobody_knows_whom_is_a_strangers(project, left, go_on):
    (left / "pulled.json").write_text("{damaged")

    code, told = go_on("--resume", "theirs", "--tracker", "local")

    assert code == 2
    assert f"The run {left} belongs to somebody, not to you. Nothing was executed" in told
    assert not is_marked(project)


def test_a_configuration_that_calls_installed_functions_is_not_obeyed_by_going_on(project, left, go_on):
    (left / "pulled.json").write_text('{"owner": "mallory", "is_foreign": true}')
    text = (left / "config.yml").read_text()
    (left / "config.yml").write_text(text.replace("class: Noise", "class: os.getcwd"))

    refused, told = go_on("--resume", "theirs", "--tracker", "local", "--code", "current")

    assert refused == 2
    assert "what its configuration calls: os.getcwd" in told


@pytest.fixture
def server(tmp_path, left, monkeypatch):
    """A server that has the run, of the user and of another entity; nothing of it is in a folder."""
    with remote_runs.home_of_nobody(tmp_path / "home"), filled_server(tmp_path / "server") as filled:
        for name, value in filled.environ.items():
            monkeypatch.setenv(name, value)
        files = {
            path.relative_to(left).as_posix(): path.read_bytes() for path in left.rglob("*") if path.is_file()
        }
        for entity in ("local", "mallory"):
            filled.run("theirs", files={**files, "init.pt": b"first"}, entity=entity)
        yield filled


def test_a_run_of_another_entity_is_fetched_and_not_executed(project, server, go_on, tmp_path):
    refused, told = go_on("--resume", "mallory/p/theirs")
    folder = tmp_path / "server" / "experiments" / "theirs"

    assert refused == 2
    assert "The run mallory/p/theirs belongs to mallory, not to you, " in told
    assert not is_marked(project)
    origin = json.loads((folder / "pulled.json").read_text())
    assert (origin["path"], origin["owner"], origin["is_foreign"]) == ("mallory/p/theirs", "mallory", True)
    assert (folder / "init.pt").read_bytes() == b"first"
    assert go_on("--resume", "theirs", "--tracker", "local")[0] == 2
    assert not is_marked(project)
    assert go_on("--resume", "mallory/p/theirs", "--trust-code", "--check")[0] == 0
    assert is_marked(project)


def test_a_run_of_ones_own_needs_no_trust(project, server, go_on, tmp_path):
    folder = tmp_path / "server" / "experiments" / "theirs"

    assert go_on("--resume", "local/p/theirs", "--check")[0] == 0

    assert is_marked(project)
    assert json.loads((folder / "pulled.json").read_text())["is_foreign"] is False


def test_a_run_that_this_process_logs_itself_is_no_stranger_whoever_owns_the_project(server, tmp_path):
    assert WandbStore(server.environ).fetch("mallory/p/theirs", tmp_path / "it", is_own=True)

    assert not (tmp_path / "it" / "pulled.json").exists()
