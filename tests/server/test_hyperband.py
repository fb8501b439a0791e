import math

import pytest

from jade.server.search import Trial, losers


def sweep(goal="minimize", **rules):
    return {"metric": {"name": "loss", "goal": goal}, "early_terminate": {"type": "hyperband", **rules}}


def running(*history):
    return Trial({}, "running", history[-1] if history else None, history)


def ended(*history, state="finished"):
    return Trial({}, state, history[-1], history)


def test_the_worst_third_of_nine_trials_is_stopped_and_the_best_ones_go_on():
    trials = [running(*[loss] * 3) for loss in (0.5, 0.9, 0.1, 0.4, 0.8, 0.2, 0.6, 0.7, 0.3)]

    assert losers(sweep(min_iter=3, eta=1.5), trials) == [1, 4, 7]


def test_the_best_third_of_nine_trials_goes_on_where_eta_is_three():
    trials = [running(*[loss] * 3) for loss in (0.5, 0.9, 0.1, 0.4, 0.8, 0.2, 0.6, 0.7, 0.3)]

    assert losers(sweep(min_iter=3), trials) == [0, 1, 3, 4, 6, 7]


def test_the_greatest_are_the_best_where_the_goal_is_to_maximize():
    trials = [running(*[accuracy] * 3) for accuracy in (0.5, 0.9, 0.1)]

    assert losers(sweep("maximize", min_iter=3), trials) == [0, 2]


def test_no_trial_is_judged_before_it_reaches_the_first_bracket():
    trials = [running(0.1, 0.1, 0.1), running(9.0, 9.0), running()]

    assert losers(sweep(min_iter=3), trials) == []


def test_a_trial_is_compared_with_those_that_have_ended_whatever_became_of_them():
    trials = [
        ended(0.1, 0.1),
        ended(0.2, 0.2, state="killed"),
        ended(0.3, 0.3, state="failed"),
        running(0.25, 0.4),
    ]

    assert losers(sweep(min_iter=2), trials) == [3]


@pytest.mark.parametrize("state", ["pending", "finished", "killed", "crashed", "preempted"])
def test_only_a_running_trial_is_stopped(state):
    trials = [ended(0.1), ended(0.9, state=state)]

    assert losers(sweep(min_iter=1), trials) == []


def test_the_first_trial_to_come_goes_on():
    assert losers(sweep(min_iter=1), [running(9.0, 9.0, 9.0)]) == []


def test_a_trial_is_judged_by_its_best_value_up_to_the_bracket_and_not_by_a_later_one():
    early, late = running(0.2, 0.9, 0.9), running(0.9, 0.9, 0.9, 0.1)

    assert losers(sweep(min_iter=3), [early, late]) == [1]


def test_nan_at_the_bracket_is_the_worst_whatever_came_before():
    trials = [running(0.1, math.nan), running(0.9, 0.9), running(0.8, 0.8)]

    assert losers(sweep(min_iter=2, eta=1.5), trials) == [0]
    assert losers(sweep("maximize", min_iter=2, eta=1.5), trials) == [0]


def test_a_nan_before_the_bracket_is_passed_over():
    trials = [running(math.nan, 0.1), running(0.9, 0.9)]

    assert losers(sweep(min_iter=2), trials) == [1]


def test_trials_that_are_all_alike_go_on_together():
    assert losers(sweep(min_iter=1), [running(0.5)] * 9) == []
    assert losers(sweep(min_iter=1), [running(math.nan)] * 9) == []


def test_the_second_bracket_is_eta_times_the_first():
    rest = [ended(*[0.1] * 8), ended(*[0.2] * 8)]

    assert losers(sweep(min_iter=2, eta=4), [*rest, running(*[0.1] * 7, 0.05)]) == []
    assert losers(sweep(min_iter=2, eta=4), [*rest, running(*[0.1] * 2, *[0.3] * 6)]) == []
    assert losers(sweep(min_iter=2, eta=4), [*rest, running(*[0.3] * 8)]) == [2]


def test_max_iter_and_s_give_the_brackets_downwards():
    better = ended(*[0.1] * 27)

    stopped = [
        count
        for count in range(1, 28)
        if losers(sweep(max_iter=27, s=2), [better, running(*[0.9] * count)]) == [1]
    ]

    assert stopped[0] == 3
    assert losers(sweep(max_iter=27, s=1), [better, running(*[0.9] * 8)]) == []
    assert losers(sweep(max_iter=27, s=1), [better, running(*[0.9] * 9)]) == [1]


def test_a_bracket_below_one_value_is_none():
    assert losers(sweep(max_iter=4, s=9), [ended(0.1), running(0.9)]) == [1]


def test_strict_judges_at_the_lower_brackets_too():
    # The running trial is alone at the second bracket; at the first, better ones came after it.
    trials = [running(*[0.5] * 9), ended(0.1, 0.1, 0.1), ended(0.2, 0.2, 0.2)]

    assert losers(sweep(min_iter=3), trials) == []
    assert losers(sweep(min_iter=3, strict=True), trials) == [0]


def test_a_sweep_without_early_termination_stops_no_trial():
    assert losers({"metric": {"name": "loss"}}, [ended(0.1), running(0.9)]) == []


def test_a_long_history_and_a_large_first_bracket_are_no_burden():
    trials = [running(*[float(index)] * 20_000) for index in range(6)]

    assert losers(sweep(min_iter=1, eta=2), trials) == [3, 4, 5]
    assert losers(sweep(min_iter=10**9), trials) == []
