"""Pages of runs that have logged what nobody expects, and addresses that ask for too much."""

import json
import logging
import sys
from urllib.parse import quote

import pytest

from jade.server.runs import CONSOLE
from tests.server.doors import opened
from tests.server.filling import Filler

LARGEST = sys.float_info.max


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture(scope="module")
def trial(doors):
    """A trial of a sweep that has logged the largest floats."""
    filler = Filler(doors.port)
    filler.sweep()
    run, _ = filler.trial()
    rows = [
        {
            "iterations": sign * LARGEST,
            "epochs": -sign * LARGEST,
            "_runtime": sign,
            "val.loss": sign * LARGEST,
        }
        for sign in (-1, 0, 1)
    ]
    filler.log(run, rows)
    yield f"/local/digits/sweeps/{filler.name}", f"/local/digits/runs/{run}"
    filler.close()


def test_the_largest_floats_are_drawn_over_all_trials(doors, trial):
    reply = doors.ask("GET", f"{trial[0]}/curves.json")

    assert reply.status == 200
    (curve,) = reply.json["curves"].values()
    assert curve[1] == [-LARGEST, 0, LARGEST]


@pytest.mark.parametrize("axis", ["iterations", "epochs", "time"])
@pytest.mark.parametrize("between", ["", "&from=-1e308&to=1e308"])
def test_the_largest_floats_are_drawn_over_each_axis(doors, trial, axis, between):
    reply = doors.ask("GET", f"{trial[1]}/curve.json?key=val.loss&axis={axis}{between}")

    assert reply.status == 200


def test_a_search_for_a_very_long_name_finds_nothing(doors, trial):
    doors.begin("another", project="search")
    doors.begin("own", project="search")

    page = doors.ask("GET", f"/e/search/runs/own?add={'_' * 30_000}")
    names = doors.ask("GET", f"/e/search/runs/own/runs.json?text={'_' * 30_000}")

    assert page.status == 200
    assert names.json == []


def test_a_filter_with_many_unknown_names_tells_of_the_first_ones(doors):
    doors.begin("r", project="many", config=json.dumps({f"name{n}{'x' * 50}": n for n in range(20_000)}))
    filters = " ".join(f"nane{n}<1" for n in range(100))

    page = doors.ask("GET", f"/e/many?q={quote(filters)}")

    assert page.status == 200
    assert "5 faults were found." in page.text
    assert "There is no column nane4." in page.text


def test_the_page_of_a_run_with_very_many_keys_shows_them(doors):
    doors.begin("r", project="keys")
    row = json.dumps({f"key/{n:06}": n for n in range(30_000)})
    doors.stream(
        "r",
        {"files": {"wandb-history.jsonl": {"content": [row]}, "wandb-summary.json": {"content": [row]}}},
        project="keys",
    )

    page = doors.ask("GET", "/e/keys/runs/r")

    assert page.status == 200
    assert "key/029999" in page.text


def test_a_printed_line_of_many_marks_is_downloaded_without_them(doors):
    doors.begin("r", project="printed")
    lines = ["\x1b7" * 100_000 + "text", "\x1b[31mred\x1b[0m", "over\rwritten"]
    doors.stream("r", {"files": {CONSOLE: {"offset": 0, "content": lines}}}, project="printed")

    assert doors.ask("GET", "/e/printed/runs/r/log.txt").text == "text\nred\nwritten\n"


def test_a_method_of_any_length_makes_a_short_line_in_the_log(doors, caplog):
    caplog.set_level(logging.INFO, "jade.server.requests")

    doors.send(b"A" * 60_000 + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n")

    (line,) = [record.getMessage() for record in caplog.records if "AAAA" in record.getMessage()]
    assert line.startswith("A" * 20 + " / 405 ")


def test_a_config_with_very_many_values_is_shown_in_part_and_searched_as_a_whole(doors):
    config = json.dumps({f"name{number:05}": {"value": number} for number in range(5_000)})
    doors.begin("r", project="config", config=config)

    page = doors.ask("GET", "/e/config/runs/r").text
    found = doors.ask("GET", "/e/config/runs/r?q=name04999").text

    assert "4000 more are not shown: search for them." in page
    assert "name00999" in page
    assert "name01000" not in page
    assert "name04999" in found


def test_a_range_of_several_curves_has_what_each_of_them_has(doors):
    doors.begin("r", project="range")
    rows = [json.dumps({"iterations": number, "a": number, "b": {"c": -number}}) for number in range(10)]
    doors.stream("r", {"files": {"wandb-history.jsonl": {"content": rows}}}, project="range")

    found = doors.ask("GET", "/e/range/runs/r/curve.json?from=2&to=3&key=a&key=b.c&key=a&key=none").json

    assert found["curves"] == {
        "a": {"r": {"x": [2, 3], "y": [2, 3]}},
        "b.c": {"r": {"x": [2, 3], "y": [-2, -3]}},
        "none": {"r": {"x": [], "y": []}},
    }
