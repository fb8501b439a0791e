"""What a program printed, as a page shows it: no mark of a terminal is left, and no markup comes to be."""

import json

import pytest

from jade.server.web import console
from jade.server.web.console import Span


def text_of(streamed):
    return "".join(span.text for span in console.line(1, streamed).spans)


@pytest.mark.parametrize("mark", ["", "ERROR "])
def test_the_time_is_parted_from_the_text(mark):
    line = console.line(7, f"{mark}2026-11-22T00:36:41.587851 epoch 1/20")

    assert (line.number, line.time, line.spans) == (7, "00:36:41", [Span("", "epoch 1/20")])


def test_a_structured_line_is_shown_as_its_content():
    streamed = json.dumps({"ts": "2026-11-22T00:36:41.5Z", "content": "hello", "level": "info"})

    line = console.line(1, streamed)

    assert (line.time, line.spans) == ("00:36:41", [Span("", "hello")])


@pytest.mark.parametrize("text", ["{", '{"a": 1}', "[1]", "2026-11-22 no time", ""])
def test_a_line_that_is_neither_is_shown_as_it_is(text):
    line = console.line(1, text)

    assert (line.time, text_of(text)) == ("", text)


def test_colors_become_classes_and_end_where_they_are_ended():
    line = console.line(1, "a \x1b[1;31mred\x1b[0m b \x1b[92mgreen\x1b[39m c")

    assert line.spans == [
        Span("", "a "), Span("ansi-bold ansi-red", "red"), Span("", " b "), Span("ansi-green", "green"), Span("", " c"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("\x1b[38;5;1mx", ""), ("\x1b[38;2;1;2;31mx", ""), ("\x1b[48;5;4;31mx", "ansi-red"), ("\x1b[38mx", ""),
        ("\x1b[31m\x1b[38;5;200mx", ""), ("\x1b[1;3;4m\x1b[22mx", "ansi-italic ansi-underlined"),
        ("\x1b[1;3;4;23;24mx", "ansi-bold"),
    ],
)  # fmt: skip
def test_colors_of_a_table_are_no_styles_and_styles_end(text, classes):
    assert console.line(1, text).spans == [Span(classes, "x")]


@pytest.mark.parametrize(
    "hidden",
    ["\x1b[2K", "\x1b[10;20H", "\x1b]0;a title\x07", "\x1b]8;;http://evil.example\x1b\\", "\x1b(B", "\x1b[?25l", "\x00", "\x08",
     "\x7f", "\x9b", "\x1b[38;5;200m", "\x1b[" + "9" * 500 + "m", "\x1b"],
)  # fmt: skip
def test_what_moves_a_cursor_or_names_a_window_is_left_out(hidden):
    assert text_of(f"before{hidden} after") == "before after"


def test_of_a_line_that_was_written_over_the_last_text_is_shown():
    assert text_of("10%\r20%\r30%") == "30%"


def test_a_very_long_line_is_cut_and_says_how_long_it_is():
    shown = text_of("x" * 10_000)

    assert len(shown) < console.LONGEST + 50
    assert shown.endswith("… (10000 characters)")


def test_the_whole_log_has_neither_times_nor_colors():
    assert console.plain("ERROR 2026-11-22T00:36:41.587851 \x1b[31mred\x1b[0m text") == "red text"
