"""The picture of what runs logged: a panel for each metric, a line for each run.

matplotlib is imported when it is drawn; what is seen in it is said by `curves`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jade import picture_file, summary
from jade.errors import ConfigError
from jade.stored import curves
from jade.stored.curves import Logged, Wanted
from jade.stored.history import Column, History
from jade.texts import shortened_in_the_middle

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_POINTS = 40  # of a line, each of which is marked
FEW_LINES = 10
MOST_NAMED = 45  # in the legend
_GREY, _FAINT = "#6f6f6f", "#ececec"
# In inches.
_WIDE, _HIGH, _LEFT, _BETWEEN, _TOP, _BOTTOM, _RIGHT = 3.6, 2.2, 0.6, 0.6, 0.45, 0.5, 0.3
_HIGHEST = 3.6  # a panel beside a long legend
_ROW, _LETTER, _SAMPLE = 0.145, 0.068, 0.45  # of the legend


def draw(runs: Sequence[Logged], wanted: Wanted, path: Path) -> list[str]:
    """Draw runs into a file, whole or not at all: PNG, PDF or SVG by the name's ending.

    Returns:
        The metrics for which there was no room.

    Raises:
        ConfigError: if the ending is another one, no run has logged a metric, or the file cannot be written.
    """
    if not 0 <= wanted.smooth < 1:
        raise ConfigError(f"{wanted.smooth} does not smooth.", where="--smooth", hint="From 0 to below 1.")
    metrics, left_out = curves.metrics_of(runs, wanted.metrics)
    picture_file.write(path, lambda: _Picture(runs, metrics, wanted).figure(), "-o")
    return left_out


class _Picture:
    """The picture; everything in it is placed in inches, so that no name moves anything."""

    def __init__(self, runs: Sequence[Logged], metrics: Sequence[str], wanted: Wanted) -> None:
        facts = [run.facts for run in runs]
        self._runs, self._metrics, self._wanted = runs, metrics, wanted
        self._names, self._colors = curves.names(facts), curves.colors(facts)
        self._unit = curves.unit_of_time(runs) if wanted.across == "time" else (1.0, wanted.across)
        self._columns = 1 if len(metrics) == 1 else 2 if len(metrics) in (2, 4) else 3
        rows = -(-len(metrics) // self._columns)
        named = self._names[:MOST_NAMED] if len(runs) > 1 else []
        panels = self._columns * (_WIDE + _BETWEEN) - _BETWEEN
        self._right = _LEFT + panels + _RIGHT  # where the legend begins
        self._width = self._right + (_SAMPLE + 0.25 + _LETTER * max(map(len, named)) if named else 0.0)
        self._named = named
        legend = _TOP + 0.2 + _ROW * (len(named) + 1)
        self._high = min(max(_HIGH, legend / rows - _TOP - _BOTTOM), _HIGHEST)
        self._height = max(rows * (_TOP + self._high + _BOTTOM), legend)
        self._span = max((float(np.ptp(self._across(run.history))) for run in runs), default=0.0)

    def figure(self) -> Figure:
        """Return it."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(self._width, self._height))
        FigureCanvasAgg(figure)
        panels = [self._axes(figure, number) for number in range(len(self._metrics))]
        for number, (axes, metric) in enumerate(zip(panels, self._metrics, strict=True)):
            self._panel(axes, metric, is_last=number + self._columns >= len(panels))
        ends = [axes.get_xlim() for axes in panels]
        for axes in panels:  # so that they are read against each other
            axes.set_xlim(min(low for low, _ in ends), max(high for _, high in ends))
        if self._named:
            self._legend(figure)
        else:
            at = 1 - 0.1 / self._height
            self._say(figure, _LEFT / self._width, at, self._names[0], color=_GREY)
        return figure

    def _axes(self, figure: Figure, number: int) -> Axes:
        row, column = divmod(number, self._columns)
        left = _LEFT + column * (_WIDE + _BETWEEN)
        bottom = self._height - (row + 1) * (_TOP + self._high + _BOTTOM) + _BOTTOM
        return figure.add_axes(
            (left / self._width, bottom / self._height, _WIDE / self._width, self._high / self._height)
        )

    def _across(self, history: History) -> Column:
        found: Column = history["runtime" if self._wanted.across == "time" else self._wanted.across]
        return found / self._unit[0]

    def _panel(self, axes: Axes, metric: str, *, is_last: bool) -> None:
        axes.set_title(shortened_in_the_middle(metric, 44), fontsize=8.5, loc="left", fontweight="bold")
        better = "higher" if summary.more_is_better(metric) else "lower"
        axes.set_title(f"{better} is better", fontsize=6.5, loc="right", color=_GREY)
        axes.grid(color=_FAINT, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(which="both", labelsize=6.5, length=2.5, width=0.6)
        axes.margins(x=0.02, y=0.06)
        for run, color in zip(self._runs, self._colors, strict=True):
            if metric in run.history:
                self._line(axes, run, metric, color)
        if self._wanted.is_log:
            _logarithmic(axes)
        if is_last:
            axes.set_xlabel(self._unit[1], fontsize=7)

    def _line(self, axes: Axes, run: Logged, metric: str, color: Any) -> None:  # noqa: ANN401 - matplotlib's
        found = run.history.of(metric)
        across = self._across(found)
        values = np.where(np.isfinite(found[metric]), found[metric], np.nan)
        is_few = len(self._runs) <= FEW_LINES
        width, alpha = (1.5, 1.0) if is_few else (1.0, 0.85)
        if self._wanted.smooth:
            axes.plot(across, values, color=color, linewidth=0.6, alpha=0.25 if is_few else 0.12, zorder=2)
            values = curves.smoothed(values, across, self._wanted.smooth, self._span)
        marker = "o" if len(values) <= FEW_POINTS and is_few or len(values) == 1 else ""
        axes.plot(
            across, values, color=color, linewidth=width, alpha=alpha, marker=marker, markersize=2.6, zorder=3
        )  # fmt: skip

    def _legend(self, figure: Figure) -> None:
        from matplotlib.lines import Line2D

        top = self._height - _TOP
        left = len(self._names) - len(self._named)
        texts = [*self._named, *([f"… and {left} more"] if left else [])]
        for number, name in enumerate(texts):
            height = (top - _ROW * (number + 0.5)) / self._height
            if number < len(self._named):
                ends = (self._right / self._width, (self._right + 0.28) / self._width)
                line = Line2D(ends, (height, height), color=self._colors[number], linewidth=2.0)
                figure.add_artist(line)
            self._say(figure, (self._right + _SAMPLE) / self._width, height, name)

    @staticmethod
    def _say(figure: Figure, across: float, up: float, text: str, color: str = "#000000") -> None:
        figure.text(across, up, text, va="center", fontsize=7, color=color)


def _logarithmic(axes: Axes) -> None:
    """Make the values' axis logarithmic, if any is above 0, with numbers as they are written elsewhere."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    if not any((np.asarray(line.get_ydata()) > 0).any() for line in axes.lines):
        return

    axes.set_yscale("log", nonpositive="mask")
    low, high = axes.get_ylim()
    written = FuncFormatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(written)
    if high < 10 * low:
        axes.yaxis.set_minor_formatter(written)
    elif high < 100 * low:
        few = FuncFormatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        axes.yaxis.set_minor_formatter(few)
    else:
        axes.yaxis.set_minor_formatter(NullFormatter())
