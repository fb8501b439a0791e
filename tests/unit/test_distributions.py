import math
from datetime import date

import pytest
from scipy import stats

from jade import distributions
from jade.distributions import KNOWN
from jade.errors import ConfigError

SHARES = (1e-9, 0.01, 0.1, 0.3, 0.5, 0.77, 0.99, 1 - 1e-9)


def of(**spec):
    return distributions.parse("lr", spec, "sweep.yml:7")


def fault(spec):
    with pytest.raises(ConfigError) as caught:
        distributions.parse("lr", spec, "sweep.yml:7")
    return str(caught.value)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"value": 3}, "constant"),
        ({"values": [1, 2]}, "categorical"),
        ({"values": [1, 2], "probabilities": [0.5, 0.5]}, "categorical_w_probabilities"),
        ({"min": 1, "max": 3}, "int_uniform"),
        ({"min": 1, "max": 3.0}, "uniform"),
        ({"min": 0.1, "max": 3}, "uniform"),
        ({"distribution": "categorical", "values": [1], "probabilities": [1]}, "categorical"),
        ({"distribution": "beta"}, "beta"),
    ],
)
def test_a_distribution_that_is_not_named_follows_from_what_is_given(spec, name):
    assert of(**spec).name == name


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"distribution": "uniform", "min": -1, "max": 3}, stats.uniform(-1, 4)),
        ({"distribution": "log_uniform", "min": -3, "max": 1}, stats.loguniform(math.exp(-3), math.exp(1))),
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1}, stats.loguniform(1e-4, 1)),
        (
            {"distribution": "inv_log_uniform", "min": -1, "max": 3},
            stats.loguniform(math.exp(-3), math.exp(1)),
        ),
        ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1}, stats.loguniform(1e-4, 1)),
        ({"distribution": "normal"}, stats.norm()),
        ({"distribution": "normal", "mu": 5, "sigma": 0.1}, stats.norm(5, 0.1)),
        ({"distribution": "log_normal", "mu": 1, "sigma": 2}, stats.lognorm(2, scale=math.e)),
        ({"distribution": "beta", "a": 2, "b": 5}, stats.beta(2, 5)),
    ],
)
def test_a_quantile_is_that_of_scipy(spec, expected):
    quantile = of(**spec).quantile

    for share in SHARES:
        assert quantile(share) == pytest.approx(expected.ppf(share), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("a", [0.05, 0.5, 1, 3, 40, 1e5])
@pytest.mark.parametrize("b", [0.3, 1, 7, 1e4])
def test_a_beta_quantile_is_exact_to_a_millionth(a, b):
    quantile = of(distribution="beta", a=a, b=b).quantile

    for share in SHARES:
        assert quantile(share) == pytest.approx(stats.beta.ppf(share, a, b), abs=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        {"distribution": "normal", "mu": 2, "sigma": 3},
        {"distribution": "log_normal"},
        {"distribution": "beta", "a": 2, "b": 3},
    ],
)
def test_the_share_below_a_value_leads_back_to_it(spec):
    distribution = of(**spec)

    for share in (0.001, 0.3, 0.5, 0.9):
        assert distribution.share(distribution.quantile(share)) == pytest.approx(share)
    assert 0 < distribution.share(-1e9) < distribution.share(1e9) < 1


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.1}, [0.1, 0.2, 0.3, 0.4, 0.5]),
        ({"distribution": "q_uniform", "min": 0.2, "max": 0.9, "q": 0.5}, [0.5]),
        ({"distribution": "q_uniform", "min": 3, "max": 9, "q": 2}, [4, 6, 8]),
        ({"distribution": "q_uniform", "min": 0.5, "max": 3.5}, [1, 2, 3]),
        ({"distribution": "q_log_uniform_values", "min": 0.1, "max": 3, "q": 1}, [1, 2, 3]),
        ({"distribution": "q_log_uniform", "min": 0, "max": 1, "q": 0.5}, [1.0, 1.5, 2.0, 2.5]),
        ({"distribution": "q_beta", "a": 2, "b": 2, "q": 0.3}, [0.0, 0.3, 0.6, 0.9]),
        ({"min": -1, "max": 2}, [-1, 0, 1, 2]),
        ({"min": 2, "max": 2}, [2]),
        ({"values": ["a", None, [1], {"b": 1}]}, ["a", None, [1], {"b": 1}]),
        ({"value": [1, 2]}, [[1, 2]]),
    ],
)
def test_a_grid_lists_every_value_and_draws_reach_each_of_them(spec, expected):
    distribution = of(**spec)

    grid = list(distribution.grid())
    drawn = [distribution.quantile((step + 0.5) / 1000) for step in range(1000)]

    assert grid == expected
    assert [type(value) for value in grid] == [type(value) for value in expected]
    assert list({distributions.text_of(value): value for value in drawn}.values()) == expected
    assert [distribution.index(value) for value in grid] == list(range(len(expected)))


