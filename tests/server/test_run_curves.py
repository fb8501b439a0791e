"""Points of curves for a run's page: no spike is lost, and every axis tells the same points."""

import json
import math
import random

import pytest

from jade.server import runs, streams
from jade.server.store import Store
from jade.server.web import run_curves

HISTORY = "wandb-history.jsonl"


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path)
    yield found
    found.close()


def run_of(store, rows, name="r"):
    """Begin a run that logs rows, and give its id."""
    with store.write() as db:
        run, _ = runs.upsert(
            db, {"entityName": "e", "modelName": "p", "name": name, "host": "h"}, "e", None, 0.0
        )
        lines = [
            json.dumps({"_step": number, "_runtime": number / 2, **row}) for number, row in enumerate(rows)
        ]
        body = {"files": {HISTORY: {"offset": 0, "content": lines}}}
        streams.take(db, runs.by_id(db, run), streams.read(body), 0.0)
    return run


def within(store, run, key, low=-math.inf, high=math.inf, axis="iterations"):
    points = run_curves.within(store.read(), run, [key], axis, (low, high))[key]
    return list(zip(points.x, points.y, strict=True))


def test_all_points_of_a_range_are_read(store):
    run = run_of(store, [{"iterations": 10 * i, "loss": i * i} for i in range(1000)])

    found = within(store, run, "loss", 100, 140)

    assert found == [(100, 100), (110, 121), (120, 144), (130, 169), (140, 196)]


def test_a_spike_among_very_many_points_stays(store):
    rows = [{"iterations": i, "loss": math.sin(i / 500)} for i in range(20_000)]
    rows[12_345]["loss"] = 99.0
    rows[777]["loss"] = -99.0
    run = run_of(store, rows)

    found = within(store, run, "loss")

    assert len(found) <= run_curves.MOST_POINTS
    assert {(12_345, 99.0), (777, -99.0)} <= set(found)
    assert (found[0][0], found[-1][0]) == (0, 19_999)


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 97, 1000])
def test_what_is_kept_of_many_values_is_their_outline(count):
    chance = random.Random(count)
    values = [chance.random() for _ in range(count)]

    kept = run_curves.spread(values, 10)

    assert kept == sorted(set(kept))
    assert len(kept) <= 10
    assert {values[i] for i in kept} >= {min(values), max(values)} if values else kept == []


def test_nan_and_infinity_are_no_points(store):
    run = run_of(
        store, [{"loss": 1.0}, {"loss": math.nan}, {"loss": math.inf}, {"loss": "NaN"}, {"loss": 2.0}]
    )

    assert within(store, run, "loss") == [(0, 1.0), (4, 2.0)]


@pytest.mark.parametrize("key", ["a.b", "Größe", "ä", 'say "x"', "TestLoss/Rec Loss", "back\\slash"])
def test_a_key_is_found_however_it_is_written(store, key):
    run = run_of(store, [{key: 1.5}, {"other": 2.0}])

    assert within(store, run, key) == [(0, 1.5)]


def test_a_nested_key_is_found(store):
    run = run_of(store, [{"TestLoss": {"a": 3.0}}])

    assert within(store, run, "TestLoss.a") == [(0, 3.0)]


def test_a_curve_is_drawn_over_epochs_and_time(store):
    run = run_of(store, [{"iterations": 10 * i, "epochs": i // 2, "loss": i} for i in range(5)])

    assert within(store, run, "loss", axis="epochs") == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4)]
    assert within(store, run, "loss", 1, 2, axis="time") == [(1, 2), (1.5, 3), (2, 4)]


def test_the_whole_of_a_curve_is_moved_to_another_axis(store):
    run = run_of(store, [{"iterations": 100 * i, "loss": float(i)} for i in range(3000)])

    over_time = run_curves.whole(store.read(), [run], ["loss"], "time")["loss"][run]
    over_iterations = run_curves.whole(store.read(), [run], ["loss"], "iterations")["loss"][run]

    assert over_time.y == over_iterations.y
    assert over_time.x == pytest.approx([x / 200 for x in over_iterations.x])


def test_a_run_without_epochs_is_not_drawn_over_them(store):
    run = run_of(store, [{"loss": 1.0}])

    assert run_curves.whole(store.read(), [run], ["loss"], "epochs") == {"loss": {}}
    assert run_curves.axes(store.read(), run) == {"iterations": "steps", "time": "time"}


def test_the_axes_of_a_run_of_jade_are_all_three(store):
    run = run_of(store, [{"iterations": 1, "epochs": 0, "loss": 1.0}])

    assert run_curves.axes(store.read(), run) == {
        "iterations": "iterations",
        "epochs": "epochs",
        "time": "time",
    }


def test_points_that_were_logged_for_an_earlier_iteration_are_put_in_order(store):
    run = run_of(store, [{"iterations": x, "loss": float(x)} for x in (3, 1, 2)])

    whole = run_curves.whole(store.read(), [run], ["loss"], "iterations")["loss"][run]

    assert (whole.x, whole.y) == ([1, 2, 3], [1.0, 2.0, 3.0])
    assert within(store, run, "loss") == [(1, 1.0), (2, 2.0), (3, 3.0)]
