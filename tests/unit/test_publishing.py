"""Which checkpoints become versions, by what `--artifacts` says."""

import json
from types import SimpleNamespace

import pytest

from jade import __version__
from jade.publishing import Publishing
from jade.record import Record
from jade.schedule import schedule_of
from jade.tracking.local import LocalTracker

SWEEP = {"path": "e/p/s1"}


class Told(LocalTracker):
    """A tracker that remembers the versions."""

    def __init__(self, record):
        super().__init__(record)
        self.versions = []

    def publish(self, version):
        self.versions.append(version)


@pytest.fixture
def run(tmp_path):
    """Keep three files, as a run does, and end it; give the versions."""
    record = Record(tmp_path, "abc")
    record.create()
    (record.directory / "config.yml").write_text("{}")
    facts = {"iterations": 4, "epochs": 1, "time": 1.0, "metric": "Loss", "mode": "min", "value": 0.5}
    (record.directory / "checkpoints.json").write_text(json.dumps({"best.pt": facts}))

    def start(*, sweep=(), files=("checkpoint_4.pt", "best.pt", "model.pt"), **given):
        tracker, config = Told(record), SimpleNamespace(values={"model": {"class": "Net"}})
        publishing = Publishing(tracker, record, schedule_of(given), config, dict(sweep))
        for name in files:
            (record.directory / name).touch()
            publishing.keep(record.directory / name)
        publishing.end()
        return tracker.versions

    return start


def test_without_the_flag_there_are_no_versions(run):
    assert run() == run(artifacts="none") == []


def test_all_are_those_that_are_kept_then_the_best_then_the_last_state(run):
    found = run(artifacts="all", keep_checkpoints="2", sweep=SWEEP)

    told = [
        (one.checkpoint.name, one.model, one.is_best, one.is_last, one.competes, one.kept) for one in found
    ]
    assert told == [
        ("checkpoint_4.pt", "model-abc", False, False, False, 2),
        ("best.pt", "model-abc", True, True, False, 2),
        ("model.pt", "model-abc", False, True, False, 2),
    ]


@pytest.mark.parametrize(
    ("sweep", "given", "model", "kept"),
    [
        ((), {}, "model-abc", 3),
        (SWEEP, {}, "model-s1", 3),
        (SWEEP, {"keep_artifacts": "7"}, "model-s1", 7),
        (SWEEP, {"keep_artifacts": "all"}, "model-s1", None),
    ],
)
def test_the_best_state_is_one_version_which_competes_in_its_sweep(run, sweep, given, model, kept):
    (found,) = run(artifacts="best", sweep=sweep, **given)

    assert (found.checkpoint.name, found.model, found.kept, found.competes) == ("best.pt", model, kept, True)
    assert [path.name for path in found.files] == ["config.yml"]
    assert found.metadata == {
        "jade": __version__,
        "class": "Net",
        "file": "best.pt",
        "iterations": 4,
        "epochs": 1,
        "metric": "Loss",
        "mode": "min",
        "value": 0.5,
    }


def test_a_run_that_has_no_best_state_says_so(run, caplog):
    assert run(artifacts="best", files=["model.pt"]) == []

    assert caplog.messages == ["--artifacts best: no metric has chosen a best state, so there is no version."]
