"""Where values stand on an axis of the picture, and what is written beside it."""

import math
import random

import pytest

from jade import texts
from jade.sweeps import scales


def labels(scale):
    return [text for _, text in scale.ticks()]


def test_numbers_over_some_decades_stand_on_a_logarithmic_axis():
    scale = scales.of_values([1e-4, 1e-3, 1e-2, 1e-1])

    assert scale.kind == "log"
    assert [scale.at(value) for value in (1e-4, 1e-1)] == [0.0, 1.0]
    assert scale.at(0.0) is None
    assert labels(scale) == ["0.0001", "0.001", "0.01", "0.1"]


def test_even_numbers_stay_on_a_linear_axis_though_one_is_near_zero():
    chance = random.Random(0)

    scale = scales.of_values([1e-6, *(chance.uniform(0, 1) for _ in range(60))])

    assert scale.kind == "linear"
    assert labels(scale) == ["0.2", "0.4", "0.6", "0.8"]


def test_numbers_with_a_negative_one_are_linear():
    assert scales.of_values([-1.0, 1.0, 1e6]).kind == "linear"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([32, 2, 8, 2], ["2", "8", "32"]),
        ([True, False], ["false", "true"]),
        ([None, 0.5, 0.9], ["0.5", "0.9", "null"]),
        ([[256, 64], [64], [64]], ["[64]", "[256, 64]"]),
        (["relu", "tanh"], ["relu", "tanh"]),
        (["modules/a/conv.py", "modules/a/plain.py"], ["conv.py", "plain.py"]),
        ([3, 3], ["3"]),
        ([], []),
    ],
)
def test_categories_stand_in_a_row_in_a_natural_order(values, shown):
    scale = scales.of_values(values)

    assert labels(scale) == shown
    assert [scale.at(value) for value in values] == [
        (sorted({scale.at(one) for one in values}).index(scale.at(value)) + 0.5) / len(shown)
        for value in values
    ]


def test_a_value_that_is_no_category_has_no_place():
    assert scales.of_values(["a", "b"]).at("c") is None
    assert scales.of_values([0.1, 0.2, 0.3]).at(math.nan) is None


def test_many_categories_are_labelled_here_and_there():
    assert len(labels(scales.of_values([f"name {number}" for number in range(50)]))) == 10


def test_long_labels_lose_their_middle():
    assert texts.shortened_in_the_middle("a_very_long_name_of_something", 13) == "a_very…ething"
    assert texts.shortened_in_the_middle("short", 13) == "short"


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("count", [3, 20, 300])
def test_a_diverged_value_does_not_flatten_the_rest(goal, count):
    sign = 1 if goal == "minimize" else -1
    chance = random.Random(1)
    values = [sign * chance.uniform(1, 3) for _ in range(count - 1)] + [sign * 1e9]

    scale = scales.of_metric(values, goal)

    assert max(abs(scale.low), abs(scale.high)) < 3
    assert not 0 <= scale.at(sign * 1e9) <= 1


def test_the_best_value_is_never_left_out():
    scale = scales.of_metric([-1e9, *range(20)], "minimize")

    assert scale.at(-1e9) == 0.0


def test_usual_values_are_all_on_the_axis():
    chance = random.Random(2)
    values = [chance.lognormvariate(0, 1) for _ in range(200)]

    scale = scales.of_metric(values, "minimize")

    assert all(0 <= scale.at(value) <= 1 for value in values)


def test_a_metric_over_decades_is_logarithmic():
    assert scales.of_metric([10.0**-power for power in range(12)], "minimize").kind == "log"


def test_equal_values_stand_in_the_middle():
    scale = scales.of_metric([0.5] * 10, "minimize")

    assert scale.at(0.5) == 0.5
    assert labels(scale) == ["0.5"]


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-3, 4), (0.1, 0.10001), (1e6, 3e6), (100000.1, 100000.2), (-1e-9, 1e-9)]
)
def test_an_axis_has_a_few_round_numbers_inside(low, high):
    ticks = scales.Scale("linear", low, high).ticks()

    assert 3 <= len(ticks) <= 9
    assert all(-1e-6 <= at <= 1 + 1e-6 for at, _ in ticks)
    assert len({text for _, text in ticks}) == len(ticks)
