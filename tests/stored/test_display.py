"""Stored runs in a notebook: what is displayed of one, and of several."""

import json
import re

import pytest

import jade
from jade.stored import display
from tests.stored.test_local_runs import Experiments


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPERIMENTS_ROOT", raising=False)
    found = Experiments(tmp_path / "experiments")
    found.run("a1", beta=0.1, metrics={"Loss": (3.0, 1.5), "Acc": (0.5, 0.75)}, started=100.0, name="first")
    found.run("b2", beta=0.2, metrics={"Loss": (1.25, 1.0)}, started=300.0)
    found.run("c3", beta=1, metrics={"Acc": (0.25, 0.5)}, started=200.0, status="failed")
    return found


def cells(text):
    """Give the texts of each row."""
    rows = re.findall(r"<tr>(.*?)</tr>", text)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_runs_are_a_table_numbered_as_the_list_is_of_what_differs(experiments):
    found = jade.runs(metric="Loss")

    assert [run.id for run in found] == ["b2", "a1", "c3"]
    assert cells(found._repr_html_()) == [
        ["", "run", "name", "status", "beta", "epochs", "Loss", "best"],
        ["0", "b2", "b2", "finished", "0.2", "3", "1.25", "1.0"],
        ["1", "a1", "first", "finished", "0.1", "3", "3.00", "1.5"],
        ["2", "c3", "c3", "failed", "1.0", "3", "", ""],
    ]


def test_the_metric_is_guessed_where_none_is_named(experiments):
    assert cells(jade.runs()._repr_html_())[0][6] == "Loss"


def test_of_very_many_runs_the_first_are_displayed(experiments, monkeypatch):
    monkeypatch.setattr(display, "MOST_ROWS", 2)

    text = jade.runs(metric="Loss")._repr_html_()

    assert [row[1] for row in cells(text)] == ["run", "b2", "a1"]
    assert text.endswith("</table><p>and 1 more</p>")


def test_no_runs_are_displayed_as_that(experiments):
    assert jade.runs(state="killed")._repr_html_() == "<p>no runs</p>"


def test_a_run_is_a_table_of_its_state_its_params_and_its_metrics(experiments, monkeypatch):
    monkeypatch.setattr(display, "MOST_LINES", 3)

    rows = cells(jade.load_stored("a1")._repr_html_())

    assert rows[:3] == [["run", "first (a1)"], ["where", "a1"], ["state", "finished, 3 epochs, 4 s"]]
    assert rows[3] == ["config"]
    assert ["model.params.beta", "0.1"] in rows
    assert rows[-3:] == [["metrics"], ["Acc", "0.5, best 0.75"], ["Loss", "3, best 1.5"]]
    assert [len(row) for row in rows].count(2) == len(rows) - 2


def test_names_and_values_of_somebody_else_are_no_markup(experiments):
    hostile = "<script>alert(1)</script>\x1b[2J"
    folder = experiments.run("d4", beta=hostile, name=hostile, metrics={hostile: (1.0, 1.0)})
    (folder / "pulled.json").write_text(json.dumps({"owner": hostile, "is_foreign": True}))

    one, several = jade.load_stored("d4")._repr_html_(), jade.runs()._repr_html_()

    for text in (one, several):
        assert "<script" not in text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in text
    assert "its code needs trust_code=True" in one
