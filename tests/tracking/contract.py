"""What every tracker must do: a class of tests, run against each implementation by a subclass of it."""

import json
import math

import numpy as np
import pytest
from matplotlib.figure import Figure

from jade.entries import Entry
from jade.record import Record

FLAT = {
    "model.class": "VAE",
    "model.params.beta": 1e-4,
    "model.params.z_dim": 64,
    "model.params.layers": [1024, 256],
    "model.params.ragged": [[1], [2.5, "x"]],
    "model.params.name": None,
    "model.params.flag": True,
    "model.params.empty": {},
    "model.params.none": [],
    "model.params.text": "a $HOME 'quote' ä",
    "seed": 42,
}


def picture():
    figure = Figure(figsize=(1.0, 1.0))
    figure.subplots().plot([1, 2])
    return figure


ENTRIES = {
    "scalar": Entry("Test/Accuracy (%)", "scalar", 0.5),
    "figure": Entry("a figure", "figure", picture()),
    "images": Entry("images", "images", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint8)]),
    "histogram": Entry("histogram", "histogram", np.array([0.0, 1.0, np.nan, np.inf])),
    "table": Entry("table", "table", (["name", "n"], [["a", 1], ["b", None], [None, 2.5]])),
    "text": Entry("text", "text", "two\nlines"),
}

ODD_ENTRIES = {
    "images of several sizes": Entry(
        "a/b c", "images", [np.zeros((2, 3), np.uint8), np.zeros((5, 4, 4), np.uint8)]
    ),
    "a table of mixed cells": Entry("x", "table", (["cell"], [["a"], [1], [2.5], [True], [None]])),
    "a table without rows": Entry("x", "table", (["a", "b"], [])),
    "a histogram of nothing finite": Entry("x", "histogram", np.array([np.nan, np.inf])),
    "a histogram of whole numbers": Entry("x", "histogram", np.array([1, 2, 2])),
    "a histogram of booleans": Entry("x", "histogram", np.array([True, False])),
    "an empty text": Entry("x", "text", ""),
}


