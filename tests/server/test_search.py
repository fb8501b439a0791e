import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace

import pytest

from jade.errors import ConfigError
from jade.server import bayes
from jade.server.search import Space, Trial, faults, propose
from tests.conftest import REPOSITORY

X = {"min": 0.0, "max": 1.0}
EVERY_DISTRIBUTION = {
    "constant": {"value": [1, 2]},
    "categorical": {"values": ["a", [1], {"b": 2}, None, True]},
    "weighted": {"values": [1, 2, 3], "probabilities": [0.5, 0.25, 0.25]},
    "int_uniform": {"min": -3, "max": 7},
    "uniform": {"min": -1.5, "max": 2.5},
    "q_uniform": {"distribution": "q_uniform", "min": 0.1, "max": 0.9, "q": 0.2},
    "log_uniform": {"distribution": "log_uniform", "min": -4, "max": 2},
    "log_uniform_values": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1},
    "q_log_uniform": {"distribution": "q_log_uniform", "min": 0, "max": 4},
    "q_log_uniform_values": {"distribution": "q_log_uniform_values", "min": 0.01, "max": 9, "q": 0.5},
    "inv_log_uniform": {"distribution": "inv_log_uniform", "min": -2, "max": 3},
    "inv_log_uniform_values": {"distribution": "inv_log_uniform_values", "min": 0.1, "max": 3},
    "normal": {"distribution": "normal", "mu": 3},
    "q_normal": {"distribution": "q_normal", "sigma": 4, "q": 2},
    "log_normal": {"distribution": "log_normal"},
    "q_log_normal": {"distribution": "q_log_normal", "q": 0.25},
    "beta": {"distribution": "beta", "a": 2, "b": 5},
    "q_beta": {"distribution": "q_beta", "a": 2, "b": 5, "q": 0.1},
    "fixed": {"min": 2.0, "max": 2.0},
}


def sweep(method, parameters, goal="minimize", **others):
    return {"method": method, "metric": {"name": "loss", "goal": goal}, "parameters": parameters, **others}


def run(config, count, seed=0, metric=lambda params: 0.0, state="finished"):
    """Return the trials of a sweep, each of which ends before the next is proposed."""
    trials = []
    while len(trials) < count and (params := propose(config, trials, seed)) is not None:
        # As the server keeps them.
        trials.append(Trial(json.loads(json.dumps(params)), state, metric(params)))
    return trials


def proposed(*arguments, **options):
    return [trial.params for trial in run(*arguments, **options)]


def test_a_grid_is_the_full_product_with_the_first_parameter_changing_slowest():
    parameters = {
        "seed": {"values": [1, 2]},
        "model": {"parameters": {"class": {"values": ["VAE", "VIB"]}, "params": {"parameters": {"z": {"min": 1, "max": 2}}}}},
        "epochs": {"value": 5},
    }  # fmt: skip

    params = proposed(sweep("grid", parameters), 99)

    assert list(params[0]) == ["seed", "model.class", "model.params.z", "epochs"]
    assert [tuple(each.values()) for each in params] == list(
        itertools.product([1, 2], ["VAE", "VIB"], [1, 2], [5])
    )


def test_a_grid_tells_values_apart_that_python_holds_equal_and_takes_any_value():
    values = [1, True, 1.0, "1", [1], [True], {"a": 1}, {}, None, 1]

    params = proposed(sweep("grid", {"x": {"values": values}}), 99)

    assert [repr(each["x"]) for each in params] == [repr(value) for value in values[:-1]]


def test_a_huge_grid_starts_at_once():
    parameters = {name: {"min": 0, "max": 10**6} for name in "abc"} | {"d": {"min": 0, "max": 10**30}}

    assert proposed(sweep("grid", parameters), 3) == [{"a": 0, "b": 0, "c": 0, "d": at} for at in range(3)]


@pytest.mark.parametrize("state", ["pending", "running", "failed", "crashed", "killed", "preempted"])
def test_a_point_of_the_grid_is_taken_whatever_became_of_its_trial(state):
    config = sweep("grid", {"x": {"values": [1, 2, 3]}})

    assert proposed(config, 99, state=state) == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_hole_in_the_grid_is_filled_and_trials_from_elsewhere_take_no_point():
    config = sweep("grid", {"x": {"values": [1, 2]}, "y": {"values": [1, 2]}})
    elsewhere = [{"x": 1, "y": 3}, {"x": 1}, {"x": 1.0, "y": 1}, {}]
    trials = [Trial(params, "finished") for params in ({"x": 1, "y": 1}, {"x": 2, "y": 1}, *elsewhere)]

    assert propose(config, trials, 0) == {"x": 1, "y": 2}


