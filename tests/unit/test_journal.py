import json
import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from jade import journal
from jade.entries import Entry
from jade.journal import Journal
from jade.record import Record
from jade.tracking.local import LocalTracker


class Shown:
    """A progress that remembers what it was to show."""

    def __init__(self):
        self.values = []

    def show(self, values):
        self.values.append(dict(values))


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(journal, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def record(tmp_path):
    record = Record(tmp_path, "abc")
    record.create()
    return record


@pytest.fixture
def written(record, clock):
    return Journal(LocalTracker(record), record, Shown())


def status(record):
    return json.loads((record.directory / "status.json").read_text())


def test_one_log_reaches_folder_progress_summary_and_status(written, record):
    written.log([Entry("loss", "scalar", 2.0)], 10, 1)

    assert json.loads((record.directory / "metrics.jsonl").read_text())["metrics"] == {"loss": 2.0}
    assert written.progress.values == [{"loss": 2.0}]
    assert written.metrics.series["loss"].last_at == 10
    assert (status(record)["status"], status(record)["iterations"], status(record)["epochs"]) == (
        "running",
        10,
        1,
    )


def test_only_numbers_are_shown(written, record):
    written.log([Entry("note", "text", "x"), Entry("loss", "scalar", 2.0)], 10, 1)

    assert written.progress.values == [{"loss": 2.0}]
    assert list(written.metrics.series) == ["loss"]
    assert (record.directory / "media/note/10.txt").is_file()


def test_the_status_is_written_at_most_once_a_second(written, record, clock):
    written.at(1, 0)
    clock.now += 0.9
    written.at(2, 0)
    early = status(record)["iterations"]
    clock.now += 0.1
    written.at(3, 0)

    assert (early, status(record)["iterations"]) == (1, 3)


def test_a_status_that_is_asked_for_is_written_at_once(written, record):
    written.at(1, 0)
    written.status("finished", 2, 1)

    assert (status(record)["status"], status(record)["iterations"]) == ("finished", 2)


def test_the_status_holds_the_last_and_the_best_value_of_each_metric(written, record):
    for iteration, value in ((1, 0.5), (2, 0.9), (3, 0.7)):
        written.log([Entry("TestAccuracy", "scalar", value)], iteration, 0)

    written.status("finished", 3, 1)

    assert status(record)["metrics"] == {
        "TestAccuracy": {"last": 0.7, "best": 0.9, "best_at": 2, "mode": "max"}
    }


def test_a_file_to_keep_is_handed_to_the_tracker(record):
    kept = []
    tracker = SimpleNamespace(keep=kept.append)

    Journal(tracker, record, Shown()).keep(record.directory / "model.pt")

    assert kept == [record.directory / "model.pt"]


def test_the_rows_until_then_go_to_the_tracker_with_each_file(record):
    kept = []
    tracker = SimpleNamespace(keep=kept.append)
    record.log([Entry("loss", "scalar", 1.0)], 1, 0)

    Journal(tracker, record, Shown()).keep(record.directory / "model.pt")

    assert kept == [record.directory / "model.pt", record.directory / "metrics.jsonl"]


def test_a_file_that_was_deleted_is_told_to_the_tracker(record):
    dropped = []
    tracker = SimpleNamespace(drop=dropped.append)

    Journal(tracker, record, Shown()).drop(record.directory / "checkpoint_1.pt")

    assert dropped == [record.directory / "checkpoint_1.pt"]


class Following(LocalTracker):
    """A tracker that remembers which values were shown as the best."""

    def __init__(self, record):
        super().__init__(record)
        self.shown = []

    def best(self, values):
        self.shown.append(dict(values))


def test_the_tracker_hears_of_each_value_that_is_the_best_so_far(record, clock):
    tracker = Following(record)
    journal = Journal(tracker, record, Shown())

    for iteration, accuracy, loss in ((1, 0.5, 3.0), (2, 0.9, 3.5), (3, 0.7, 3.0), (4, 0.8, 2.0)):
        entries = [Entry("TestAccuracy", "scalar", accuracy), Entry("loss", "scalar", loss)]
        journal.log([*entries, Entry("note", "text", "1.0")], iteration, 0)

    assert tracker.shown == [{"TestAccuracy": 0.5, "loss": 3.0}, {"TestAccuracy": 0.9}, {"loss": 2.0}]


def test_what_is_not_finite_is_never_shown_as_the_best(record, clock):
    tracker = Following(record)
    journal = Journal(tracker, record, Shown())

    for iteration, value in enumerate((math.nan, math.inf, 2.0, math.nan, -math.inf)):
        journal.log([Entry("loss", "scalar", value)], iteration, 0)

    assert tracker.shown == [{"loss": 2.0}]


def test_a_metric_of_that_name_is_left_to_the_user(record, clock):
    tracker = Following(record)
    journal = Journal(tracker, record, Shown())

    for iteration in range(2):
        journal.log([Entry("a/best", "scalar", 7.0), Entry("a", "scalar", -iteration)], iteration, 0)

    assert tracker.shown == [{"a/best": 7.0}]


# A run that goes on


def test_the_state_is_how_many_rows_there_are_how_long_it_took_and_the_metrics(written, record, clock):
    clock.now += 1.0
    written.log([Entry("loss", "scalar", 2.0)], 10, 1)
    written.log([Entry("loss", "scalar", 3.0)], 20, 1)

    state = written.state()

    assert state["rows"] == 2
    assert 0 <= state["runtime"] < 60
    assert state["metrics"] == {
        "loss": {"last": 3.0, "last_at": 20, "best": 2.0, "best_at": 10, "more_is_better": False}
    }


def test_the_rows_are_on_disk_before_a_checkpoint_counts_them(written, monkeypatch, record, clock):
    clock.now += 1.0
    written.log([Entry("loss", "scalar", 2.0)], 10, 1)
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(Path(f"/proc/self/fd/{number}").readlink()))

    written.state()

    assert synced == [record.directory / "metrics.jsonl"]


def test_best_values_survive(written, record, clock):
    clock.now += 1.0
    written.log([Entry("TestAccuracy", "scalar", 0.9)], 10, 1)
    state = written.state()
    after = Journal(LocalTracker(record), record, Shown())

    after.continue_from(state, 10)
    clock.now += 1.0
    after.log([Entry("TestAccuracy", "scalar", 0.5)], 20, 2)
    after.status("finished", 20, 2)

    assert status(record)["metrics"] == {
        "TestAccuracy": {"last": 0.5, "best": 0.9, "best_at": 10, "mode": "max"}
    }


def test_the_tracker_of_a_run_that_goes_on_hears_of_the_best_values_again(written, record, clock):
    written.log([Entry("TestAccuracy", "scalar", 0.9), Entry("nan", "scalar", math.nan)], 10, 1)
    state = written.state()
    tracker = Following(record)
    after = Journal(tracker, record, Shown())

    after.continue_from(state, 10)
    after.log([Entry("TestAccuracy", "scalar", 0.5)], 20, 2)

    assert tracker.shown == [{"TestAccuracy": 0.9}]


def test_the_throughput_is_that_of_the_present_process(written, record, clock):
    clock.now += 10.0
    written.status("running", 100, 1)
    first = status(record)["iterations_per_second"]

    written.continue_from(written.state(), 100)
    clock.now += 10.0
    written.status("running", 300, 2)

    assert (first, status(record)["iterations_per_second"]) == (10.0, 20.0)


def test_a_status_at_the_very_moment_of_the_start_knows_no_throughput_yet(written, record):
    written.status("running", 1, 0)

    assert "iterations_per_second" not in status(record)