class TrackerContract:
    """Tests of the `Tracker` protocol.

    A subclass gives the fixture `make`: a function that returns the tracker of a record whose folder there
    is, not yet started.
    """

    @pytest.fixture
    def tracker(self, make, record):
        return make(record)

    @pytest.fixture
    def record(self, tmp_path):
        record = Record(tmp_path / "it's my [experiments] 100%")
        record.create()
        return record

    @pytest.fixture
    def started(self, tracker):
        tracker.start(FLAT)
        yield tracker
        tracker.finish("finished", 0)

    def rows(self, tracker):
        lines = (tracker.directory / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def test_the_run_id_names_the_folder(self, tracker, record):
        assert (tracker.run_id, tracker.directory) == (record.run_id, record.directory)
        assert tracker.directory.name == tracker.run_id

    def test_without_a_sweep_params_come_back_as_they_were(self, tracker):
        assert not tracker.changes_params

        effective = tracker.start(FLAT)
        tracker.finish("finished", 0)

        assert effective == FLAT
        assert {name: type(value) for name, value in effective.items()} == {
            name: type(value) for name, value in FLAT.items()
        }

    def test_starting_changes_nothing_that_it_was_given(self, tracker):
        flat = dict(FLAT)

        effective = tracker.start(flat)
        effective["seed"] = 1
        tracker.finish("finished", 0)

        assert flat == FLAT

    def test_a_row_is_on_disk_when_log_returns(self, started):
        started.log([Entry("loss", "scalar", 1.0)], 10, 1)

        (row,) = self.rows(started)
        assert (row["iterations"], row["epochs"], row["metrics"]) == (10, 1, {"loss": 1.0})

    def test_what_cannot_be_shown_of_the_artifacts_a_run_uses_ends_no_run(self, tracker):
        tracker.uses("me/digits/model-x1:best")
        tracker.start(FLAT)

        tracker.uses("me/digits/model-x1:best")
        tracker.log([Entry("loss", "scalar", 1.0)], 10, 1)
        tracker.finish("finished", 0)

        assert len(self.rows(tracker)) == 1

    @pytest.mark.parametrize("kind", ENTRIES)
    def test_every_kind_of_entry_is_logged(self, started, kind):
        entry = ENTRIES[kind]

        started.log([entry, Entry("loss", "scalar", 1.0)], 10, 1)

        (row,) = self.rows(started)
        assert entry.name in {**row["metrics"], **row.get("files", {})}
        assert all((started.directory / path).stat().st_size for path in row.get("files", {}).values())

    @pytest.mark.parametrize("odd", ODD_ENTRIES)
    def test_odd_entries_are_logged_too(self, started, odd):
        started.log([ODD_ENTRIES[odd]], 10, 1)

        assert len(self.rows(started)) == 1

    def test_an_earlier_iteration_may_be_logged_again(self, started):
        for iterations in (10, 20, 10, 15):
            started.log([Entry("loss", "scalar", 1.0)], iterations, 1)

        assert [row["iterations"] for row in self.rows(started)] == [10, 20, 10, 15]

    def test_values_that_are_not_finite_are_logged(self, started):
        started.log([Entry("a", "scalar", math.nan), Entry("b", "scalar", -math.inf)], 1, 0)

        (row,) = self.rows(started)
        assert math.isnan(row["metrics"]["a"])
        assert row["metrics"]["b"] == -math.inf

    def test_rows_are_numbered(self, started):
        for iterations in (10, 20, 10):
            started.log([Entry("loss", "scalar", 1.0)], iterations, 1)

        assert [row["row"] for row in self.rows(started)] == [0, 1, 2]

    def test_the_best_values_and_the_params_as_they_are_used_are_no_rows(self, started):
        started.describe({**FLAT, "model.params.z_dim": 32})
        started.log([Entry("loss", "scalar", 1.0)], 10, 1)
        started.best({"loss": 1.0, "a.b/c": 2.0})
        started.best({})

        assert [row["metrics"] for row in self.rows(started)] == [{"loss": 1.0}]

    def test_a_run_that_was_never_started_or_is_closed_may_be_told_more_of_it(self, tracker):
        tracker.describe(FLAT)
        tracker.best({"loss": 1.0})
        tracker.tell("why")
        tracker.start(FLAT)
        tracker.tell("two\nlines")
        tracker.finish("finished", 0)
        tracker.describe(FLAT)
        tracker.best({"loss": 1.0})
        tracker.tell("why")

    def test_a_log_without_entries_is_fine(self, started):
        started.log([], 1, 0)

        assert [row["metrics"] for row in self.rows(started)] == [{}]

    @pytest.mark.parametrize("name", ["model.pt", "yaml/model [1].yml", "code/my file.py", "code/*.txt"])
    def test_a_file_that_is_kept_stays_as_it_is(self, started, name):
        path = started.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("first")

        started.keep(path)
        path.write_text("second")
        started.keep(path)

        assert path.read_text() == "second"
        assert not path.is_symlink()

    def test_a_file_that_was_replaced_is_kept_again(self, started):
        path = started.directory / "model.pt"
        for content in ("first", "second", "third"):
            new = path.with_name("new")
            new.write_text(content)
            new.replace(path)
            started.keep(path)

        assert path.read_text() == "third"

    def test_a_file_that_was_deleted_can_be_dropped_kept_before_or_not(self, started):
        path = started.directory / "checkpoint_1.pt"
        path.write_text("content")
        started.keep(path)
        path.unlink()

        started.drop(path)
        started.drop(started.directory / "checkpoint_2.pt")

        assert not path.exists()

    def test_without_a_server_nobody_has_stopped_the_run(self, started):
        assert started.was_stopped() is False

    def test_a_run_that_was_never_started_or_is_closed_was_stopped_by_nobody(self, tracker):
        before = tracker.was_stopped()
        tracker.start(FLAT)
        tracker.finish("finished", 0)

        assert (before, tracker.was_stopped()) == (False, False)

    def test_a_run_may_be_marked_as_preempting_at_any_time(self, tracker):
        tracker.mark_preempting()
        tracker.start(FLAT)
        tracker.mark_preempting()
        tracker.finish("stopped", 143)
        tracker.mark_preempting()

    # A run that goes on

    @pytest.fixture
    def gone_on(self, tracker, record, make):
        """A run that logged a row of every kind, was stopped, and goes on after all but the last of them."""
        tracker.start(FLAT)
        for number, entry in enumerate(ENTRIES.values()):
            tracker.log([entry, Entry("loss", "scalar", number)], 10 * number, number)
        tracker.log([Entry("loss", "scalar", 99.0)], 99, 9)
        tracker.finish("stopped", 143)
        after = Record(record.directory.parent, record.run_id)
        rows = after.continue_from(len(ENTRIES), 1000.0)
        found = make(after)
        found.flat = found.start(FLAT, rows)
        yield found
        found.finish("finished", 0)

    def test_a_run_that_goes_on_is_the_same_run_with_the_same_params(self, gone_on, record):
        assert (gone_on.run_id, gone_on.directory) == (record.run_id, record.directory)
        assert gone_on.flat == FLAT

    def test_a_run_that_goes_on_logs_after_the_rows_it_has(self, gone_on):
        gone_on.log([Entry("loss", "scalar", 7.0)], 70, 7)

        rows = self.rows(gone_on)
        assert [row["row"] for row in rows] == list(range(len(ENTRIES) + 1))
        assert [row["metrics"]["loss"] for row in rows if "loss" in row["metrics"]] == [
            *range(len(ENTRIES)),
            7.0,
        ]

    def test_going_on_changes_nothing_on_disk(self, tracker, record, make):
        tracker.start(FLAT)
        for entry in ENTRIES.values():
            tracker.log([entry], 10, 1)
        tracker.finish("stopped", 143)
        before = self.rows(tracker)
        after = Record(record.directory.parent, record.run_id)

        found = make(after)
        found.start(FLAT, after.continue_from(len(ENTRIES), 0.0))
        found.finish("finished", 0)

        assert self.rows(found) == before
        for row in before:
            assert all((record.directory / path).stat().st_size for path in row.get("files", {}).values())

    def test_a_run_whose_pictures_somebody_deleted_goes_on(self, tracker, record, make):
        tracker.start(FLAT)
        for entry in ENTRIES.values():
            tracker.log([entry], 10, 1)
        tracker.finish("stopped", 143)
        for path in sorted((record.directory / "media").rglob("*.*")):
            path.unlink()
        after = Record(record.directory.parent, record.run_id)

        found = make(after)
        found.start(FLAT, after.continue_from(len(ENTRIES), 0.0))
        found.log([Entry("loss", "scalar", 7.0)], 70, 7)
        found.finish("finished", 0)

        assert self.rows(found)[-1]["row"] == len(ENTRIES)

    @pytest.mark.parametrize("odd", ODD_ENTRIES)
    def test_a_run_that_logged_odd_entries_goes_on(self, tracker, record, make, odd):
        tracker.start(FLAT)
        tracker.log([ODD_ENTRIES[odd]], 10, 1)
        tracker.finish("stopped", 143)
        after = Record(record.directory.parent, record.run_id)

        found = make(after)
        found.start(FLAT, after.continue_from(1, 0.0))
        found.finish("finished", 0)

        assert len(self.rows(found)) == 1

    def test_a_run_that_had_logged_nothing_goes_on(self, tracker, record, make):
        tracker.start(FLAT)
        tracker.finish("stopped", 143)

        found = make(record)
        flat = found.start(FLAT, [])
        found.log([Entry("loss", "scalar", 7.0)], 70, 7)
        found.finish("finished", 0)

        assert flat == FLAT
        assert [row["row"] for row in self.rows(found)] == [0]

    @pytest.mark.parametrize(("status", "code"), [("finished", 0), ("stopped", 143), ("failed", 1)])
    def test_a_run_is_closed_once_however_often_it_is_told(self, tracker, status, code):
        tracker.start(FLAT)

        tracker.finish(status, code)
        tracker.finish(status, code)

        assert tracker.directory.is_dir()

    def test_a_run_that_was_never_started_may_be_closed(self, tracker):
        tracker.finish("failed", 1)

    def test_the_way_to_the_run_is_one_line_or_nothing_and_outlives_it(self, tracker):
        tracker.start(FLAT)
        before = tracker.way_to_it()
        tracker.finish("finished", 0)

        assert tracker.way_to_it() == before
        assert before is None or (before and "\n" not in before)