def test_a_grid_of_rounded_numbers_ends():
    parameters = {"x": {"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.1}, "y": {"min": 1, "max": 3}}

    assert len(proposed(sweep("grid", parameters), 99)) == 33


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_every_distribution_is_searched_within_its_values(method):
    config = sweep(method, EVERY_DISTRIBUTION)
    distributions = Space.parse(EVERY_DISTRIBUTION).distributions

    trials = run(config, 30, metric=lambda params: abs(params["uniform"]) + params["beta"])

    assert len({json.dumps(trial.params) for trial in trials}) == 30
    for name, distribution in distributions.items():
        for trial in trials:
            value = trial.params[name]
            if distribution.count() is not None:
                assert distribution.index(value) is not None
            else:
                assert distribution.lower <= value <= distribution.upper
                assert type(value) is float or "q" in EVERY_DISTRIBUTION[name] or "q_" in name


@pytest.mark.parametrize("method", ["random", "bayes"])
def test_the_same_seed_proposes_the_same_trials_and_another_seed_others(method):
    config = sweep(method, EVERY_DISTRIBUTION)

    def metric(params):
        return params["normal"] ** 2

    assert proposed(config, 14, seed=3, metric=metric) == proposed(config, 14, seed=3, metric=metric)
    assert proposed(config, 1, seed=3) != proposed(config, 1, seed=4)


def test_another_process_proposes_the_same():
    program = (
        "import json; from jade.server.search import Trial, propose\n"
        "trials = []\n"
        "for _ in range(12):\n"
        "    params = propose({'method': 'bayes', 'parameters': json.loads(input_)}, trials, 7)\n"
        "    trials.append(Trial(params, 'finished', params['normal']))\n"
        "print(json.dumps([trial.params for trial in trials]))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", f"input_ = {json.dumps(EVERY_DISTRIBUTION)!r}\n{program}"],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    assert len(found) == 1
    config = sweep("bayes", EVERY_DISTRIBUTION)
    assert json.loads(found.pop()) == proposed(config, 12, seed=7, metric=lambda params: params["normal"])


def test_a_random_sweep_draws_by_the_distribution():
    config = sweep("random", {"x": {"values": ["a", "b"], "probabilities": [0.8, 0.2]}, "y": X})

    params = proposed(config, 400)

    assert 290 < [each["x"] for each in params].count("a") < 350
    assert 0.45 < sum(each["y"] for each in params) / 400 < 0.55


def test_a_parameter_that_is_added_leaves_the_others_as_they_were():
    few, more = {"x": X}, {"w": X, "x": X}

    assert [each["x"] for each in proposed(sweep("random", few), 5)] == [
        each["x"] for each in proposed(sweep("random", more), 5)
    ]


@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
def test_run_cap_ends_a_sweep(method):
    assert len(run(sweep(method, {"x": {"min": 0, "max": 50}}, run_cap=12), 99)) == 12


@pytest.mark.parametrize(
    ("goal", "values", "goes_on"),
    [
        ("minimize", [0.5, 0.2], True),
        ("minimize", [0.5, 0.1], False),
        ("minimize", [0.05, 0.5], False),
        ("minimize", [math.nan], True),
        ("maximize", [0.05], True),
        ("maximize", [0.5, 0.1], False),
        ("maximize", [], True),
    ],
)
def test_a_sweep_ends_when_a_trial_has_come_to_the_target(goal, values, goes_on):
    config = sweep("random", {"x": X})
    config["metric"] |= {"goal": goal, "target": 0.1}
    trials = [Trial({"x": 0.5}, "running", values[-1] if values else None, values)]

    assert (propose(config, trials, 0) is not None) == goes_on


SPACES = {
    "uniform": (
        {"x": {"min": -5.0, "max": 5.0}, "y": {"min": -5.0, "max": 5.0}},
        lambda params: (params["x"] - 1) ** 2 + (params["y"] + 2) ** 2,
    ),
    "log": (
        {"x": {"min": -5.0, "max": 5.0}, "lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1}},
        lambda params: (params["x"] - 1) ** 2 + (math.log10(params["lr"]) + 3) ** 2,
    ),
    "quantiles": (
        {"x": {"distribution": "normal"}, "y": {"distribution": "beta", "a": 2, "b": 2}},
        lambda params: (params["x"] - 1) ** 2 + 4 * (params["y"] - 0.2) ** 2,
    ),
}


@pytest.mark.parametrize("name", SPACES)
def test_bayes_beats_random_on_a_quadratic_in_most_seeds(name):
    parameters, quadratic = SPACES[name]

    def best(method, seed):
        return min(trial.metric for trial in run(sweep(method, parameters), 30, seed, quadratic))

    wins = sum(best("bayes", seed) < best("random", seed) for seed in range(10))

    assert wins >= 8


def test_bayes_goes_up_where_the_goal_is_to_maximize():
    config = sweep("bayes", {"x": X}, "maximize")

    trials = run(config, 40, metric=lambda params: -((params["x"] - 0.9) ** 2))

    assert all(0.7 < trial.params["x"] <= 1 for trial in trials[-5:])


def test_bayes_finds_the_best_of_values_that_cannot_be_hashed():
    config = sweep("bayes", {"layers": {"values": [[1], [2, 2], {"a": 1}, [4]]}, "x": X})

    trials = run(config, 40, metric=lambda params: float(params["layers"] != [2, 2]) + params["x"])

    assert [trial.params["layers"] for trial in trials[-10:]].count([2, 2]) >= 8


@pytest.mark.parametrize("state", ["running", "pending", "preempted"])
def test_agents_that_ask_at_once_get_different_points_far_from_each_other(state):
    config = sweep("bayes", {"x": X, "y": X})
    trials = run(config, 15, metric=lambda params: params["x"] ** 2 + params["y"] ** 2)

    for _ in range(6):
        trials.append(Trial(propose(config, trials, 0), state))

    waiting = [(trial.params["x"], trial.params["y"]) for trial in trials[15:]]
    assert len(set(waiting)) == 6
    assert max(math.dist(*pair) for pair in itertools.combinations(waiting, 2)) > 0.05


@pytest.mark.parametrize(
    ("state", "metric"),
    [
        ("failed", None),
        ("failed", 0.0),
        ("crashed", None),
        ("finished", math.nan),
        ("finished", math.inf),
        ("finished", None),
    ],
)
def test_bayes_leaves_a_region_in_which_trials_fail(state, metric):
    config, trials = sweep("bayes", {"x": X}), []

    for _ in range(40):
        params = propose(config, trials, 1)
        fails = params["x"] < 0.5
        trials.append(Trial(params, state, metric) if fails else Trial(params, "finished", params["x"]))

    assert sum(trial.params["x"] < 0.5 for trial in trials[-15:]) <= 7


@pytest.mark.parametrize("state", ["running", "failed", "crashed"])
def test_bayes_goes_on_where_no_trial_has_a_value_yet(state):
    assert len(run(sweep("bayes", EVERY_DISTRIBUTION), 15, metric=lambda params: None, state=state)) == 15


def test_bayes_passes_over_trials_whose_params_it_would_not_propose():
    config = sweep("bayes", {"x": X, "y": {"values": [1, 2]}})
    trials = run(config, 12, metric=lambda params: params["x"])
    strange = [{"x": "a", "y": 1}, {"x": 0.5, "y": 3}, {}, {"x": math.nan, "y": 1}, {"x": True, "y": 1}]

    found = propose(config, [*trials, *(Trial(params, "finished", 0.0) for params in strange)], 0)

    assert 0 <= found["x"] <= 1
    assert found["y"] in (1, 2)


def test_bayes_of_constants_alone_proposes_them():
    assert proposed(sweep("bayes", {"x": {"value": 1}}), 12) == [{"x": 1}] * 12


def test_without_optuna_bayes_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)

    (fault,) = faults(sweep("bayes", {"x": X}))

    assert str(fault) == (
        "method: bayes needs Optuna, which is not installed.\n  at: method\n  pip install optuna"
    )
    with pytest.raises(ConfigError):
        bayes.load_optuna()


def test_a_proposal_leaves_what_it_was_given_alone():
    config = sweep("bayes", {"x": {"values": [[1], [2]]}, "y": X})
    trials = run(config, 12)
    before = json.dumps([config, [vars(trial) for trial in trials]])

    propose(config, trials, 0)

    assert json.dumps([config, [vars(trial) for trial in trials]]) == before
    assert replace(trials[0]) == trials[0]


@pytest.mark.parametrize("method", ["grid", "random", "bayes"])
@pytest.mark.parametrize(
    "rules", [{"min_iter": 1}, {"min_iter": 3, "eta": 1.5, "strict": True}, {"max_iter": 27, "s": 2}]
)
def test_no_fault_is_found_in_a_right_sweep(method, rules):
    parameters = {"x": {"values": [1]}, "m": {"parameters": {"y": {"min": 1, "max": 2}}}}
    config = sweep(method, parameters, run_cap=3, early_terminate={"type": "hyperband", **rules})
    config["metric"] |= {"target": 0.1}

    assert faults(config) == []
    assert faults({"method": "random", "parameters": parameters, "program": "train.py"}) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"method": "baies"}, "The method 'baies' is not known.\n  at: method\n  did you mean: bayes\n  known: bayes, grid"),
        ({"method": ["grid"]}, "The method ['grid'] is not known."),
        ({"parameters": None}, "The sweep has no parameters."),
        ({"parameters": {}}, "The sweep has no parameters."),
        ({"parameters": [1]}, "The sweep has no parameters."),
        ({"parameters": {"x": 1}}, "x is 1, which does not say how to choose it.\n  at: parameters.x"),
        ({"parameters": {"m": {"parameters": {"x": {"min": 2, "max": 1}}}}}, "m.x has the min 2, which is above its max 1.\n  at: parameters.m.x"),
        ({"parameters": {"m": {"parameters": {}}}}, "m has no parameters.\n  at: parameters.m"),
        ({"parameters": {"m": {"parameters": {"x": X}, "min": 1}}}, "m has other names beside its parameters."),
        ({"parameters": {"m.x": X, "m": {"parameters": {"x": X}}}}, "m.x is a parameter twice."),
        ({"method": "grid", "parameters": {"x": X}}, "x is uniform, whose values a grid cannot list.\n  at: parameters.x"),
        ({"method": "bayes", "metric": None}, "The sweep has no metric, which method: bayes must judge by."),
        ({"metric": None, "early_terminate": {"type": "hyperband", "min_iter": 1}}, "which early_terminate must judge by."),
        ({"metric": "loss"}, "The metric 'loss' has no name."),
        ({"metric": {"goal": "minimize"}}, "The metric {'goal': 'minimize'} has no name."),
        ({"metric": {"name": "loss", "goal": "minimise"}}, "The goal 'minimise' is not known.\n  at: metric.goal\n  did you mean: minimize"),
        ({"metric": {"name": "loss", "target": "low"}}, "The target is 'low'; a number is expected."),
        ({"run_cap": 0}, "run_cap is 0; a whole number above 0 is expected."),
        ({"run_cap": True}, "run_cap is True; a whole number above 0 is expected."),
        ({"run_cap": 1.5}, "run_cap is 1.5; a whole number above 0 is expected."),
        ({"early_terminate": "hyperband"}, "early_terminate is 'hyperband'; W&B knows the type hyperband only."),
        ({"early_terminate": {"type": "median"}}, "W&B knows the type hyperband only."),
        ({"early_terminate": {"type": "hyperband"}}, "hyperband has neither min_iter, nor max_iter and s."),
        ({"early_terminate": {"type": "hyperband", "max_iter": 9}}, "hyperband has neither min_iter, nor max_iter and s."),
        ({"early_terminate": {"type": "hyperband", "max_iter": 2, "s": 1}}, "max_iter of hyperband is below eta"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 0}}, "min_iter of hyperband is 0; a whole number above 0 is expected."),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 1}}, "eta of hyperband is 1; a number above 1 is expected."),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1, "strict": 1}}, "strict of hyperband is 1; true or false is expected."),
        ({"early_terminate": {"type": "hyperband", "min_iters": 1, "min_iter": 1}}, "hyperband has no 'min_iters'.\n  at: early_terminate.min_iters\n  did you mean: min_iter"),
    ],
)  # fmt: skip
def test_a_sweep_that_cannot_be_searched_is_refused_with_the_reason(change, expected):
    found = faults(sweep("random", {"x": X}) | change)

    assert len(found) == 1
    assert expected in str(found[0])


def test_every_reason_is_given_at_once():
    found = faults({"method": "grid", "parameters": {"x": X, "y": {}}, "metric": 3, "run_cap": "many"})

    assert len(found) == 3
    assert len(faults({})) == 2
