"""Tables of pages: what a filter means, what is wrong with one, in which order rows stand, how numbers are written."""

import math

import pytest
from starlette.datastructures import QueryParams

from jade.distributions import parse as distribution
from jade.errors import JadeError
from jade.server.web import axes, filter_text, words
from jade.server.web.table import PAGE, Column, Row, Table
from jade.server.web.wanted import Wanted

NAMES = ["name", "state", "model.params.lr", "data.lr", "model.params.beta", "epochs"]
ROWS = {
    "good": {
        "name": "trial-1",
        "state": "finished",
        "model.params.lr": 0.01,
        "model.params.beta": 1,
        "epochs": 30,
    },
    "slow": {
        "name": "trial-2",
        "state": "finished",
        "model.params.lr": 0.0001,
        "model.params.beta": 2,
        "epochs": 30,
    },
    "bad": {
        "name": "my trial",
        "state": "failed",
        "model.params.lr": 0.1,
        "model.params.beta": None,
        "epochs": 2,
    },
}


def found(text):
    conditions = filter_text.parse(text, NAMES)
    return [key for key, cells in ROWS.items() if filter_text.finds(conditions, cells)]


def table(query="", rows=ROWS, order=("name", "asc")):
    columns = [
        Column("name", "Name", "link"),
        Column("state", "State", "state"),
        Column("epochs", "Epochs", "number"),
    ]
    listed = [Row(key, cells) for key, cells in rows.items()]
    return Table(
        columns, listed, Wanted.of(QueryParams(query)), order, ["model.params.lr", "model.params.beta"]
    )


def keys(rows):
    return [row.key for row in rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["good", "slow", "bad"]),
        ("finished", ["good", "slow"]),
        ("FINI", ["good", "slow"]),
        ("-finished", ["bad"]),
        ("state=failed", ["bad"]),
        ("state!=failed", ["good", "slow"]),
        ("-state=failed", ["good", "slow"]),
        ("beta<2", ["good"]),
        ("beta <= 2", ["good", "slow"]),
        ("epochs>2 state=finished beta>1.5", ["slow"]),
        ("model.params.lr<1e-3", ["slow"]),
        ("beta=1.0", ["good"]),
        ("beta!=1", ["slow", "bad"]),
        ('name="my trial"', ["bad"]),
        ('"my trial"', ["bad"]),
        ('"my tri', ["bad"]),
        ("0.01", ["good"]),
        ("nothing-like-it", []),
    ],
)
def test_all_parts_of_a_filter_must_hold(text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "stat=failed",
            "There is no column stat.\n  at: filter\n  did you mean: state\n  known: data.lr, epochs,",
        ),
        ("lr<1", "lr could be data.lr or model.params.lr."),
        ("beta<much", "beta<much compares with 'much', which is no number."),
        ("beta<", "Nothing stands behind beta<."),
        ("beta = ", "Nothing stands behind beta=."),
        ("<3", "'<' stands alone."),
        ("a" * 1001, "A filter has up to 1000 characters."),
    ],
)
def test_what_cannot_be_in_a_filter_is_told(text, said):
    with pytest.raises(JadeError) as raised:
        filter_text.parse(text, NAMES)

    assert str(raised.value).startswith(said)


def test_all_faults_of_a_filter_are_told_at_once():
    with pytest.raises(JadeError) as raised:
        filter_text.parse("epoch>1 beta<x", NAMES)

    assert "There is no column epoch." in str(raised.value)
    assert "compares with 'x'" in str(raised.value)


def test_a_faulty_filter_leaves_all_rows_and_says_why():
    shown = table("q=epoch>1")

    assert keys(shown.found) == ["good", "slow", "bad"]
    assert shown.fault.startswith("There is no column epoch.")


def test_ranges_and_choices_leave_rows_out():
    assert keys(table("least.epochs=3").found) == ["good", "slow"]
    assert keys(table("most.epochs=3").found) == ["bad"]
    assert keys(table("least.model.params.beta=1.5&most.model.params.beta=9").found) == ["slow"]
    assert keys(table("only.state=failed&only.state=running").found) == ["bad"]


def test_a_range_that_is_no_number_is_told_and_leaves_nothing_out():
    shown = table("least.epochs=many")

    assert shown.fault == "'many' is no number that epochs could have.\n  at: filter"
    assert len(shown.found) == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["bad", "good", "slow"]),
        ("sort=epochs", ["bad", "good", "slow"]),
        ("sort=epochs&order=desc", ["good", "slow", "bad"]),
        ("sort=state", ["bad", "good", "slow"]),
        ("sort=nonsense&order=desc", ["bad", "good", "slow"]),
    ],
)
def test_rows_stand_in_the_order_that_is_asked_for(query, expected):
    assert keys(table(query).in_order) == expected


