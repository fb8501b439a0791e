"""Checkpoints as versions of a model: the installed client logs, names and deletes them on JADE's server."""

import json
import sys

import pytest

from tests.integration import torture
from tests.server.test_sweeps_of_jade import COMMAND, folders

# A trial that ends: its folder is made, and its best state published, as a process of JADE's does it.
TRIAL = """
import json, logging, os, sys
import wandb
from pathlib import Path
from jade.record import Record
from jade.tracking.base import Version
from jade.tracking.wandb_run import WandbTracker
PROJECT = os.environ["WANDB_PROJECT"]
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="said %(message)s")
def shown(value): print("shown", json.dumps(value))
def begun(run_id):
    record = Record(Path("experiments"), run_id)
    record.create()
    tracker = WandbTracker(record, os.environ)
    tracker.start({})
    return tracker
def version(tracker, name, **how):
    path = tracker.directory / name
    path.write_text(f"{tracker.run_id} {how}")
    said = {"file": name, "class": "Net", **how.pop("metadata", {})}
    return Version(how.pop("model", "model-s1"), path, metadata=said, is_last=True, **how)
def ended(run_id, value, kept=3, mode="min"):
    tracker = begun(run_id)
    said = {"metric": "Loss", "mode": mode, "value": value, "iterations": 5}
    tracker.publish(version(tracker, "best.pt", metadata=said, is_best=True, competes=True, kept=kept))
    tracker.finish("finished", 0)
def there(model="model-s1"):
    found = wandb.Api().artifacts("model", f"{PROJECT}/{model}")
    return sorted([one.metadata["run"].rpartition("/")[2], sorted(one.aliases)] for one in found)
"""


@pytest.fixture
def python(client):
    """Run code after `TRIAL`; give the values that it has shown, and what was told."""

    def run(code, **environ):
        text = client.python(TRIAL + code, **environ)
        lines = text.splitlines()
        told = [line.removeprefix("said ") for line in lines if line.startswith("said ")]
        return [json.loads(line[6:]) for line in lines if line.startswith("shown ")], told

    return run


def test_of_a_sweeps_trials_the_best_versions_stay_and_the_best_of_them_is_called_so(python):
    values, told = python("""
for run_id, value in (("a", 5.0), ("b", 3.0), ("c", 4.0)): ended(run_id, value)
shown(there())
ended("d", 9.0)
ended("e", 1.0)
shown(there())
ended("f", 2.0)
shown(there())
ended("g", 0.5, mode="max")  # of another aim: it is compared with none of them
shown(there())
""")

    assert values[0] == [["a", []], ["b", ["best"]], ["c", ["latest"]]]
    assert values[1] == [["b", []], ["c", []], ["e", ["best", "latest"]]]
    assert values[2] == [["b", []], ["e", ["best"]], ["f", ["latest"]]]
    assert [run for run, _ in values[3]] == ["b", "e", "f", "g"]
    made = [line.rpartition("/")[2] for line in told if line.startswith("best.pt is the version ")]
    assert made == [f"model-s1:v{number} of a model." for number in range(6)]
    assert [line for line in told if line.startswith("The best state")] == [
        "The best state of this run is not among the 3 best of model-s1: it is no version of it."
    ]
    assert len(told) == 7


def test_a_version_that_a_person_has_named_stays_whatever_its_value_is(python):
    values, told = python("""
ended("a", 5.0)
mine = wandb.Api().artifact(f"{PROJECT}/model-s1:v0")
mine.aliases = [*mine.aliases, "paper"]
mine.save()
for run_id, value in (("b", 4.0), ("c", 3.0), ("d", 2.0)): ended(run_id, value, kept=2)
shown(there())
""")

    assert values == [[["a", ["paper"]], ["c", []], ["d", ["best", "latest"]]]]
    assert len(told) == 4


def test_trials_that_end_at_once_come_to_the_same_end(client):
    code = "ended(sys.argv[1], float(sys.argv[2]), kept=2)"
    known = {"WANDB_SILENT": "true"}
    started = [
        client.start(sys.executable, "-c", TRIAL + code, f"r{value}", value, **known) for value in range(6)
    ]
    for process in started:
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text
        assert "is no version" not in text.replace("it is no version of it", "")

    text = client.python(TRIAL + "shown([[run, 'best' in aliases] for run, aliases in there()])")

    assert json.loads(text.strip().removeprefix("shown ")) == [["r0", True], ["r1", False]]


def test_a_version_that_another_trial_deletes_before_it_was_waited_for_is_told_as_surplus(python):
    values, told = python(
        """
import subprocess
waited = wandb.Artifact.wait
def overtaken(self, *arguments, **more):
    waited(self, *arguments, **more)
    wandb.Artifact.wait = waited
    subprocess.run([sys.executable, "-c", os.environ["TRIAL"] + "ended('a', 1.0, kept=1)"], check=True)
    raise ValueError("Unable to fetch artifact")  # as the client says then
wandb.Artifact.wait = overtaken
ended("b", 5.0, kept=1)
shown(there())
""",
        TRIAL=TRIAL,
    )

    assert values == [[["a", ["best", "latest"]]]]
    overtaking, surplus = told
    assert overtaking.endswith("/model-s1:v1 of a model.")
    assert (
        surplus == "The best state of this run is not among the 1 best of model-s1: it is no version of it."
    )


