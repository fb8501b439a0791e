"""`sweep show`: a table that fits, CSV with every digit, strict JSON, sorted as wanted, over seeds."""

import csv
import io
import json
import math
from pathlib import Path

import pytest

from jade import sheet, table
from jade.commands import sweep
from jade.errors import ConfigError
from jade.sweeps import sheets
from jade.table import numbers
from jade.trials import Trial, Trials, best_of, ranked
from tests.stored.test_local_runs import Experiments


def rows_of(*rows, metric="Loss", parameters=("model.params.beta",)):
    trials = Trials("me/p/s", "s", "grid", metric, "minimize", parameters, "finished", None, rows)
    return sheets.of_trials(trials, ranked(trials), best_of(trials))


TRIALS = rows_of(
    Trial("b2", "b2", "finished", {"model.params.beta": 0.25}, 3, 0.5, 0.5, 125.0, 2.0),
    Trial("a1", "a1", "finished", {"model.params.beta": 0.125}, 3, 0.125, 0.1, 40.0, 1.0),
    Trial("c3", "c3", "failed", {"model.params.beta": 10}, 1, math.nan, None, None, 3.0),
)


def test_a_table_has_the_best_first_and_marked_and_its_numbers_aligned():
    assert table.text(TRIALS, None) == (
        "  run  state       beta   Loss  best  epochs      time\n"
        "* a1   finished   0.125  0.125   0.1       3      40 s\n"
        "  b2   finished   0.250  0.500   0.5       3  2:05 min\n"
        "  c3   failed    10.000    nan             1\n"
    )


def test_a_narrow_terminal_goes_without_what_is_least_needed_and_is_told_so():
    for width in range(34, 54):
        text = table.text(TRIALS, width)

        *lines, last = text.splitlines()
        assert last.startswith("no room for")
        assert all(len(line) <= width for line in lines)
        assert all(word in lines[0] for word in ("run", "state", "Loss"))
    assert table.text(TRIALS, 50).splitlines()[-1] == "no room for epochs; --format csv has all"


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([1, 20, None], ["1", "20", ""]),
        ([0.5, 12.25], ["0.50", "12.25"]),
        ([1e-6, 0.5], ["1e-06", "0.5"]),
        ([1234.25, 99998.75], ["1234", "99999"]),
        ([0.001, math.nan, 0.0], ["0.001", "nan", "0.000"]),
        ([math.inf, 1.5], ["inf", "1.5"]),
        ([], []),
        ([math.nan], ["nan"]),
    ],
)
def test_numbers_of_a_column_have_the_digits_that_tell_them_apart(values, written):
    assert numbers(values) == written


def test_a_deviation_has_the_decimals_of_its_mean():
    assert numbers([0.068303, 8e-6, None], [0.7587, 0.6340, 0.5]) == ["0.0683", "0.0000", ""]


def test_csv_has_every_digit_and_stable_columns():
    found = list(csv.DictReader(io.StringIO(sheet.csv_text(TRIALS))))

    assert list(found[0]) == [
        "run", "name", "state", "model.params.beta", "last", "best", "trained", "seconds", "began", "folder",
    ]  # fmt: skip
    assert [row["model.params.beta"] for row in found] == ["0.125", "0.25", "10"]
    assert [row["last"] for row in found] == ["0.125", "0.5", "nan"]
    assert found[2]["best"] == ""


def test_csv_keeps_the_kinds_of_values_apart():
    kinds = {"a": True, "b": [64, 32], "c": "x, y", "d": 1 / 3}
    found = rows_of(Trial("r", "r", "finished", kinds, last=1e-9), parameters=tuple(kinds))

    (row,) = csv.DictReader(io.StringIO(sheet.csv_text(found)))

    assert [row[key] for key in kinds] == ["true", "[64, 32]", "x, y", "0.3333333333333333"]
    assert row["last"] == "1e-09"


def test_json_is_strict_and_has_null_for_what_is_no_number():
    def refuse(token):
        raise AssertionError(token)

    found = json.loads(sheet.json_text(TRIALS, {"metric": "Loss", "x": math.inf}), parse_constant=refuse)

    assert found["x"] is None
    assert found["rows"][2]["last"] is None
    assert found["rows"][0]["params"] == {"model.params.beta": 0.125}


