import io
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
