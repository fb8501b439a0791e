"""A stored run made again: the same bits, from its own code, or what is other and why."""

import json
import logging
import shutil
import sys

import pytest

from jade import checkpoint
from jade.commands import rerun
from jade.errors import ConfigError, TrustError
from jade.stored import bitwise
from jade.stored.source import FolderSource
from tests.conftest import REPOSITORY

NOISY = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, hidden):
        super().__init__(nn.Linear(1, hidden), nn.Dropout(0.5), nn.Tanh(), nn.Linear(hidden, 1))
"""


@pytest.fixture
def again(project, elsewhere, caplog, monkeypatch):
    """Make a run again from an empty folder; give the new run's folder and what was told at the end."""

    def made(folder, *arguments):
        elsewhere(folder)
        monkeypatch.setenv("EXPERIMENTS_ROOT", str(folder.parent))
        before = set(folder.parent.iterdir())
        with caplog.at_level(logging.INFO):
            assert rerun.run([str(folder), "--tracker", "local", "--device", "cpu", *arguments]) == 0
        (new,) = set(folder.parent.iterdir()) - before
        return new, caplog.messages[-1]

    return made


def test_a_run_made_again_in_another_process_is_the_same_bit_for_bit_though_its_code_has_changed(
    project, command, tmp_path
):
    project.write(**{"modules/nets.py": NOISY})
    files = [f"--{name}_conf={name}.yml" for name in ("model", "data", "eval")]
    more = ["--arch_impl", "modules/nets.py", "--tracker", "local", "--deterministic", "--epochs", "3"]
    environ = {
        "POINTS_ROOT": str(project.data),
        "PYTHONPATH": str(REPOSITORY),
        "EXPERIMENTS_ROOT": str(tmp_path),
    }
    jade = (sys.executable, "-m", "jade")
    trained = command(*jade, "train", *files, *more, "--run_id", "first", folder=project.folder, **environ)
    assert trained.returncode == 0, trained.stderr
    project.write(**{"modules/scaling.py": "FACTOR = 100.0\n", "modules/models/line.py": "broken"})

    done = command(*jade, "rerun", "first", "--tracker", "local", folder=tmp_path, **environ)

    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith("The same as first, bit for bit: 9 rows of metrics, and the weights.\n")
    assert "What differs" not in done.stderr
    (new,) = [path.parent for path in tmp_path.glob("*/config.yml") if path.parent.name != "first"]
    states = [checkpoint.read(tmp_path / name / "model.pt")["attributes"] for name in ("first", new.name)]
    assert bitwise.is_same(*states)
    facts = json.loads((new / "environment.json").read_text())
    assert facts["rerun_of"] == {"run": "first", "id": "first"}
    assert (new / "config.yml").read_text() == (tmp_path / "first" / "config.yml").read_text()
    assert (new / "code/modules/scaling.py").read_text() == "FACTOR = 1.0\n"


def test_a_value_that_is_changed_is_used_and_what_came_of_it_is_told(project, again):
    folder = project.train("run")

    new, told = again(folder, "model.params.lr=0.2")

    assert told.startswith(
        f"Not the same as {folder}, bit for bit. Its configuration is another one. What differs (then, and now):\n"
        "  Error at iteration 3 (row 2): "
    )
    assert told.endswith("\n  weights and state: net, opt")
    assert "lr: 0.2" in (new / "config.yml").read_text()


def test_what_differs_in_the_environment_is_told_before(project, again, caplog):
    folder = project.train("run")
    facts = json.loads((folder / "environment.json").read_text())
    facts |= {"python": "3.8.0", "packages": {**facts["packages"], "torch": "1.0"}, "torch_threads": 1}
    (folder / "environment.json").write_text(json.dumps(facts))

    new, _ = again(folder)

    line = next(message for message in caplog.messages if message.startswith("What differs from when"))
    assert "torch 1.0 then, " in line
    assert "Python 3.8.0 then, " in line
    assert json.loads((new / "environment.json").read_text())["torch_threads"] == 1


def test_a_file_of_ones_own_cannot_be_given(project):
    with pytest.raises(ConfigError, match="--model_conf cannot be given with rerun RUN: the run has its own"):
        rerun.run(["x", "--model_conf", "model.yml"])


def test_code_that_is_not_trusted_is_not_run_again(project, again):
    folder = project.train("run")
    (folder / "pulled.json").write_text('{"owner": "mallory", "is_foreign": true}')

    with pytest.raises(TrustError):
        again(folder)

    assert {path.name for path in folder.parent.iterdir()} == {"run"}
    assert again(folder, "--trust-code")[1].startswith("The same as")


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_run_that_began_with_weights_that_are_gone_begins_with_those_that_it_kept(
    project, again, caplog, is_gone
):
    first = project.train("first", "--seed", "7")
    folder = project.train("run", "--init-from", "first")
    if is_gone:
        shutil.rmtree(first)

    new, told = again(folder)

    assert told.startswith("The same as")
    facts = [json.loads((each / "environment.json").read_text())["init_from"] for each in (folder, new)]
    assert facts[0] == facts[1]
    assert (new / "init.pt").is_file()
    line = f"Those of then are taken, from {folder / 'init.pt'}."
    assert any(line in message for message in caplog.messages) is is_gone


def test_rows_and_weights_are_compared_bit_by_bit(project):
    one, other = project.train("one"), project.train("other")
    assert bitwise.differences(FolderSource(one), FolderSource(other)) == []
    rows = (other / "metrics.jsonl").read_text().splitlines()

    (other / "metrics.jsonl").write_text("\n".join(rows[:-1]) + "\n")

    assert bitwise.differences(FolderSource(one), FolderSource(other)) == [
        f"rows that were logged: {len(rows)}, and {len(rows) - 1}"
    ]
