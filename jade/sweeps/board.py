"""What is seen of a sweep while it runs: a table that stays up to date, or lines where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from jade import trials as found
from jade.sweeps import voice
from jade.texts import duration, number_text, shortened
from jade.trials import Trial, Trials

if TYPE_CHECKING:
    from rich.text import Text

OVER = ("finished", "failed", "crashed", "killed")
_COLORS = {"running": "cyan", "finished": "green", "failed": "red", "crashed": "red", "killed": "yellow"}
_LEAST_ROWS = 5
_AROUND = 8  # lines of the terminal that are not rows of the table


class Board(Protocol):
    """Shows a sweep."""

    def show(self, trials: Trials) -> None:
        """Show how the trials stand."""

    def say(self, text: str) -> None:
        """Say something that stays."""

    def close(self) -> None:
        """Leave the last state behind."""


def board(earlier: Trials, out: TextIO = sys.stdout) -> Board:
    """Return a table on a terminal, lines elsewhere, or where the package that draws the table is missing.

    Args:
        earlier: how the trials stood before; lines tell what is new since.
        out: where it is shown.
    """
    if out.isatty():
        try:
            return _Table(out)
        except ModuleNotFoundError:  # it comes with the extra `server`
            pass
    return Lines(out, earlier)


class Lines:
    """A line when a trial begins, and one when it is over.

    Args:
        out: where they are written.
        earlier: what need not be told.
    """

    def __init__(self, out: TextIO, earlier: Trials) -> None:
        self._out = out
        self._said = {trial.run_id: _said_of(trial) for trial in earlier.rows}

    def show(self, trials: Trials) -> None:
        """Write what is new."""
        short = shortened(trials.parameters)
        best = found.best_of(trials)
        for trial in found.in_order(trials.rows):
            state = _said_of(trial)
            if state == self._said.get(trial.run_id) or trial.state == "pending":
                continue
            self._said[trial.run_id] = state
            what = f"{trial.name}  {trial.state}"
            if state != "over":
                self.say(f"{what}  {worded(trial.params, short)}")
                continue
            told = [what, result(trial, trials.metric)]
            if best is not None and best.run_id == trial.run_id and len(trials.rows) > 1:
                told.append("the best so far")
            self.say("  ".join(part for part in told if part))

    def say(self, text: str) -> None:
        """Write a line."""
        voice.say(text, self._out)

    def close(self) -> None:
        """Nothing is left to do."""


def _said_of(trial: Trial) -> str:
    return "over" if trial.state in OVER else trial.state


class _Table:
    """A table with a row for each trial, as many as the terminal has room for."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console, Group  # an extra
        from rich.live import Live

        self._rows = Group()
        self._out = out
        self._console = Console(file=out)
        self._live = Live(console=self._console, auto_refresh=False)
        self._live.start()

    def show(self, trials: Trials) -> None:
        """Draw the table anew."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        short = shortened(trials.parameters)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("trial", "state"):
            table.add_column(name, no_wrap=True)
        # Where there is little room, long names take more than one line; each trial has one.
        for key in trials.parameters:
            table.add_column(short[key], justify="right", overflow="fold")
        table.add_column("epochs", justify="right", no_wrap=True)
        numbers = [number_text(trial.last) for trial in trials.rows]
        table.add_column(
            trials.metric or "", justify="right", overflow="fold", min_width=max(map(len, numbers), default=0)
        )
        for name in ("best" if trials.metric else "", "time"):
            table.add_column(name, justify="right", no_wrap=True)
        rows = found.in_order(trials.rows)
        best = found.best_of(trials)
        shown = chosen(rows, best, max(_LEAST_ROWS, self._console.size.height - _AROUND))
        for trial in shown:
            is_best = best is not None and trial.run_id == best.run_id
            style = "bold" if is_best else "dim" if trial.state in ("failed", "crashed", "killed") else ""
            table.add_row(
                Text(f"{trial.name}{' *' if is_best else ''}"),
                Text(trial.state, style=_COLORS.get(trial.state, "")),
                *(_cell(number_text(trial.params.get(key))) for key in trials.parameters),
                number_text(trial.epochs),
                number_text(trial.last),
                number_text(trial.best),
                duration(trial.seconds),
                style=style,
            )
        left = len(rows) - len(shown)
        more = [Text(f"… and {left} more", style="dim")] if left else []
        self._rows = Group(table, *more)
        with voice.heard_or_not(self._out):
            self._live.update(Group(table, *more, Text(standing(trials))), refresh=True)

    def say(self, text: str) -> None:
        """Print above the table."""
        with voice.heard_or_not(self._out):
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the table where it is; how the sweep stands is said by what follows."""
        with voice.heard_or_not(self._out):
            self._live.update(self._rows, refresh=True)
            self._live.stop()


def _cell(text: str) -> Text:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def chosen(rows: Sequence[Trial], best: Trial | None, room: int) -> list[Trial]:
    """Return the trials that are shown if there is room for some only: the best, the live, the newest."""
    if len(rows) <= room:
        return list(rows)
    wanted = [] if best is None else [best]
    wanted += [trial for trial in rows if trial.state not in OVER]
    wanted += reversed(rows)
    runs = list(dict.fromkeys(trial.run_id for trial in wanted))[:room]
    return [trial for trial in rows if trial.run_id in runs]


def standing(trials: Trials) -> str:
    """Return on one line how a sweep stands."""
    again = found.tried_again(trials)
    counts = found.counts(trial for trial in trials.rows if trial.run_id not in again)
    of = f" of {trials.run_cap}" if trials.run_cap else ""
    text = f"{counts.pop('finished', 0)}{of} finished"
    text += "".join(f", {count} {state}" for state, count in counts.items())
    text += f", {len(again)} failed and tried again" if again else ""
    best = found.best_of(trials)
    if best is not None:
        text += f"; best {trials.metric} {number_text(best.last)} ({best.name})"
    return text


def result(trial: Trial, metric: str | None) -> str:
    """Return what became of a trial, in a few words."""
    parts = [f"{metric} {number_text(trial.last)}"] if metric and trial.last is not None else []
    parts += [f"{number_text(trial.epochs)} epochs"] if trial.epochs is not None else []
    parts += [duration(trial.seconds)] if trial.seconds is not None else []
    return ", ".join(parts)


def worded(params: Mapping[str, Any], short: Mapping[str, str]) -> str:
    """Return params as `beta=0.1 seed=3`."""
    return " ".join(f"{name}={number_text(params[key])}" for key, name in short.items() if key in params)
