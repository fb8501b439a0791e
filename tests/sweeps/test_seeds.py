"""Trials that differ by their seed alone: mean, deviation, and how many count."""

import math

import pytest

from jade.sweeps import seeds
from jade.trials import Trial, Trials


def sweep(*rows, parameters=("lr", "seed"), goal="minimize"):
    trials = [
        Trial(f"r{number}", f"r{number}", state, {"lr": lr, "seed": number}, last=last, seconds=10.0 * number)
        for number, (lr, last, state) in enumerate(rows)
    ]
    return Trials("p", "p", "grid", "Loss", goal, parameters, "finished", None, tuple(trials))


def test_mean_and_deviation_are_those_of_the_sample():
    (group,) = seeds.groups(sweep((0.1, 1.0, "finished"), (0.1, 2.0, "finished"), (0.1, 4.0, "finished")))

    assert group.params == {"lr": 0.1}
    assert group.mean == pytest.approx(7 / 3)
    assert group.deviation == pytest.approx(1.5275252)
    assert group.seconds == 10.0


def test_only_finished_trials_with_a_number_count_and_the_others_are_counted():
    (group,) = seeds.groups(
        sweep(
            (0.1, 1.0, "finished"), (0.1, 9.0, "failed"), (0.1, math.nan, "finished"), (0.1, 5.0, "running")
        )
    )

    assert (group.values, group.uncounted, group.mean, group.deviation) == ((1.0,), 3, 1.0, None)


@pytest.mark.parametrize(("goal", "order"), [("minimize", [0.2, 0.1, 0.3]), ("maximize", [0.1, 0.2, 0.3])])
def test_points_come_best_first_and_those_without_a_value_last(goal, order):
    found = seeds.groups(
        sweep((0.3, 0.0, "failed"), (0.1, 5.0, "finished"), (0.2, 1.0, "finished"), goal=goal)
    )

    assert [group.params["lr"] for group in found] == order


def test_trials_are_grouped_where_some_point_has_several_seeds():
    twice = sweep((0.1, 1.0, "finished"), (0.1, 2.0, "finished"))

    assert seeds.are_tried(twice)
    assert not seeds.are_tried(sweep((0.1, 1.0, "finished"), (0.2, 2.0, "finished")))
    assert not seeds.are_tried(sweep((0.1, 1.0, "finished"), (0.1, 2.0, "finished"), parameters=("lr",)))


def test_one_and_one_point_nought_are_two_points():
    assert len(seeds.groups(sweep((1, 1.0, "finished"), (1.0, 2.0, "finished")))) == 2