def test_a_run_that_publishes_its_best_state_again_replaces_its_version(python):
    values, _ = python("""
ended("a", 5.0)
import shutil; shutil.rmtree("experiments/a")
ended("a", 4.0)
shown([there(), wandb.Api().artifact(f"{PROJECT}/model-s1:best").metadata["value"]])
""")

    assert values == [[[["a", ["best", "latest"]]], 4.0]]


def test_of_one_runs_checkpoints_as_many_versions_stay_as_files(python):
    values, _ = python("""
tracker = begun("a")
def numbered(at):
    said = {"iterations": at}
    tracker.publish(version(tracker, f"checkpoint_{at}.pt", model="model-a", metadata=said, kept=2))
for at in (5, 10, 20): numbered(at)
tracker.publish(version(tracker, "best.pt", model="model-a", metadata={"value": 1.0}, kept=2, is_best=True))
numbered(40)
tracker.finish("finished", 0)
found = wandb.Api().artifacts("model", f"{PROJECT}/model-a")
shown(sorted([one.metadata["file"], sorted(one.aliases)] for one in found))
""")

    assert values == [[["best.pt", ["best"]], ["checkpoint_20.pt", []], ["checkpoint_40.pt", ["latest"]]]]


def test_a_server_that_refuses_is_told_and_the_run_ends_well(python):
    values, told = python("""
tracker = begun("a")
tracker.publish(version(tracker, "best.pt", model="no/name", competes=True, is_best=True))
tracker.finish("finished", 0)
shown(wandb.Api().run(f"{PROJECT}/a").state)
""")

    assert values == ["finished"]
    assert len(told) == 1
    assert told[0].startswith("best.pt is no version of no/name on W&B: ")


def test_offline_a_version_comes_with_the_sync_and_a_line_says_that_none_is_deleted(client, python):
    _, told = python("ended('a', 5.0)", WANDB_MODE="offline", WANDB_ENTITY="local")
    assert told == [
        "Offline no version of model-s1 is deleted: `wandb sync` uploads each that was logged so."
    ]

    (folder,) = (client.folder / "experiments" / "a" / "wandb").glob("offline-run-*")
    code, text = client.run("wandb", "sync", folder)
    values, _ = python("shown(there())")

    assert code == 0, text
    assert values == [[["a", ["latest"]]]]


def test_a_whole_run_publishes_what_is_needed_to_open_it(client, tmp_path):
    client.folder = torture.PROJECT
    client._environ["EXPERIMENTS_ROOT"] = str(tmp_path / "experiments")
    client._environ["WANDB_DIR"] = str(tmp_path)
    more = ["--best-metric=Accuracy", "--artifacts=all", "--checkpoint-every=10", "--keep-checkpoints=2"]

    code, text = client.run(sys.executable, *COMMAND[2:], *more)
    (folder,) = folders(client)
    shown = client.python(
        """
import json, os, wandb
from pathlib import Path
name = f"{os.environ['WANDB_PROJECT']}/model-{os.environ['RUN']}"
found = {one.metadata["file"]: one for one in wandb.Api().artifacts("model", name)}
best = wandb.Api().artifact(f"{name}:best")
folder = Path(best.download(os.environ["DOWN"]))
print(json.dumps([
    {file: sorted(one.aliases) for file, one in found.items()}, best.metadata, best.logged_by().id,
    sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()),
]))
""",
        RUN=folder.name,
        DOWN=tmp_path / "down",
    )

    assert code == 0, text
    aliases, metadata, logged_by, names = json.loads(shown.strip().splitlines()[-1])
    assert aliases == {
        "best.pt": ["best"],
        "checkpoint_360.pt": [],
        "checkpoint_480.pt": [],
        "model.pt": ["latest"],
    }
    assert logged_by == folder.name
    listed = json.loads((folder / "checkpoints.json").read_text())["best.pt"]
    assert metadata == {
        "run": f"local/{client.project}/{folder.name}",
        "jade": metadata["jade"],
        "class": "PointTrainer",
        "file": "best.pt",
        **{key: listed[key] for key in ("iterations", "epochs", "metric", "mode", "value")},
    }
    assert [name for name in names if name.endswith(".pt")] == ["best.pt"]
    assert f"model.pt is the version local/{client.project}/model-{folder.name}:v" in text
    assert {"config.yml", "environment.json", "checkpoints.json", "yaml/model.yml"} <= set(names)
    assert any(name.startswith("code/modules/") for name in names)
    assert (tmp_path / "down" / "best.pt").read_bytes() == (folder / "best.pt").read_bytes()
