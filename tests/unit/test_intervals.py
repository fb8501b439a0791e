import math

import pytest

from jade import intervals
from jade.errors import ConfigError
from jade.intervals import NEVER, Due, Interval


@pytest.mark.parametrize(
    ("written", "amount", "unit"),
    [
        (1, 1, "epoch"),
        (2.0, 2, "epoch"),
        ("3", 3, "epoch"),
        ("1e3", 1000, "epoch"),
        ("1 iteration", 1, "iteration"),
        ("500 iterations", 500, "iteration"),
        ("500iterations", 500, "iteration"),
        ("2 Epochs", 2, "epoch"),
        ("  2  epochs\n", 2, "epoch"),
        ("90 seconds", 90, "second"),
        ("0.5 minutes", 30, "second"),
        (".5 hours", 1800, "second"),
        ("1 day", 86400, "second"),
    ],
)
def test_a_number_or_a_text_is_an_interval(written, amount, unit):
    assert intervals.parse(written, "epoch", "--x") == Interval(amount, unit)


def test_a_bare_number_counts_what_it_is_said_to_count():
    assert intervals.parse(5, "iteration", "--x") == Interval(5, "iteration")
    assert intervals.parse("2 epochs", "iteration", "--x") == Interval(2, "epoch")


@pytest.mark.parametrize("written", ["never", "Never", " NEVER "])
def test_never_turns_an_interval_off(written):
    assert intervals.parse(written, "epoch", "--x") is NEVER


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (0, "0 is not above 0."),
        (-1, "-1 is not above 0."),
        ("0 epochs", "'0 epochs' is not above 0."),
        ("-2 minutes", "'-2 minutes' is not above 0."),
        (0.5, "0.5 is no whole number of epochs."),
        ("1.5 iterations", "'1.5 iterations' is no whole number of iterations."),
        ("1..2 epochs", "'1..2 epochs' holds no number."),
        (True, "True says not how often."),
        (False, "False says not how often."),
        (None, "None says not how often."),
        ("", "'' says not how often."),
        ("often", "'often' says not how often."),
        ("every 2 epochs", "'every 2 epochs' says not how often."),
        ("1,000 iterations", "'1,000 iterations' says not how often."),
        (math.nan, "nan says not how often."),
        (math.inf, "inf says not how often."),
        ([1], "[1] says not how often."),
        ({"a": 1}, "{'a': 1} says not how often."),
    ],
)
def test_what_is_no_interval_is_refused_with_the_right_forms(written, problem):
    with pytest.raises(ConfigError) as caught:
        intervals.parse(written, "epoch", "eval.yml:4 (eval.E.params.evaluate_every)")

    assert str(caught.value) == (
        f"{problem}\n"
        "  at: eval.yml:4 (eval.E.params.evaluate_every)\n"
        '  Write a number above 0, "500 iterations", "2 epochs", "10 minutes" or never.'
    )


@pytest.mark.parametrize(
    ("written", "meant"), [("2 sec", "seconds"), ("2 min", "minutes"), ("2 epok", "epochs")]
)
def test_an_abbreviated_unit_names_the_whole_one(written, meant):
    with pytest.raises(ConfigError) as caught:
        intervals.parse(written, "epoch", "--x")

    assert f"did you mean: {meant}" in str(caught.value)
    assert "known: days, epochs, hours, iterations, minutes, seconds" in str(caught.value)


@pytest.mark.parametrize("written", ["30 s", "30s", "5 h", "5 weeks", "5 batches"])
def test_an_unknown_unit_is_refused_rather_than_taken_for_epochs(written):
    with pytest.raises(ConfigError, match="is no unit"):
        intervals.parse(written, "epoch", "--x")


@pytest.mark.parametrize("written", ["2 its", "2 iters"])
def test_short_iterations_are_not_mistaken_for_minutes(written):
    with pytest.raises(ConfigError) as caught:
        intervals.parse(written, "epoch", "--x")

    assert "did you mean: minutes" not in str(caught.value)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(1, "epoch"), "1 epoch"),
        (Interval(2.0, "iteration"), "2 iterations"),
        (Interval(0.5, "second"), "0.5 seconds"),
        (Interval(1_234_567, "iteration"), "1234567 iterations"),
        (NEVER, "never"),
    ],
)
def test_an_interval_is_written_as_it_is_read(interval, text):
    assert str(interval) == text
    assert intervals.parse(text, "epoch", "--x") == interval


