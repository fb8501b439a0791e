"""What a sweep's trials say: which is best, the best so far, how many are in which state."""

import math

import pytest

from jade.trials import Trial, Trials, best_of, best_so_far, counts, differing, in_order, ranked


def sweep(*rows, goal="minimize"):
    return Trials("me/digits/s1", "s1", "random", "Loss", goal, ("lr",), "running", None, rows)


def trial(run_id, last=None, state="finished", began=None):
    return Trial(run_id, run_id, state, last=last, began=began)


@pytest.mark.parametrize(("goal", "wins"), [("minimize", "b"), ("maximize", "c")])
def test_the_best_trial_has_the_best_final_value(goal, wins):
    trials = sweep(trial("a", 2.0), trial("b", 1.0), trial("c", 3.0), goal=goal)

    best = best_of(trials)

    assert best is not None
    assert best.run_id == wins


def test_only_a_finished_trial_with_a_number_can_win():
    trials = sweep(
        trial("nan", math.nan),
        trial("infinite", -math.inf),
        trial("failed", 0.0, "failed"),
        trial("running", 0.0, "running"),
        trial("none"),
        trial("worst", 9.0),
    )

    best = best_of(trials)

    assert best is not None
    assert best.run_id == "worst"


def test_there_is_no_best_trial_before_one_has_finished():
    assert best_of(sweep()) is None
    assert best_of(sweep(trial("a", 1.0, "running"))) is None


def test_of_two_equal_trials_the_earlier_is_best():
    best = best_of(sweep(trial("late", 1.0, began=5.0), trial("early", 1.0, began=2.0)))

    assert best is not None
    assert best.run_id == "early"


def test_trials_are_ranked_best_first_and_those_that_cannot_win_last():
    trials = sweep(
        trial("failed", 0.0, "failed"), trial("b", 2.0), trial("running", 0.5, "running"), trial("a", 1.0)
    )

    assert [row.run_id for row in ranked(trials)] == ["a", "b", "running", "failed"]


def test_the_best_so_far_follows_the_order_in_which_trials_were_begun():
    rows = (trial("c", 0.5, began=4.0), trial("a", math.nan, began=1.0), trial("b", 2.0, began=2.0))
    trials = sweep(*rows, trial("pending", state="pending"), trial("d", 3.0, began=3.0))

    assert [row.run_id for row in in_order(trials.rows)] == ["a", "b", "d", "c", "pending"]
    assert best_so_far(trials) == [None, 2.0, 2.0, 0.5, 0.5]


def test_states_are_counted_in_one_order():
    rows = [trial("a", state="failed"), trial("b"), trial("c"), trial("d", state="odd")]

    assert list(counts(rows).items()) == [("finished", 2), ("failed", 1), ("odd", 1)]


def test_what_differs_is_told_by_value_and_type():
    params = [{"lr": 1, "beta": 0.5, "layers": [1]}, {"lr": 1.0, "beta": 0.5, "layers": [1]}, {"layers": [1]}]

    assert differing(params) == ("lr", "beta")
