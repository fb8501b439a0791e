"""Curves of runs: what is seen of which, and that a picture comes of whatever was logged."""

import json
import math

import numpy as np
import pytest

from jade.commands import plot
from jade.errors import ConfigError
from jade.stored import curves, selection
from jade.stored.curves import PALETTE, smoothed
from jade.stored.selection import in_folder
from tests.stored.test_local_runs import Experiments

PNG = b"\x89PNG\r\n\x1a\n"


def logged(experiments, run_id, values, **facts):
    """A run, and the values of its metrics from step to step; None where there was none."""
    folder = experiments.run(run_id, **facts)
    rows = [
        {
            "row": number,
            "iterations": 10 * number,
            "epochs": number,
            "time": 0.0,
            "runtime": 100.0 * number,
            "metrics": {
                name: series[number] for name, series in values.items() if series[number] is not None
            },
        }
        for number in range(max(map(len, values.values()), default=0))
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPERIMENTS_ROOT", raising=False)
    return Experiments(tmp_path / "experiments")


def facts_of(experiments):
    return [row.facts for row in in_folder(experiments.folder)[0]]


def test_one_run_and_many_are_drawn_into_the_file_that_is_named(experiments, capsys):
    for number in range(12):
        logged(
            experiments, f"run{number}", {"Loss": [3.0, 2.0, 1.0], "Acc": [None, 0.5, None]}, beta=number / 10
        )

    assert plot.run(["run3"]) == 0
    assert plot.run(["experiments", "-o", "made/all.svg", "--x", "time", "--smooth", "0.8", "--log"]) == 0
    assert plot.run(["run3", "--metric", "Acc", "-o", "two.pdf", "experiments/run4", "--x", "epochs"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "picture  plot.png", "picture  made/all.svg", "picture  two.pdf",
    ]  # fmt: skip
    files = {
        path.name: path.read_bytes() for path in experiments.folder.parent.rglob("*.*") if path.is_file()
    }
    assert files["plot.png"].startswith(PNG)
    assert files["all.svg"].startswith(b"<?xml")
    assert files["two.pdf"].startswith(b"%PDF")


@pytest.mark.parametrize(
    "values",
    [
        {"Loss": [1.0]},
        {"Loss": [math.nan, math.nan]},
        {"Loss": [math.inf, 1.0, -math.inf]},
        {"Loss": [-1.0, 0.0]},
        {"$a_b$ \x1b 損失": [1.0, 2.0], "n" * 300: [0.0, 0.0]},
        {f"metric {number}": [1.0, 2.0] for number in range(10)},
    ],
)
@pytest.mark.parametrize("more", [[], ["--log", "--smooth", "0.5", "--x", "time"]])
def test_a_picture_comes_of_whatever_was_logged(experiments, values, more):
    logged(experiments, "a", values)
    logged(experiments, "b", {"Loss": [1.0, 1.0]}, name="\x1b[2J $name_" * 20)

    plot.run(["experiments", *more])

    assert (experiments.folder.parent / "plot.png").read_bytes().startswith(PNG)


def test_what_there_is_no_room_for_is_said(experiments, capsys):
    logged(experiments, "a", {f"m{number}": [1.0] for number in range(11)})

    plot.run(["a"])

    assert capsys.readouterr().err == "no room for m9, m10; --metric NAME draws what it names\n"


def test_a_run_that_logged_nothing_is_named_and_left_out(experiments, capsys):
    logged(experiments, "a", {"Loss": [1.0]})
    (experiments.run("b") / "metrics.jsonl").unlink()

    plot.run(["a", "b"])

    assert capsys.readouterr().err == "warning: b has logged no number yet; it is left out.\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a", "--metric", "Los"], "No run has logged a metric 'Los'.\n  at: --metric\n  did you mean: Loss"),
        (["a", "-o", "a.gif"], "A picture cannot be written as 'a.gif'."),
        (["a", "--smooth", "1"], "1.0 does not smooth."),
        (["a", "-o", "experiments/a/status.json/x.png"], "cannot be written: "),
        (["b"], "No metric has been logged yet."),
    ],
)
def test_what_cannot_be_drawn_leaves_nothing_behind(experiments, arguments, said):
    logged(experiments, "a", {"Loss": [1.0]})
    logged(experiments, "b", {})
    before = sorted(experiments.folder.parent.rglob("*"))

    with pytest.raises(ConfigError) as caught:
        plot.run(arguments)

    assert said in str(caught.value)
    assert sorted(experiments.folder.parent.rglob("*")) == before


def test_runs_are_named_by_what_differs_and_by_how_they_ended(experiments):
    experiments.run("a", beta=0.1, name="first")
    experiments.run("b", beta=0.25, status="failed")

    assert curves.names(facts_of(experiments)) == ["first  beta=0.1", "b  beta=0.25  (failed)"]
    assert curves.names(facts_of(experiments)[:1]) == ["first"]


def test_long_names_are_shortened(experiments):
    experiments.run("a" * 60, beta=0.1)
    experiments.run("b", beta=0.2)

    name = curves.names(facts_of(experiments))[0]

    assert len(name) <= curves.LONGEST_NAME
    assert name.endswith("beta=0.1")


def test_a_few_runs_have_colors_that_everybody_tells_apart(experiments):
    for number in range(3):
        experiments.run(f"r{number}", beta=number / 10)

    assert curves.colors(facts_of(experiments)) == list(PALETTE[:3])


def test_many_runs_go_from_dark_to_pale_by_the_number_that_differs(experiments):
    betas = [0.5, 0.1, 0.9, 0.1, 0.3, 0.2, 0.4, 0.6]
    for number, beta in enumerate(betas):
        experiments.run(f"r{number}", beta=beta)

    found = curves.colors(facts_of(experiments))

    assert found[1] == found[3]
    greens = [color[1] for color in found]
    assert sorted(range(8), key=lambda n: greens[n]) == sorted(range(8), key=lambda n: betas[n])


def test_runs_of_a_folder_are_in_the_order_of_what_differs(experiments):
    for number, beta in enumerate((0.5, 10, 0.1)):
        experiments.run(f"r{number}", beta=beta)

    found = selection.arranged(in_folder(experiments.folder)[0])

    assert [row.facts.run_id for row in found] == ["r2", "r0", "r1"]


def test_a_running_mean_does_not_hang_on_how_often_it_was_logged():
    dense, sparse = np.linspace(0.0, 100.0, 401), np.linspace(0.0, 100.0, 21)

    many, few = (smoothed((x > 50).astype(float), x, 0.9, 100.0) for x in (dense, sparse))

    assert abs(np.interp(60.0, dense, many) - np.interp(60.0, sparse, few)) < 0.1
    assert many[0] == 0.0
    assert 0.6 < np.interp(60.0, dense, many) < 0.7


def test_a_running_mean_passes_over_what_is_no_number():
    found = smoothed(np.array([1.0, math.nan, 1.0, math.inf]), np.arange(4.0), 0.5, 3.0)

    np.testing.assert_array_equal(found, [1.0, math.nan, 1.0, math.inf])