def due_at(due: Due, points) -> list[int]:
    """At which of the points it is due, if it is done each time."""
    found = []
    for index, point in enumerate(points):
        if due.now(*point):
            due.done(*point)
            found.append(index)
    return found


def test_iterations_come_round_at_every_multiple_whatever_the_epoch():
    due = Due(Interval(3, "iteration"))

    assert due_at(due, [(i, i // 4, float(i)) for i in range(10)]) == [3, 6, 9]


def test_epochs_come_round_once_however_often_they_are_asked_within_one():
    due = Due(Interval(2, "epoch"))

    assert due_at(due, [(i, i // 3, float(i)) for i in range(15)]) == [6, 12]


def test_seconds_come_round_at_the_first_moment_after_they_have_passed():
    due = Due(Interval(10, "second"))

    assert due_at(due, [(i, 0, seconds) for i, seconds in enumerate([0, 9.9, 10, 11, 19.9, 25, 34, 35])]) == [
        2,
        5,
        7,
    ]


@pytest.mark.parametrize("interval", [Interval(3, "iteration"), Interval(2, "epoch"), Interval(10, "second")])
def test_at_the_start_it_is_due_once_if_asked_for(interval):
    assert due_at(Due(interval, at_start=True), [(0, 0, 0.0), (0, 0, 0.0)]) == [0]
    assert due_at(Due(interval), [(0, 0, 0.0), (0, 0, 0.0)]) == []


@pytest.mark.parametrize("interval", [Interval(1, "iteration"), Interval(1, "epoch")])
def test_it_is_not_due_again_at_the_same_point(interval):
    due = Due(interval)

    assert due_at(due, [(5, 5, 1.0), (5, 5, 99.0)]) == [0]


@pytest.mark.parametrize("interval", [Interval(3, "iteration"), Interval(3, "epoch"), Interval(3, "second")])
def test_it_stays_due_until_it_was_done(interval):
    due = Due(interval)

    asked = [due.now(3, 3, 3.0), due.now(3, 3, 3.0)]
    due.done(3, 3, 3.0)

    assert asked == [True, True]
    assert not due.now(3, 3, 3.0)


@pytest.mark.parametrize("interval", [Interval(3, "iteration"), Interval(2, "epoch"), Interval(10, "second")])
@pytest.mark.parametrize("stopped", range(12))
def test_one_that_goes_on_from_where_another_was_is_due_when_that_would_have_been(interval, stopped):
    points = [(i, i // 4, 4.0 * i) for i in range(12)]
    undisturbed = due_at(Due(interval, at_start=True), points)

    first = Due(interval, at_start=True)
    before = due_at(first, points[:stopped])
    second = Due(interval, at_start=True)
    second.last = first.last
    after = due_at(second, points[stopped:])

    assert before + [stopped + index for index in after] == undisturbed


@pytest.mark.parametrize("at_start", [False, True])
def test_never_is_never_due(at_start):
    due = Due(NEVER, at_start=at_start)

    assert due_at(due, [(i, i, float(10**i)) for i in range(20)]) == []


def test_a_counter_that_jumps_over_a_multiple_waits_for_the_next():
    due = Due(Interval(4, "iteration"))

    assert due_at(due, [(i, 0, 0.0) for i in (3, 5, 8, 8, 13, 16)]) == [2, 5]


@pytest.mark.parametrize(
    ("interval", "iteration", "second"),
    [
        (Interval(3, "iteration"), 6, math.inf),
        (Interval(10, "second"), math.inf, 11.5),
        (Interval(2, "epoch"), math.inf, math.inf),
        (NEVER, math.inf, math.inf),
    ],
    ids=str,
)
def test_it_says_before_which_iteration_and_second_nothing_has_to_be_asked(interval, iteration, second):
    due = Due(interval)
    due.done(3, 1, 1.5)

    assert (due.next_iteration(3), due.next_second()) == (iteration, second)


def test_the_next_iteration_is_a_multiple_also_between_two_of_them():
    due = Due(Interval(4, "iteration"))

    assert [due.next_iteration(iterations) for iterations in (0, 3, 4, 5)] == [4, 4, 8, 8]
