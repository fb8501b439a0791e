"""The logged rows of a run: between two steps, sampled, of some keys."""

import json
import math
from contextlib import closing

import pytest

from jade.server import history, runs, streams
from jade.server.runs import HISTORY, RefusedError
from jade.server.store import Store


class Logged:
    """One run with rows."""

    def __init__(self, store):
        self.db = store.read()
        with store.write() as db:
            self.run, _ = runs.upsert(db, {"name": "r", "host": "h"}, "e", None, 0.0)
        self._store = store

    def log(self, *rows):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        with self._store.write() as db:
            offset = runs.next_line(db, self.run, HISTORY)
            body = {"files": {HISTORY: {"offset": offset, "content": lines}}}
            streams.take(db, runs.by_id(db, self.run), streams.read(body), 0.0)

    def between(self, low=None, high=None, samples=None):
        return [json.loads(line)["_step"] for line in history.between(self.db, self.run, low, high, samples)]

    def sampled(self, **spec):
        return history.sampled(self.db, self.run, spec)


@pytest.fixture
def logged(tmp_path):
    with closing(Store(tmp_path)) as store:
        yield Logged(store)


def test_rows_are_given_from_a_step_to_before_another(logged):
    logged.log(*({"_step": step} for step in range(10)))

    assert logged.between() == list(range(10))
    assert logged.between(3, 6) == [3, 4, 5]
    assert logged.between(low=8) == [8, 9]
    assert logged.between(high=2) == [0, 1]
    assert logged.between(2.5, 4.5) == [3, 4]
    assert logged.between(6, 3) == []


@pytest.mark.parametrize("count", [1, 2, 7, 99, 100, 101])
@pytest.mark.parametrize("samples", [1, 2, 10, 100])
def test_samples_are_spread_evenly_and_hold_the_last_row(logged, count, samples):
    logged.log(*({"_step": step} for step in range(count)))

    steps = logged.between(samples=samples)

    assert 1 <= len(steps) <= samples
    assert steps[-1] == count - 1
    assert len({after - before for before, after in zip(steps, steps[1:], strict=False)}) <= 1


@pytest.mark.parametrize("samples", [0, -5, None])
def test_without_a_number_of_samples_all_rows_are_given(logged, samples):
    logged.log(*({"_step": step} for step in range(7)))

    assert logged.between(samples=samples) == list(range(7))


@pytest.mark.parametrize("bound", ["3", True, [3], {}, math.nan, math.inf, 2**63, 10**400])
def test_a_bound_that_is_no_step_is_refused(logged, bound):
    with pytest.raises(RefusedError, match="is no step, and no number of rows"):
        logged.between(low=bound)
    with pytest.raises(RefusedError, match="is no step, and no number of rows"):
        logged.between(high=bound)


def test_rows_without_a_step_are_not_in_the_way(logged):
    logged.log({"a": 1}, {"_step": 0, "a": 2}, {"_step": None}, {"_step": "x"})

    assert logged.between() == [0]


def test_sampled_rows_hold_all_the_keys_and_only_these(logged):
    logged.log({"_step": 0, "a": 1}, {"_step": 1, "b": 1}, {"_step": 2, "a": 3, "b": 4})

    assert logged.sampled(keys=["a"]) == [{"a": 1}, {"a": 3}]
    assert logged.sampled(keys=["_step", "a", "b"]) == [{"_step": 2, "a": 3, "b": 4}]
    assert logged.sampled(keys=["c"]) == []
    assert logged.sampled() == [{"_step": 0, "a": 1}, {"_step": 1, "b": 1}, {"_step": 2, "a": 3, "b": 4}]


def test_a_range_of_sampled_rows_holds_its_last_step(logged):
    logged.log(*({"_step": step} for step in range(10)))

    assert [row["_step"] for row in logged.sampled(minStep=3, maxStep=5)] == [3, 4, 5]


def test_sampled_rows_are_as_many_as_asked_for_and_500_else(logged):
    logged.log(*({"_step": step} for step in range(1200)))

    assert [row["_step"] for row in logged.sampled(samples=3)] == [399, 799, 1199]
    assert len(logged.sampled()) == 400


def test_nan_stays_nan(logged):
    logged.log('{"_step":0,"x":NaN,"y":Infinity}')

    [row] = logged.sampled()

    assert math.isnan(row["x"])
    assert row["y"] == math.inf


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ([], "[] does not say of which keys rows are wanted."),
        (5, "5 does not say of which keys rows are wanted."),
        ({"keys": "loss"}, "{'keys': 'loss'} does not say of which keys rows are wanted."),
        ({"keys": [1]}, "{'keys': [1]} does not say of which keys rows are wanted."),
        ({"minStep": "1"}, "'1' is no step, and no number of rows."),
        ({"maxStep": [1]}, "'[1]' is no step, and no number of rows."),
        ({"samples": "many"}, "'many' is no step, and no number of rows."),
        ({"samples": math.nan}, "'nan' is no step, and no number of rows."),
    ],
)
def test_a_spec_that_is_none_is_refused(logged, spec, problem):
    logged.log({"_step": 0})

    with pytest.raises(RefusedError) as caught:
        history.sampled(logged.db, logged.run, spec)

    assert str(caught.value) == problem


def test_the_keys_of_rows_are_counted_with_their_kinds(logged):
    logged.log(
        {"_step": 0, "a": 1, "b": "x", "c": None, "d": [1], "e": {}, "f": {"_type": "image-file"}},
        {"_step": 1, "a": 2.5},
    )

    found = history.keys(logged.db, logged.run)

    assert found["lastStep"] == 1
    assert found["keys"]["a"] == {"typeCounts": [{"type": "number", "count": 2}]}
    kinds = {key: known["typeCounts"][0]["type"] for key, known in found["keys"].items()}
    assert kinds == {
        "_step": "number", "a": "number", "b": "string", "c": "nil", "d": "list", "e": "map", "f": "image-file",
    }  # fmt: skip


def test_a_run_without_rows_has_no_keys(logged):
    assert history.keys(logged.db, logged.run) == {"keys": {}, "lastStep": -1}


def test_rows_with_a_step_that_is_no_number_have_keys_all_the_same(logged):
    logged.log('{"_step":1e999,"a":1}', '{"_step":NaN,"a":1}')

    found = history.keys(logged.db, logged.run)

    assert found["lastStep"] == -1
    assert found["keys"]["a"]["typeCounts"][0]["count"] == 2
