"""Curves: whatever is posted in whatever order, they are what the rows say from the first to the last."""

import json
import math
import random
from contextlib import closing

import pytest

from jade.server import curves, runs, streams
from jade.server.curves import HISTORY, LONGEST_KEY, MOST_KEYS, MOST_POINTS
from jade.server.filters import inside
from jade.server.store import Store
from tests.server.doors import opened


class Drawn:
    """One run, and its curves."""

    def __init__(self, store):
        self.store, self.db = store, store.read()
        self.run = self.begin()

    def begin(self, name="r"):
        with self.store.write() as db:
            return runs.upsert(db, {"name": name, "host": "h"}, "e", None, 0.0)[0]

    def log(self, *rows, offset=None, run=None):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        with self.store.write() as db:
            run = run or self.run
            offset = runs.next_line(db, run, HISTORY) if offset is None else offset
            streams.take(
                db,
                runs.by_id(db, run),
                streams.read({"files": {HISTORY: {"offset": offset, "content": lines}}}),
                0.0,
            )

    def curve(self, key="loss"):
        return curves.of_runs(self.db, [self.run], key).get(self.run)

    def named(self):
        return curves.keys(self.db, [self.run])

    def lines(self):
        query = "SELECT number, text FROM lines WHERE run = ? AND file = ? ORDER BY number"
        return self.db.execute(query, (self.run, HISTORY)).fetchall()


@pytest.fixture
def drawn(tmp_path):
    with closing(Store(tmp_path)) as store:
        yield Drawn(store)


def all_curves(drawn):
    return {key: drawn.curve(key) for key in drawn.named()}


def from_scratch(drawn):
    """Give the curves of a second run, which gets the rows that there are now in one post each."""
    fresh = Drawn.__new__(Drawn)
    fresh.store, fresh.db = drawn.store, drawn.db
    fresh.run = drawn.begin("scratch")
    for number, text in drawn.lines():
        fresh.log(text, offset=number)
    return all_curves(fresh)


def test_a_curve_holds_what_was_logged_by_iterations(drawn):
    drawn.log({"loss": 3.0, "iterations": 10, "_step": 0}, {"loss": 1, "iterations": 20, "_step": 1})

    assert drawn.curve() == curves.Curve([10.0, 20.0], [3.0, 1.0], 1.0, 3.0)
    assert drawn.named() == ["iterations", "loss"]


@pytest.mark.parametrize(
    ("row", "x"),
    [
        ({"_step": 7}, 7.0),
        ({"_step": 7, "iterations": math.nan}, 7.0),
        ({"_step": 7, "iterations": "many"}, 7.0),
        ({"_step": [], "iterations": None}, 0.0),
        ({}, 0.0),
    ],
)
def test_a_row_without_iterations_is_at_its_step_or_at_its_line(drawn, row, x):
    drawn.log({"loss": 3.0, **row})

    assert drawn.curve().x == [x]