@pytest.mark.parametrize(
    ("key", "downwards", "order"),
    [
        ("beta", False, ["a1", "b2", "c3"]),
        ("model.params.beta", True, ["c3", "b2", "a1"]),
        ("Loss", True, ["b2", "a1", "c3"]),
        ("time", False, ["a1", "b2", "c3"]),
        ("state", False, ["c3", "a1", "b2"]),
        ("began", False, ["a1", "b2", "c3"]),
    ],
)
def test_rows_are_sorted_by_any_column_and_those_without_a_value_come_last(key, downwards, order):
    found = sheet.ordered(TRIALS, key, "Loss", downwards=downwards)

    assert list(found.columns[0].values) == order
    assert found.best == order.index("a1")


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(ConfigError) as caught:
        sheet.ordered(TRIALS, "betta", "Loss", downwards=False)

    assert "There is no column 'betta'." in str(caught.value)
    assert "did you mean: beta" in str(caught.value)


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Experiments(tmp_path / "experiments")


def test_a_folder_of_runs_is_shown(experiments, capsys):
    experiments.run("a", 0.1, metrics={"Loss": (2.0, 1.5)})
    experiments.run("b", 0.2, metrics={"Loss": (1.0, 0.5)})

    code = sweep.run(["show", "experiments"])

    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("experiments\n2 finished; best Loss 1 (b)\nLoss is minimized\n\n  run  state")
    assert [line.split()[:2] for line in out.splitlines()[5:]] == [["*", "b"], ["a", "finished"]]


def test_where_the_seed_is_swept_a_row_is_a_point_with_its_mean_and_deviation(experiments, capsys):
    for number, (beta, loss, status) in enumerate(
        [(0.1, 1.0, "finished"), (0.1, 3.0, "finished"), (0.1, 9.0, "failed"), (0.2, 5.0, "finished")]
    ):
        folder = experiments.run(f"r{number}", beta, status, {"Loss": (loss, loss)})
        path = folder / "config.yml"
        path.write_text(path.read_text().replace("seed: 1", f"seed: {number}"))

    sweep.run(["show", "experiments", "--format", "csv"])
    points = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    sweep.run(["show", "experiments", "--format", "csv", "--each", "--top", "3"])
    each = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))

    told = [
        (row["model.params.beta"], row["mean"], row["deviation"], row["n"], row["uncounted"])
        for row in points
    ]
    assert told == [("0.1", "2.0", "1.4142135623730951", "2", "1"), ("0.2", "5.0", "", "1", "0")]
    assert [row["run"] for row in each] == ["r0", "r1", "r3"]


def test_a_damaged_run_is_warned_of_beside_the_data(experiments, capsys):
    experiments.run("a")
    (experiments.run("b") / "status.json").write_text("{")

    sweep.run(["show", "experiments", "--format", "json"])

    said = capsys.readouterr()
    assert json.loads(said.out)["counts"] == {"finished": 1}
    assert said.err.startswith("warning: experiments/b is left out: its status.json cannot be read")


def test_the_picture_is_drawn_and_named_where_it_disturbs_no_data(experiments, capsys):
    experiments.run("a")

    sweep.run(["show", "experiments", "--format", "csv", "--plot", "new/x.png"])

    said = capsys.readouterr()
    assert said.err == "picture  new/x.png\n"
    assert Path("new/x.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in Path("new").iterdir()] == ["x.png"]


def test_another_ending_of_the_picture_is_refused(experiments):
    experiments.run("a")

    with pytest.raises(ConfigError, match=r"A picture cannot be written as 'x.jpeg'"):
        sweep.run(["show", "experiments", "--plot", "x.jpeg"])


def test_what_is_neither_folder_nor_file_nor_sweep_is_refused(experiments, monkeypatch):
    for name in ("WANDB_BASE_URL", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")

    with pytest.raises(ConfigError) as caught:
        sweep.run(["show", "abcd1234"])

    assert str(caught.value) == (
        "'abcd1234' is no folder, no file, and no sweep of this machine: it has none in experiments.\n"
        "  For W&B: `wandb login`, or export WANDB_API_KEY."
    )


def test_a_file_of_which_no_sweep_was_made_is_refused(experiments):
    Path("sweep.yml").write_text("method: grid\n")

    with pytest.raises(ConfigError, match=r"No sweep was made of sweep.yml by `python -m jade sweep run`."):
        sweep.run(["show", "sweep.yml"])


def test_too_few_rows_are_refused(experiments):
    with pytest.raises(ConfigError, match="0 is too few"):
        sweep.run(["show", "experiments", "--top", "0"])
