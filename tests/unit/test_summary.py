from pathlib import Path

import pytest

from jade import summary
from jade.summary import Metrics, more_is_better


def metrics(**series):
    found = Metrics()
    for name, values in series.items():
        for iteration, value in enumerate(values):
            found.add(name, value, iteration * 10)
    return found


def best(name, *values):
    series = metrics(**{name: values}).series[name]
    return series.best, series.best_at


def test_the_last_and_the_best_value_are_kept_with_their_iterations():
    series = metrics(loss=[3.0, 1.0, 2.0]).series["loss"]

    assert (series.last, series.last_at, series.best, series.best_at) == (2.0, 20, 1.0, 10)


def test_of_an_accuracy_the_highest_is_the_best():
    assert best("TestAccuracy", 0.5, 0.9, 0.7) == (0.9, 10)


def test_of_equal_values_the_first_is_the_best():
    assert best("loss", 1.0, 1.0) == (1.0, 0)


def test_a_value_that_is_added_is_said_to_be_the_best_so_far_or_not():
    found, nan = Metrics(), float("nan")

    said = [found.add("loss", value, 0) for value in (nan, nan, 3.0, 3.0, 2.0, nan, 4.0)]

    assert said == [False, False, True, False, True, False, False]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([float("nan"), 2.0], (2.0, 10)),
        ([2.0, float("nan")], (2.0, 0)),
        ([2.0, float("nan"), 1.0], (1.0, 20)),
        ([float("inf"), 2.0], (2.0, 10)),
    ],
    ids=["nan first", "nan last", "nan between", "infinite first"],
)
def test_a_nan_is_never_the_best(values, expected):
    assert best("loss", *values) == expected


@pytest.mark.parametrize(
    "name",
    [
        "TestAccuracy",
        "acc",
        "val/AUC",
        "F1",
        "mean_reward",
        "ELBO",
        "log_likelihood",
        "PSNR",
        "Top5 Precision",
    ],
)
def test_metrics_that_are_to_grow_are_known_by_their_names(name):
    assert more_is_better(name)


@pytest.mark.parametrize(
    "name",
    [
        "Rec Loss",
        "TestError",
        "KL Divergence",
        "perplexity",
        "accuracy_loss",
        "RecallError",
        "x",
        "NegativeLogLikelihood",
        "negative_elbo",
        "layer2/norm",
    ],
)
def test_metrics_that_are_to_shrink_are_everything_else(name):
    assert not more_is_better(name)


def test_the_summary_of_a_run_is_a_table_the_folder_and_the_way_to_upload():
    shown = metrics(TestAccuracy=[0.5, 0.9666666, 0.9], loss=[1e-9, float("nan")])

    text = summary.text(shown, "finished", Path("experiments/abc"), "wandb sync experiments/abc/wandb/x")

    assert text == (
        "The run has finished.\n"
        "  metric        last     best\n"
        "  TestAccuracy   0.9  0.96667  highest, at iteration 10\n"
        "  loss           nan    1e-09  lowest, at iteration 0\n"
        "folder  experiments/abc\n"
        "upload  wandb sync experiments/abc/wandb/x"
    )


def test_the_address_of_an_online_run_is_shown_as_it_is():
    text = summary.text(Metrics(), "finished", Path("x"), "https://wandb.example/me/jade/runs/abc")

    assert text == "The run has finished.\nfolder  x\nW&B     https://wandb.example/me/jade/runs/abc"


def test_a_run_that_was_stopped_says_how_it_goes_on():
    text = summary.text(Metrics(), "stopped", Path("my experiments/abc"), "https://wandb.example/abc")

    assert text == (
        "The run has stopped.\n"
        "folder  my experiments/abc\n"
        "go on   python train.py --resume 'my experiments/abc'\n"
        "W&B     https://wandb.example/abc"
    )


def test_without_metrics_and_tracker_there_is_the_folder_only():
    assert summary.text(Metrics(), "failed", Path("x"), None) == "The run has failed.\nfolder  x"


def test_what_was_said_of_a_metric_weighs_more_than_its_name():
    found = Metrics()
    found.modes["Dice"] = "max"

    for name in ("Dice", "Other"):
        found.add(name, 1.0, 1)
        found.add(name, 2.0, 2)

    assert (found.series["Dice"].best, found.series["Other"].best) == (2.0, 1.0)
    assert [summary.is_max("Dice", written) for written in ({"mode": "max"}, {"mode": "min"}, {})] == [
        True,
        False,
        False,
    ]
