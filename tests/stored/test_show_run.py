"""What is said of one run: all that its folder holds, as text and as JSON; nothing of it is obeyed."""

import json
import math
import shutil
import time
from dataclasses import replace

import pytest

from jade.commands import runs, show
from jade.errors import CheckpointError, ConfigError
from jade.stored import overview_text
from jade.stored.overview import about
from jade.stored.run import load
from jade.stored.source import FolderSource
from tests.stored.test_local_runs import Experiments

ENVIRONMENT = {
    "command": ["python", "train.py", "--model.params.beta", "0.25", "--note", "two words"],
    "folder": "/home/me/project",
    "python": "3.11.7",
    "platform": "Linux",
    "machine": "m1",
    "device": "cuda:0",
    "device_name": "A GPU",
    "packages": {"torch": "2.6.0", "numpy": "2.0", "other": "1"},
    "git_commit": "c0ffee",
    "datasets": {"train": {"length": 60000}, "test": {"length": None}},
    "sweep": {"path": "me/p/s1"},
    "init_from": {"run": "me/p/r0", "checkpoint": "best.pt", "iterations": 7, "attributes": ["encoder"]},
}
CHECKPOINTS = {
    "model.pt": {"iterations": 30, "epochs": 3, "time": 50.0},
    "best.pt": {"iterations": 20, "epochs": 2, "time": 40.0, "metric": "Loss", "mode": "min", "value": 1.0},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPERIMENTS_ROOT", raising=False)
    experiments = Experiments(tmp_path / "experiments")
    folder = experiments.run(
        "a1",
        beta=0.25,
        name="a name",
        iterations=30,
        started=10.0,
        interruptions=[
            {"continued": 20.0, "iterations": 12, "was": "stopped", "machine": "m2", "code": "snapshot"}
        ],
    )
    status = json.loads((folder / "status.json").read_text())
    status["metrics"]["Loss"]["best_at"] = 20
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT))
    (folder / "checkpoints.json").write_text(json.dumps(CHECKPOINTS))
    (folder / "git.diff").write_text("+" * 1500)
    for name in ("model.pt", "best.pt", "checkpoint_10.pt"):
        (folder / name).write_bytes(b"x" * 1000)
    for name, text in {
        "model": "class: VIB\nparams:\n  beta: 0.5\n  lr: 1e-5\n  note: $NOTE\n",
        "data": "",
    }.items():
        (folder / "yaml").mkdir(exist_ok=True)
        (folder / "yaml" / f"{name}.yml").write_text(text)
    (folder / "code" / "modules").mkdir(parents=True)
    (folder / "code" / "modules" / "net.py").write_text("x = 1\n")
    return folder


def test_everything_that_is_known_is_gathered(folder):
    found = about(FolderSource(folder))

    assert (found["run"]["id"], found["run"]["name"], found["run"]["state"]) == ("a1", "a name", "finished")
    assert (found["began"], found["seconds"], found["epochs"], found["iterations"]) == (
        "1970-01-01T00:00:10Z", 4.5, 3, 30,
    )  # fmt: skip
    assert found["command"]["text"] == "python train.py --model.params.beta 0.25 --note 'two words'"
    assert found["config"]["model.params.beta"] == 0.25
    assert found["changed"] == {"model.params.beta": 0.5}
    assert found["metrics"] == {"Loss": {"last": 2.0, "best": 1.0, "best_at": 20, "goal": "minimize"}}
    assert [(one["name"], one["iterations"], one["size"]) for one in found["checkpoints"]] == [
        ("checkpoint_10.pt", 10, 1000), ("best.pt", 20, 1000), ("model.pt", 30, 1000),
    ]  # fmt: skip
    assert found["files"]["checkpoints"] == {"count": 3, "size": 3000}
    assert found["files"]["code"] == {"count": 1, "size": 6}
    assert found["lineage"]["sweep"] == "me/p/s1"
    assert found["lineage"]["continued"][0]["iterations"] == 12
    assert (found["code"]["commit"], found["code"]["diff"], found["code"]["files"]) == ("c0ffee", 1500, 1)
    assert len(found["code"]["digest"]) == 64
    assert found["versions"] == {"python": "3.11.7", "torch": "2.6.0", "numpy": "2.0"}


