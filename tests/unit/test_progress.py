import io
import time
from types import SimpleNamespace

import pytest

from jade import progress
from jade.progress import Bars, Lines


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_terminal_gets_bars():
    bars = progress.choose(3, Terminal())
    bars.close()

    assert isinstance(bars, Bars)


def test_a_log_file_gets_lines():
    assert isinstance(progress.choose(3, io.StringIO()), Lines)


def test_a_line_has_epoch_time_time_left_and_what_is_new(clock):
    stream = io.StringIO()
    lines = Lines(100, stream)

    lines.show({"TestAccuracy": 0.1})
    lines.end_epoch(0)
    lines.start_epoch(0, 4)
    lines.step()
    lines.show({"Rec Loss": 123.456789, "TestAccuracy": 0.5})
    lines.show({"TestAccuracy": 0.96875})
    clock.now += 2.0
    lines.end_epoch(1)
    clock.now += 48.0
    lines.end_epoch(50)
    lines.end_epoch(100)
    lines.close()

    assert stream.getvalue() == (
        "epoch   0/100  0 s  TestAccuracy 0.1\n"
        "epoch   1/100  2 s, 198 s left  Rec Loss 123.5  TestAccuracy 0.9688\n"
        "epoch  50/100  50 s, 50 s left\n"
        "epoch 100/100  50 s, 0 s left\n"
    )


def test_the_time_left_of_a_run_that_goes_on_is_reckoned_from_where_it_went_on(clock):
    stream = io.StringIO()
    lines = Lines(100, stream)

    clock.now += 100.0  # an evaluation before the first epoch says nothing about the epochs
    lines.end_epoch(40)
    lines.start_epoch(40, 4, 2)
    clock.now += 10.0
    lines.end_epoch(41)
    clock.now += 10.0
    lines.end_epoch(42)

    told = [line.split("  ")[-1] for line in stream.getvalue().splitlines()]
    assert told[1:] == ["10 s, 590 s left", "20 s, 580 s left"]


def test_a_line_is_flushed_at_once(clock):
    class Stream(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    stream = Stream()

    Lines(3, stream).end_epoch(0)

    assert stream.flushed == "epoch 0/3  0 s\n"


def test_bars_show_the_run_the_epoch_and_the_values():
    stream = Terminal()
    bars = Bars(2, stream)

    bars.end_epoch(0)
    bars.start_epoch(0, 4)
    for _ in range(4):
        bars.step()
    bars.show({"loss": 0.123456})
    bars.end_epoch(1)
    bars.start_epoch(1, None)
    bars.step()
    bars.close()

    shown = stream.getvalue()
    assert "run: " in shown
    assert "1/2" in shown
    assert "epoch 1: " in shown
    assert "loss=0.1235" in shown


def test_bars_of_a_run_that_goes_on_begin_where_it_was():
    stream = Terminal()
    bars = Bars(100, stream)

    bars.end_epoch(40)
    bars.start_epoch(40, 8, 5)
    time.sleep(0.12)  # a bar is drawn ten times a second
    bars.step()
    bars.end_epoch(41)
    bars.close()

    shown = stream.getvalue()
    assert "40/100" in shown
    assert "41/100" in shown
    assert "epoch 41: " in shown
    assert "6/8" in shown


def test_bars_leave_the_terminal_usable_when_nothing_was_shown():
    stream = Terminal()

    Bars(2, stream).close()

    assert stream.getvalue().endswith("\n")


def test_bars_may_be_closed_twice():
    stream = Terminal()
    bars = Bars(2, stream)
    bars.close()
    once = stream.getvalue()

    bars.close()

    assert stream.getvalue() == once


@pytest.mark.parametrize(("size", "files", "expected"), [
    (9_500_000, 1, "fetching a run: 1 file, 9.5 MB\n"),
    (9_500_000, 30, "fetching a run: 30 files, 9.5 MB\n"),
    (1000, 30, ""),
    (1000, 1, ""),
])  # fmt: skip
def test_a_transfer_is_a_line_in_a_log_file_if_it_is_big(size, files, expected):
    stream = io.StringIO()

    with progress.transfer("fetching a run", size, files, stream) as told:
        told(500)

    assert stream.getvalue() == expected


@pytest.mark.parametrize(
    ("size", "files", "is_shown"), [(9_500_000, 1, True), (1000, 30, True), (1000, 1, False)]
)
def test_a_transfer_of_much_or_many_is_a_bar_on_a_terminal(size, files, is_shown):
    stream = Terminal()

    with progress.transfer("fetching a run", size, files, stream) as told:
        told(size // 2)
        told(-(size // 2))
        told(size)

    assert ("fetching a run: 100%" in stream.getvalue()) is is_shown


def test_a_transfer_is_a_bar_below_a_cell_of_a_notebook():
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()

    with progress.transfer("fetching a run", 9_500_000, 1, stream) as told:
        told(9_500_000)

    last = stream.getvalue().rstrip("\n").rpartition("\r")[2]
    assert last.startswith("fetching a run: 100%|")
    assert len(last) <= 80
