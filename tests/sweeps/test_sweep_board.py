"""The lines and numbers that are seen of a sweep while it runs."""

import io
import re
from dataclasses import replace

import pytest

from jade.sweeps.board import Lines, board, chosen, standing
from jade.texts import duration, number_text
from jade.trials import Trial, Trials


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    COLUMNS = 60

    def isatty(self):
        return True


def trials(*rows, **more):
    given = {
        "path": "local/p/s", "name": "s", "method": "random", "metric": "loss", "goal": "minimize",
        "parameters": ("model.params.lr", "seed"), "state": "running", "run_cap": 4, "rows": rows,
    }  # fmt: skip
    return Trials(**given | more)


def trial(number, state="finished", last=1.0, **more):
    params = {"model.params.lr": 0.1 * number, "seed": number, "epochs": 3}
    return Trial(
        f"run{number}", f"trial-{number}", state, params, 3.0, last, last, 65.0, float(number), **more
    )


def test_a_line_tells_when_a_trial_begins_and_when_it_is_over():
    out = io.StringIO()
    lines = Lines(out, trials())

    lines.show(trials(trial(1, "pending", None)))
    lines.show(trials(trial(1, "running", None)))
    lines.show(trials(trial(1, "running", 2.0)))
    lines.show(trials(trial(1), trial(2, "pending", None)))
    lines.show(trials(trial(1), trial(2, "running", None)))
    lines.show(trials(trial(1), trial(2, last=0.5)))
    lines.show(trials(trial(1), trial(2, last=0.5)))

    assert out.getvalue().splitlines() == [
        "trial-1  running  lr=0.1 seed=1",
        "trial-1  finished  loss 1, 3 epochs, 65 s  the best so far",
        "trial-2  running  lr=0.2 seed=2",
        "trial-2  finished  loss 0.5, 3 epochs, 65 s  the best so far",
    ]


def test_lines_do_not_tell_again_what_was_over_before():
    out = io.StringIO()

    Lines(out, trials(trial(1))).show(trials(trial(1), trial(2, "failed", None)))

    assert out.getvalue() == "trial-2  failed  3 epochs, 65 s\n"


def test_what_is_no_terminal_gets_lines():
    assert isinstance(board(trials(), io.StringIO()), Lines)


def test_where_there_is_no_room_the_best_the_live_and_the_newest_are_shown_in_their_order():
    rows = [trial(number, "running" if number in (3, 4) else "finished") for number in range(20)]

    shown = chosen(rows, rows[1], 5)

    assert [one.run_id for one in shown] == ["run1", "run3", "run4", "run18", "run19"]
    assert chosen(rows, None, 20) == rows


def test_one_line_says_how_a_sweep_stands():
    rows = (trial(1), trial(2, last=0.5), trial(3, "running", None), trial(4, "failed", 0.1))

    assert standing(trials(*rows)) == "2 of 4 finished, 1 running, 1 failed; best loss 0.5 (trial-2)"
    assert standing(trials(run_cap=None)) == "0 finished"


def test_a_failed_trial_that_was_begun_again_is_no_other_trial():
    first = trial(1, "failed", None)
    again = replace(trial(2), params=first.params)

    assert standing(trials(first, again, trial(3))) == (
        "2 of 4 finished, 1 failed and tried again; best loss 1 (trial-2)"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (0.123456, "0.1235"), (3.0, "3"), (1e-7, "1e-07"), (1e300, "1e+300"), (True, "True"),
        ([64, 32], "[64, 32]"), ("relu", "relu"), (float("nan"), "nan"), (float("inf"), "inf"), (7, "7"),
    ],
)  # fmt: skip
def test_values_are_written_with_the_digits_that_count(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.4, "0 s"), (99, "99 s"), (185, "3:05 min"), (7800, "2:10 h")]
)
def test_times_are_written_in_their_own_unit(seconds, text):
    assert duration(seconds) == text


def test_a_narrow_terminal_shows_whole_numbers_and_states(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(Terminal.COLUMNS))
    monkeypatch.setenv("TERM", "xterm")
    there = Terminal()
    shown = board(trials(), there)
    rows = trials(trial(1), trial(2, "running", None), metric="TestLoss/reconstruction")

    shown.show(rows)
    shown.close()

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", there.getvalue()).splitlines()
    assert any(re.match(r"trial-1 \* +finished +0\.1 +1 +3 +1 +1 +65 s", line) for line in lines)
    assert any(line.startswith("trial-2    running") for line in lines)
    assert all(len(line) <= Terminal.COLUMNS for line in lines)


def test_a_short_name_of_the_metric_breaks_no_value_where_there_is_little_room(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()

    shown = board(trials(), out)
    shown.show(trials(replace(trial(1), last=0.12345)))
    shown.close()

    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).splitlines()
    assert any(line.startswith("trial-1 *") and " 0.1235 " in line for line in lines), lines