def test_the_config_is_in_the_order_of_its_files_wherever_it_is_from(folder):
    class AnyOrder(FolderSource):
        def facts(self):
            found = super().facts()
            known = {
                "seed": 1,
                "epochs": 2,
                "model.params.lr": 1.0,
                "model.class": "VIB",
                "arch_impl": "a.py",
                "eval.Loss.class": "Loss",
                "model.params.new": 1,
            }
            return replace(found, params=known)

    found = about(AnyOrder(folder))

    model = ["model.class", "model.params.lr", "model.params.new"]
    assert list(found["config"]) == [*model, "eval.Loss.class", "arch_impl", "epochs", "seed"]


def test_the_text_has_what_a_person_wants_to_know(folder):
    lines = overview_text.text(about(FolderSource(folder)), now=3610.0).splitlines()

    assert lines[0] == "a name (a1)  finished"
    expected = [
        f"where    {folder}",
        "begun    1970-01-01T00:00:10Z, 60 min ago",
        "took     4 s",
        "trained  3 epochs, 30 iterations",
        "data     train (60000 items), test (of no known length)",
        "with     python 3.11.7, torch 2.6.0, numpy 2.0",
        "on       m1, Linux, A GPU, cuda:0",
        "  model.params.beta  0.25   instead of 0.5",
        "  model.params.note  a\\n$b",
        "  Loss     2     1  lowest, at iteration 20",
        "  begun from me/p/r0:best.pt, 7 iterations, encoder",
        "  trial of me/p/s1",
        "  continued at iteration 12 on m2; it had stopped before",
    ]
    assert [line for line in expected if line not in lines] == []
    assert any(
        line.startswith("code     commit c0ffee with 1.5 kB of changes, 1 file, 6 B") for line in lines
    )
    assert [line.split() for line in lines if "best.pt" in line][0][:5] == [
        "best.pt", "20", "iterations", "2", "epochs",
    ]  # fmt: skip


def test_json_is_strict(folder, capsys, monkeypatch):
    status = json.loads((folder / "status.json").read_text())
    status["metrics"]["Loss"]["best"] = math.nan
    (folder / "status.json").write_text(json.dumps(status))

    show.run(["experiments/a1", "--format", "json"])

    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["metrics"]["Loss"]["best"] is None


def test_each_file_is_named_with_its_size(folder, capsys):
    show.run([str(folder), "--files"])
    lines = capsys.readouterr().out.splitlines()
    show.run([str(folder), "--files", "--format", "json"])

    assert any(line.split() == ["1.5", "kB", "0", "s", "ago", "git.diff"] for line in lines)
    assert json.loads(capsys.readouterr().out)["code/modules/net.py"] == 6


def test_a_bare_folder_says_what_little_it_knows(tmp_path):
    folder = Experiments(tmp_path).run("a1")
    (folder / "metrics.jsonl").unlink()

    text = overview_text.text(about(FolderSource(folder)), now=time.time())

    assert text.splitlines()[0] == "a1  finished"
    assert "checkpoints" not in text
    assert "lineage" not in text


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"packages": 3, "command": "x", "sweep": 1, "init_from": []}']
)
def test_damaged_facts_leave_the_rest_to_be_shown(folder, content):
    (folder / "environment.json").write_text(content)
    (folder / "checkpoints.json").write_text("[]")
    (folder / "yaml" / "model.yml").write_text("a: [")

    lines = overview_text.text(about(FolderSource(folder)), now=0.0).splitlines()

    assert lines[0] == "a name (a1)  finished"
    assert "  model.params.beta  0.25" in lines