def test_rows_without_a_value_come_last_in_either_order():
    rows = {
        name: {"epochs": value}
        for name, value in [("a", None), ("b", 2), ("c", math.nan), ("d", "text"), ("e", 1)]
    }

    up, down = table("sort=epochs", rows), table("sort=epochs&order=desc", rows)

    assert keys(up.in_order) == ["e", "b", "d", "a", "c"]
    assert keys(down.in_order) == ["d", "b", "e", "a", "c"]


def test_a_header_leads_to_its_order_and_then_to_the_opposite_one():
    epochs, name = Column("epochs", "Epochs", "number"), Column("name", "Name")

    assert table("q=x&page=3").sort_address(epochs) == "?q=x&sort=epochs&order=asc"
    assert table("sort=epochs&order=asc").sort_address(epochs) == "?sort=epochs&order=desc"
    assert [table().aria_sort(one) for one in (name, epochs)] == ["ascending", "none"]
    assert table("sort=epochs&order=desc").aria_sort(epochs) == "descending"


@pytest.mark.parametrize(
    ("page", "shown"),
    [("", 1), ("2", 2), ("3", 3), ("4", 3), ("0", 1), ("-1", 1), ("x", 1), ("9" * 50, 3), ("²", 1)],
)
def test_pages_are_cut_and_the_last_one_is_not_passed(page, shown):
    rows = {str(number): {"epochs": number} for number in range(2 * PAGE + 1)}

    cut = table(f"page={page}", rows)

    assert (cut.page, cut.page_count) == (shown, 3)
    assert len(cut.shown) == (1 if shown == 3 else PAGE)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (0, "0"), (3, "3"), (3.0, "3"), (1e-5, "1e-05"), (0.123456, "0.1235"), (123456789, "123456789"), (1e12, "1e+12"),
        (math.nan, "NaN"), (math.inf, "∞"), (-math.inf, "−∞"), (None, "–"), (True, "true"), ("text", "text"),
        ([1, "ü"], '[1, "ü"]'), (10**400, "∞"), (-(10**400), "−∞"),
    ],
)  # fmt: skip
def test_values_are_written_shortly(given, text):
    assert words.value(given) == text


def test_numbers_of_like_size_have_as_many_decimals():
    assert words.alike([0.5, 0.0123, 0.1]) == {0.5: "0.5000", 0.0123: "0.0123", 0.1: "0.1000"}
    assert words.alike([1, 2.5, math.inf, None, "x", True]) == {1: "1.0000", 2.5: "2.5000", math.inf: "∞"}
    assert words.alike([1, 30]) == {1: "1", 30: "30"}
    assert words.alike([1e-7, 0.5]) == {1e-7: "1e-07", 0.5: "0.5"}
    assert words.alike([0.0003296, 0.548]) == {0.0003296: "0.0003296", 0.548: "0.548"}
    assert words.alike([]) == {}


def test_a_long_cell_is_cut():
    shown = table("", {"a": {"name": "x" * 1000}})

    assert shown.text(shown.rows[0], Column("name", "Name")) == "x" * 200 + "…"


def test_dotted_names_are_shortened_as_far_as_they_stay_apart():
    names = ["model.params.lr", "data.params.size", "eval.params.size", "epochs"]

    assert words.shortened(names) == {
        "model.params.lr": "lr",
        "data.params.size": "data.params.size",
        "eval.params.size": "eval.params.size",
        "epochs": "epochs",
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 m 00 s"), (65, "1 m 05 s"), (3725, "1 h 02 m"), (90_000, "1 d 01 h"),
     (None, "–"), (-1, "–"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_spans_of_time_are_written_in_two_units(seconds, text):
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("spec", "values", "scale"),
    [
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1}, [0.01], "log"),
        ({"min": 0.0, "max": 1.0}, [1e-5, 1.0], "linear"),
        ({"values": ["a", "b"]}, [], "category"),
        ({"values": [True, False]}, [True], "category"),
        ({"values": [1, 2, 4]}, [4], "category"),
        ({"values": list(range(1, 50))}, [4, 8], "linear"),
        ({"values": [10**power for power in range(30)]}, [10], "log"),
    ],
)
def test_the_scale_of_an_axis_follows_what_the_sweep_says(spec, values, scale):
    assert axes.of_parameter("x", "x", distribution("x", spec, "x"), values).scale == scale


def test_an_axis_places_values_and_leaves_out_what_has_no_place():
    category = axes.of_parameter("x", "x", distribution("x", {"values": ["a", None]}, "x"), ["b"])
    log = axes.Axis("y", "y", "log")

    assert category.categories == ["a", "–", "b"]
    assert [category.place(value) for value in ("a", "b", "c", None)] == [0, 2, None, None]
    assert [log.place(value) for value in (0.1, 0, -1, math.nan, True, "x")] == [
        0.1,
        None,
        None,
        None,
        None,
        None,
    ]