@pytest.mark.parametrize("name", ["uniform", "log_uniform", "normal", "q_normal", "q_log_normal", "beta"])
def test_what_cannot_be_listed_has_no_grid(name):
    bounds = {"min": 0.5, "max": 1} if "uniform" in name else {}

    assert of(distribution=name, **bounds).grid() is None


def test_a_large_grid_is_not_held_in_memory():
    grid = of(min=0, max=10**9).grid()

    assert len(grid) == 10**9 + 1
    assert (grid[0], grid[-1], grid[5:8]) == (0, 10**9, [5, 6, 7])
    assert next(iter(grid)) == 0


def test_values_that_python_holds_equal_are_several_points_and_a_repeated_one_is_not():
    distribution = of(values=[1, True, 1.0, "1", 1, [1], [True]])

    assert [repr(value) for value in distribution.grid()] == ["1", "True", "1.0", "'1'", "[1]", "[True]"]
    assert distribution.index(1.0) == 2
    assert distribution.index("2") is None


@pytest.mark.parametrize("value", [True, 0, 6, 3.5, "3", None, [3], math.nan, math.inf, 10**400])
def test_a_value_that_is_not_of_the_grid_has_no_place_in_it(value):
    assert of(min=1, max=5).index(value) is None


def test_probabilities_are_the_share_of_each_value():
    distribution = of(values=["a", "b", "c", "d"], probabilities=[0.2, 0, 0.8, 0])

    drawn = [distribution.quantile((step + 0.5) / 1000) for step in range(1000)]

    assert [drawn.count(value) for value in "abcd"] == [200, 0, 800, 0]
    assert distribution.quantile(1 - 2**-53) == "c"


def test_values_without_probabilities_are_equally_likely():
    drawn = [of(values=[7, 8]).quantile((step + 0.5) / 1000) for step in range(1000)]

    assert (drawn.count(7), drawn.count(8)) == (500, 500)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"value": "x"}, ["x"]),
        ({"values": [1, "a", None]}, [1, "a", None]),
        ({"min": 1, "max": 9}, [1, 9]),
        ({"distribution": "uniform", "min": 0, "max": 9}, [0.0, 9.0]),
        ({"distribution": "log_uniform", "min": 0, "max": 1}, [1.0, math.e]),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 1}, [1 / math.e, 1.0]),
        ({"distribution": "q_uniform", "min": 0.5, "max": 9}, [1, 9]),
        ({"distribution": "beta"}, [0.0, 1.0]),
    ],
)
def test_examples_show_the_ends_as_a_trial_gets_them(spec, expected):
    examples = of(**spec).examples()

    assert examples == expected
    assert [type(value) for value in examples] == [type(value) for value in expected]


def test_examples_of_what_has_no_ends_are_far_from_the_middle():
    low, high = of(distribution="log_normal", mu=0, sigma=1).examples()

    assert 0 < low < 0.1
    assert high > 10


@pytest.mark.parametrize("name", KNOWN)
def test_every_distribution_is_found_wanting_without_its_names_and_works_with_them(name):
    given = {"min": 0.5, "max": 4, "value": 1, "values": [1, 2], "probabilities": [0.3, 0.7]}
    given |= {"mu": 1, "sigma": 2, "a": 2, "b": 3, "q": 0.5} | ({"min": 1} if name == "int_uniform" else {})
    needed, possible = KNOWN[name]

    made = of(distribution=name, **{key: given[key] for key in (*needed, *possible)})

    assert made.name == name
    for missing in needed:
        rest = {key: given[key] for key in needed if key != missing}
        assert f"lr has no {missing!r}, which {name} needs." in fault({"distribution": name, **rest})


def test_a_fault_names_what_is_wrong_the_place_and_the_nearest_name():
    text = fault({"distribution": "log_unifrom_values", "min": 1, "max": 2})

    assert text.startswith(
        "lr has the distribution 'log_unifrom_values', which W&B does not know.\n  at: sweep.yml:7\n"
        "  did you mean: log_uniform_values\n  known: beta, categorical,"
    )


def test_a_name_that_the_distribution_does_not_have_is_shown_with_those_it_has():
    assert fault({"distribution": "q_normal", "sigmas": 1}) == (
        "lr sets 'sigmas', which q_normal does not have.\n  at: sweep.yml:7\n  did you mean: sigma\n"
        "  known: distribution, mu, q, sigma"
    )


