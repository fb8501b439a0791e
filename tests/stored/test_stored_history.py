"""What a run logged, as columns: what is missing, what is damaged, what is asked for and not there."""

import json
import math

import numpy as np
import pytest

from jade.errors import CheckpointError
from jade.stored import history

ROWS = [
    {"row": 0, "iterations": 0, "epochs": 0, "time": 100.0, "runtime": 1.0, "metrics": {"Acc": 0.5}},
    {"row": 1, "iterations": 5, "epochs": 0, "time": 101.0, "runtime": 2.0, "metrics": {"Loss": 2.0}},
    {
        "row": 2,
        "iterations": 10,
        "epochs": 1,
        "time": 102.5,
        "runtime": 3.5,
        "metrics": {"Loss": 1, "Acc": 0.75},
    },
]


def written(folder, *lines):
    path = folder / "metrics.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_rows_become_columns_with_nan_where_a_metric_was_not_logged(tmp_path):
    found = history.read(written(tmp_path, *ROWS))

    assert list(found) == ["iterations", "epochs", "time", "runtime", "Acc", "Loss"]
    assert (found.rows, found.metrics) == (3, ("Acc", "Loss"))
    assert found["iterations"].tolist() == [0, 5, 10]
    assert found["epochs"].dtype == np.int64
    assert found["runtime"].tolist() == [1.0, 2.0, 3.5]
    np.testing.assert_array_equal(found["Loss"], [math.nan, 2.0, 1.0])


def test_one_metric_has_the_rows_in_which_it_was_logged(tmp_path):
    found = history.read(written(tmp_path, *ROWS)).of("Loss")

    assert dict(found).keys() == {"iterations", "epochs", "time", "runtime", "Loss"}
    assert found["iterations"].tolist() == [5, 10]
    assert found["Loss"].tolist() == [2.0, 1.0]


def test_what_is_damaged_half_written_or_no_number_is_passed_over(tmp_path):
    odd = {"metrics": {"Loss": "__import__('os')", "Flag": True, "Huge": 10**400, "Acc": 0.25}}
    path = written(tmp_path, ROWS[0], "{", "[]", "", '{"metrics": 3}', odd, '{"row": 9, "metrics": {"Acc"')

    found = history.read(path)

    assert found.metrics == ("Acc",)
    assert found["Acc"].tolist() == [0.5, 0.25]
    np.testing.assert_array_equal(found["iterations"], [0.0, math.nan])


def test_infinite_values_stay(tmp_path):
    found = history.read(written(tmp_path, '{"iterations": 1, "metrics": {"Loss": Infinity, "Acc": NaN}}'))

    assert found["Loss"].tolist() == [math.inf]
    assert math.isnan(found["Acc"][0])


def test_a_metric_that_has_the_name_of_a_counter_does_not_replace_it(tmp_path):
    found = history.read(written(tmp_path, {**ROWS[1], "metrics": {"time": 3.0}}))

    assert found["time"].tolist() == [101.0]
    assert found["time (metric)"].tolist() == [3.0]


def test_a_run_that_has_logged_nothing_has_empty_columns(tmp_path):
    found = history.read(tmp_path / "metrics.jsonl")

    assert (found.rows, found.metrics) == (0, ())
    assert found.of().rows == 0


def test_an_unknown_metric_names_the_nearest_and_is_a_missing_key(tmp_path):
    found = history.read(written(tmp_path, *ROWS))

    with pytest.raises(CheckpointError) as caught:
        found["Los"]

    assert isinstance(caught.value, KeyError)
    assert str(caught.value) == (
        "The run has logged no 'Los'.\n  did you mean: Loss\n"
        "  known: Acc, Loss, epochs, iterations, runtime, time"
    )
    assert found.get("Los") is None