@pytest.mark.parametrize("count", [1, 2, 254, 255, 256, 257, 510, 511, 512, 1021, 5000])
def test_a_curve_keeps_points_at_even_distances_with_the_last_and_the_exact_ends(drawn, count):
    values = [math.sin(number) for number in range(count)]

    drawn.log(*({"loss": value, "_step": step} for step, value in enumerate(values)))

    found = drawn.curve()
    assert min(count, MOST_POINTS // 2) <= len(found.x) == len(found.y) <= MOST_POINTS
    assert found.x == sorted(set(found.x))
    assert found.x[-1] == count - 1
    assert len({after - before for before, after in zip(found.x[:-2], found.x[1:-1], strict=True)}) <= 1
    assert found.y == [values[int(x)] for x in found.x]
    assert (found.least, found.most) == (min(values), max(values))


def test_what_is_no_number_is_in_no_curve(drawn):
    drawn.log(
        '{"loss": NaN, "big": ' + "9" * 400 + ', "text": "1", "list": [1], "nothing": null, "_own": 1}',
        {"loss": 2.0, "is_best": True},
        '{"loss": -Infinity, "half \\ud800": 1, "zero \\u0000": 1}',
    )

    assert drawn.named() == ["is_best", "loss"]
    assert drawn.curve() == curves.Curve([1.0], [2.0], 2.0, 2.0)


def test_levels_are_parted_by_dots_as_filters_find_them(drawn):
    row = {"a": {"b": 1, "c": {"d": 2}, "b.c": 5}, "a.b": {"c": 3}, "x.y": 4, "x": {"y": 9}}

    drawn.log(row)

    assert drawn.named() == ["a.b", "a.b.c", "a.c.d", "x.y"]
    for key in ("a.b.c", "a.c.d", "x.y"):
        assert drawn.curve(key).y == [inside(row, key)]


def test_the_numbers_of_an_image_are_no_curves(drawn):
    drawn.log({"image": {"_type": "image-file", "width": 3}, "eval": {"image": {"_type": "x", "size": 1}}})

    assert drawn.named() == []


def test_keys_are_bounded_in_number_and_length(drawn):
    drawn.log({f"key{number:05}": 1 for number in range(MOST_KEYS - 1)})
    drawn.log({"k" * LONGEST_KEY: 1, "l" * (LONGEST_KEY + 1): 1, "deep": {"m" * LONGEST_KEY: 1}})
    drawn.log({"late": 1, "key00000": 2})

    assert len(drawn.named()) == MOST_KEYS
    assert drawn.named()[-2:] == ["key01998", "k" * LONGEST_KEY]
    assert drawn.curve("key00000").y == [1.0, 2.0]


def test_runs_without_a_key_are_missing(drawn):
    other = drawn.begin("other")
    drawn.log({"loss": 1})
    drawn.log({"accuracy": 1}, run=other)

    assert set(curves.of_runs(drawn.db, [drawn.run, other], "accuracy")) == {other}
    assert curves.keys(drawn.db, [drawn.run, other]) == ["accuracy", "loss"]
    assert curves.of_runs(drawn.db, [], "loss") == {}


def test_a_run_that_begins_anew_has_no_curves_of_its_life_before(drawn):
    drawn.log({"loss": 1}, {"loss": 2})
    drawn.log({"old": 1}, offset=0)
    drawn.begin()
    assert all_curves(drawn) == {}

    drawn.log({"loss": 5})

    assert all_curves(drawn) == {"loss": curves.Curve([0.0], [5.0], 5.0, 5.0)}


def test_a_run_that_is_deleted_leaves_no_curves(drawn):
    drawn.log({"loss": 1})

    with drawn.store.write() as db:
        runs.delete(db, drawn.run)

    assert drawn.db.execute("SELECT COUNT(*) FROM curves").fetchone()[0] == 0


@pytest.mark.parametrize("seed", range(30))
def test_curves_are_those_of_the_rows_from_scratch_whatever_is_repeated_or_written_over(drawn, seed):
    chance = random.Random(seed)
    posted, next_line = [], 0
    for _ in range(chance.randint(1, 40)):
        kind = chance.choices(["new", "again", "overlap", "back", "gap", "anew"], [12, 3, 3, 1, 1, 0.5])[0]
        if kind == "again" and posted:
            offset, rows = chance.choice(posted)
        elif kind == "overlap" and posted and posted[-1][0] + len(posted[-1][1]) == next_line:
            offset, rows = posted[-1][0], [*posted[-1][1], *random_rows(chance)]
        elif kind == "back":
            offset, rows = chance.randint(0, next_line), random_rows(chance)
        elif kind == "anew":
            drawn.begin()
            posted, next_line, offset, rows = [], 0, 0, random_rows(chance)
        else:
            offset, rows = next_line + (kind == "gap") * chance.randint(1, 5), random_rows(chance)
        drawn.log(*rows, offset=offset)
        posted.append((offset, rows))
        next_line = max(next_line, offset + len(rows))

    wanted = from_scratch(drawn)
    assert all_curves(drawn) == wanted
    with drawn.store.write() as db:
        curves.mend(db)
    assert all_curves(drawn) == wanted
    assert not curves.is_rewritten(drawn.db, drawn.run)


def random_rows(chance):
    keys = ["loss", "accuracy", "a.b", "iterations"]
    return [
        {"_step": chance.randint(0, 99)}
        | {key: chance.choice([0.5, 1, math.nan, chance.random()]) for key in keys if chance.random() < 0.7}
        | ({"a": {"b": 3}} if chance.random() < 0.2 else {})
        for _ in range(chance.randint(0, 60))
    ]


def test_a_post_that_comes_twice_leaves_the_curves_as_they_are(drawn):
    drawn.log({"loss": 1}, {"loss": 2})
    before = drawn.curve()

    drawn.log({"loss": 1}, {"loss": 2}, offset=0)

    assert drawn.curve() == before
    assert not curves.is_rewritten(drawn.db, drawn.run)


def test_curves_of_rewritten_rows_are_made_when_the_server_starts_again(tmp_path):
    with opened(tmp_path) as doors:
        doors.begin("r")
        for loss in (1, 2):
            line = json.dumps({"loss": loss})
            doors.stream("r", {"files": {HISTORY: {"offset": 0, "content": [line]}}})
        assert curves.is_rewritten(doors.parts.store.read(), 1)

    with opened(tmp_path) as doors:
        db = doors.parts.store.read()
        assert not curves.is_rewritten(db, 1)
        assert curves.of_runs(db, [1], "loss")[1].y == [2.0]


def test_the_rows_of_a_rewritten_run_are_read_once_for_all_keys(drawn):
    keys = [f"key{number}" for number in range(50)]
    drawn.log(*({key: number for key in keys} for number in range(3)))
    drawn.log(dict.fromkeys(keys, 7), offset=1)
    asked = []
    drawn.db.set_trace_callback(asked.append)

    found = curves.of_keys(drawn.db, [drawn.run], keys)

    assert {tuple(found[key][drawn.run].y) for key in keys} == {(0.0, 7.0, 2.0)}
    assert sum("FROM lines" in query for query in asked) == 1