def test_nothing_of_a_run_reaches_the_terminal_as_an_order(folder):
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"name": "\x1b]0;owned\x07"}))
    (folder / "environment.json").write_text(
        json.dumps({"machine": "\x1b[2J", "init_from": {"run": "\x1b[1A"}})
    )

    text = overview_text.text(about(FolderSource(folder)), now=0.0)

    assert "\x1b" not in text
    assert "\\x1b]0;owned\\x07" in text


def test_an_unknown_run_names_those_that_there_are(folder, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("JADE_CACHE", str(folder.parent / "cache"))

    with pytest.raises(ConfigError, match="known: a1"):
        show.run(["a2"])


def test_a_run_whose_status_is_nonsense_is_shown_as_far_as_it_goes(folder, capsys):
    nonsense = {
        "status": ["finished"],
        "name": 3,
        "started": "soon",
        "updated": float("nan"),
        "runtime": {},
        "iterations": 1.5,
        "epochs": True,
        "metrics": {"Loss": [1], "Acc": {"last": "high", "best": 0.5}},
        "interruptions": [3, {"iterations": None}],
    }
    (folder / "status.json").write_text(json.dumps(nonsense))
    (folder / "checkpoints.json").write_text(
        '{"model.pt": {"iterations": "x", "time": "y", "epochs": [], "metric": 3, "value": {}}}'
    )

    show.run([str(folder)])
    runs.run([str(folder.parent), "--sort", "when"])

    assert capsys.readouterr().out.startswith("3 (a1)  ['finished']\n")


DEEP = "[" * 30_000
# Ten values, a hundred, a thousand, ...: as many as there are atoms in a person.
BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]\n" for number in range(1, 29)
)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("status.json", DEEP, "status.json of {folder} cannot be read: it is nested too deeply"),
        ("config.yml", f"a: {DEEP}", "config.yml of {folder} cannot be read: "),
        ("config.yml", "a: " + "- " * 30_000, "config.yml of {folder} cannot be read: "),
        ("config.yml", BOMB, "config.yml of {folder} cannot be read: its aliases stand for more than 1000000 values"),
        ("config.yml", "a: &a [*a]", "config.yml of {folder} cannot be read: maximum recursion depth exceeded"),
    ],
)  # fmt: skip
def test_a_file_that_would_end_the_process_is_an_error_and_the_other_runs_are_listed(
    folder, capsys, name, text, told
):
    shutil.copytree(folder, folder.parent / "evil")
    (folder.parent / "evil" / name).write_text(text)

    with pytest.raises(CheckpointError) as refused:
        show.run([str(folder.parent / "evil")])
    runs.run([str(folder.parent)])

    assert told.format(folder=folder.parent / "evil") in str(refused.value)
    shown = capsys.readouterr()
    assert "  a1   a name  finished" in shown.out
    assert "The run is left out" in shown.err


def test_a_file_that_is_nested_deeply_leaves_the_rest_to_be_shown(folder, capsys):
    for name in ("environment.json", "checkpoints.json", "pulled.json"):
        (folder / name).write_text(DEEP)
    (folder / "yaml").mkdir(exist_ok=True)
    (folder / "yaml" / "model.yml").write_text(BOMB)

    assert show.run([str(folder)]) == 0


def test_numbers_that_no_float_reaches_are_passed_over(folder, capsys):
    huge = 10**400
    known = json.loads((folder / "status.json").read_text())
    known |= {"epochs": huge, "iterations": huge, "metrics": {"Loss": {"last": huge, "best": huge}}}
    (folder / "status.json").write_text(json.dumps(known))

    show.run([str(folder)])
    runs.run([str(folder.parent)])

    assert "000000000" not in capsys.readouterr().out


def test_a_status_with_a_text_for_a_time_is_read_beside_where_the_run_was_fetched_from(folder):
    known = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**known, "status": "running", "updated": "soon"}))
    (folder / "pulled.json").write_text('{"pulled": 5.0, "is_foreign": true}')

    assert load(folder).state == "running"