def test_every_fault_of_a_parameter_is_found_at_once_each_at_its_place():
    spec = {"distribution": "q_uniform", "min": "a", "maxi": 1, "q": -1}

    with pytest.raises(ConfigError) as caught:
        distributions.parse("lr", spec, lambda name: f"line of {name or 'all'}")

    text = str(caught.value)
    assert text.startswith("4 faults were found.")
    for place in ("maxi", "all", "min", "q"):
        assert f"at: line of {place}\n" in text + "\n"


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("1e-3", "W&B reads 1e-3 as text. Write 1.0e-3"),
        ("1E3", "W&B reads 1E3 as text. Write 1.0e+3"),
        ("2.5e4", "W&B reads 2.5e4 as text. Write 2.5e+4"),
        ("0.1", "Write 0.1 without quotes."),
    ],
)
def test_a_number_that_yaml_takes_for_text_is_told_how_to_be_written(written, hint):
    assert fault({"min": written, "max": 1.0}) == (
        f"lr has the min {written!r}, which is text; a number is expected.\n  at: sweep.yml:7\n  {hint}"
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (0.1, "lr is 0.1, which does not say how to choose it.\n  at: sweep.yml:7\n  Write value: 0.1 below lr."),
        ([1, 2], "lr is [1, 2], which does not say how to choose it.\n  at: sweep.yml:7\n  Write values: [1, 2] below"),
        ({}, "lr does not say what to choose from.\n  at: sweep.yml:7\n  Write value, values, min and max, or"),
        ({"mu": 1}, "lr does not say what to choose from."),
        ({"distribution": None}, "lr has the distribution None, which W&B does not know."),
        ({"distribution": ["beta"]}, "lr has the distribution ['beta'], which W&B does not know."),
        ({"min": 1}, "lr has no 'max', which int_uniform needs."),
        ({"min": 1, "max": 2, "q": 1}, "lr sets 'q', which int_uniform does not have."),
        ({"value": 1, "values": [1]}, "lr sets 'values', which constant does not have."),
        ({"min": 2, "max": 1}, "lr has the min 2, which is above its max 1."),
        ({"min": True, "max": 1.0}, "lr has the min True, which is true or false; a number is expected."),
        ({"min": None, "max": 1.0}, "lr has the min None, which is null; a number is expected."),
        ({"min": math.nan, "max": 1.0}, "lr has the min nan; a finite number is expected."),
        ({"min": 1.0, "max": math.inf}, "lr has the max inf; a finite number is expected."),
        ({"min": 1, "max": 10**400}, "; a finite number is expected."),
        ({"min": date(2020, 1, 1), "max": 1.0}, "which is date; a number is expected."),
        ({"distribution": "int_uniform", "min": 1, "max": 2.5}, "lr has the max 2.5; int_uniform needs a whole"),
        ({"values": []}, "lr has an empty list of values."),
        ({"values": 3}, "lr has the values 3; a list is expected."),
        ({"values": "abc"}, "lr has the values 'abc'; a list is expected."),
        ({"values": [1], "probabilities": 1}, "lr has the probabilities 1; a list is expected."),
        ({"values": [1], "probabilities": ["1"]}, "lr has the probabilities '1', which is text"),
        ({"values": [1, 2], "probabilities": [1]}, "lr has 2 values and 1 probabilities; each value needs one."),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "lr has probabilities that sum to 1.1; they must sum to 1."),
        ({"values": [1, 2], "probabilities": [-0.5, 1.5]}, "lr has the probabilities [-0.5, 1.5]; none may be below"),
        ({"distribution": "normal", "sigma": 0}, "lr has the sigma 0; a number above 0 is expected."),
        ({"distribution": "beta", "a": -1}, "lr has the a -1; a number above 0 is expected."),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "lr has the q 0; a number above 0 is expected."),
        ({"distribution": "q_uniform", "min": 0.1, "max": 0.4}, "lr has no multiple of 1 between 0.1 and 0.4."),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "lr has the min 0; log_uniform_values needs one"),
        ({"distribution": "inv_log_uniform_values", "min": -1, "max": 1}, "lr has the min -1; inv_log_uniform_values"),
        ({"distribution": "log_uniform", "min": 1, "max": 1000}, "For min and max as values write distribution: log_u"),
        ({"distribution": "log_normal", "mu": 800}, "mu and sigma are those of the logarithm."),
    ],
)  # fmt: skip
def test_a_fault_says_what_is_wrong_with_a_parameter(spec, expected):
    assert expected in fault(spec)


@pytest.mark.parametrize(
    "spec",
    [
        {"min": 1.0, "max": 1.0},
        {"distribution": "int_uniform", "min": 1.0, "max": 5.0},
        {"distribution": "log_uniform", "min": -20, "max": -20},
        {"values": [1, 2, 3], "probabilities": [0.333333, 0.333333, 0.333334]},
        {"values": ["1e-3", math.nan]},
        {"value": None},
        {"distribution": "constant", "value": {"a": 1}},
        {"distribution": "q_normal", "q": 100},
        {"distribution": "q_beta", "q": 3},
    ],
)
def test_what_is_odd_but_right_is_accepted(spec):
    distribution = of(**spec)

    assert len(distribution.examples()) >= 1
    distribution.quantile(0.5)
