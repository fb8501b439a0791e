"""A sheet as a table and as data: moments, names that people copy, names that are somebody else's."""

import json

import pytest

from jade import sheet, table
from jade.sheet import MOMENT, TEXT, Column, Sheet

LONG = "a-run-id-of-forty-letters-that-is-copied"
RUNS = Sheet(
    (
        Column("run", "run", TEXT, (LONG, "b"), is_whole=True),
        Column("name", "name", TEXT, (f"name of {LONG}", "b\x1b[2J")),
        Column("began", "when", MOMENT, (1000.0, None), 2),
    ),
    None,
)


def test_what_people_copy_is_never_shortened_and_what_a_terminal_obeys_is_never_written():
    lines = table.text(RUNS, None, now=4600.0).splitlines()

    assert lines[1].split()[0] == LONG
    assert "…" in lines[1]
    assert "b\\x1b[2J" in lines[2]


def test_a_moment_is_so_long_ago_in_a_table_and_a_date_in_data():
    assert table.text(RUNS, None, now=4600.0).splitlines()[1].endswith("60 min ago")
    assert sheet.csv_text(RUNS).splitlines()[1].endswith(",1970-01-01T00:16:40Z")
    assert [row["began"] for row in json.loads(sheet.json_text(RUNS, {}))["rows"]] == [
        "1970-01-01T00:16:40Z",
        None,
    ]


@pytest.mark.parametrize("width", [30, 50])
def test_a_narrow_terminal_keeps_what_cannot_yield(width):
    text = table.text(RUNS, width, now=4600.0)

    assert LONG in text
    assert "no room for when" in text
