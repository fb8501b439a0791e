"""A picture of a sweep: parallel coordinates, the metric from trial to trial, and over each parameter.

`draw` is all of it; where things stand on an axis is said by `scales`. matplotlib is imported when it draws.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from jade import picture_file
from jade import trials as found
from jade.sweeps import scales
from jade.sweeps.board import standing, worded
from jade.sweeps.scales import Scale
from jade.texts import shortened, shortened_in_the_middle, text_of
from jade.trials import Trial, Trials

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW_LINES = 20
MOST_NUMBERS = 12  # of trials, below an axis
_GREY, _FAINT, _BEST = "#9a9a9a", "#c8c8c8", "#d62728"
# In inches.
_LEFT, _RIGHT, _GAP, _PANELS_BEGIN, _PANEL = 0.75, 0.3, 0.2, 7.55, 2.75
_NARROWEST, _LETTERS = 2.4, 28  # panel, and what can be written below it
_EDGE = 0.045  # of an axis, beyond its ends, where what is left out is marked


def draw(trials: Trials, path: Path) -> None:
    """Draw a sweep into a file, whole or not at all: PNG, PDF or SVG by the name's ending.

    Raises:
        ConfigError: if the ending is another one, or the file cannot be written.
    """
    picture_file.write(path, lambda: _figure(_View(trials)), "--plot")


@dataclass
class _View:
    """What is drawn of a sweep, worked out once.

    Attributes:
        rows: the trials as they were begun.
        axes: of each parameter.
        metric: its axis; None if no trial has finished with a number.
    """

    trials: Trials
    rows: list[Trial] = field(init=False)
    axes: dict[str, Scale] = field(init=False)
    metric: Scale | None = field(init=False)
    best: Trial | None = field(init=False)

    def __post_init__(self) -> None:
        self.rows = [row for row in found.in_order(self.trials.rows) if row.state != "pending"]
        self.axes = {
            key: scales.of_values([row.params[key] for row in self.rows if key in row.params])
            for key in self.trials.parameters
        }
        values = [value for row in self.rows if (value := found.value_of(row)) is not None]
        self.metric = scales.of_metric(values, self.trials.goal) if values else None
        self.best = found.best_of(self.trials)
        self.names = shortened(self.trials.parameters)

    @property
    def label(self) -> str:
        """What is written at the metric's axis."""
        return shortened_in_the_middle(self.trials.metric or "no metric", 40)

    def height(self, trial: Trial) -> float | None:
        """Return where a trial stands on the metric's axis, at its edge if it is left out."""
        value = found.value_of(trial)
        at = self.metric.at(value) if self.metric is not None and value is not None else None
        return None if at is None else min(max(at, -_EDGE), 1 + _EDGE)

    def is_left_out(self, trial: Trial) -> bool:
        """Say whether the metric's axis ends before a trial."""
        at = self.height(trial)
        return at is not None and not -1e-9 <= at <= 1 + 1e-9

    def goodness(self, trial: Trial) -> float | None:
        """Return how good a trial is: 0 is worst, 1 is best."""
        at = self.height(trial)
        if at is None:
            return None
        at = min(max(at, 0.0), 1.0)
        return 1 - at if self.trials.goal == "minimize" else at

    def worst_first(self) -> Iterator[tuple[Trial, float]]:
        """Yield the trials that have finished, so that the better ones are drawn over the worse."""
        rated = [(row, rate) for row in self.rows if (rate := self.goodness(row)) is not None]
        yield from sorted(rated, key=lambda pair: pair[1])

    def rest(self) -> list[Trial]:
        """Return the trials that have no place on the metric's axis."""
        return [row for row in self.rows if self.height(row) is None]


def _color(goodness: float) -> Any:  # noqa: ANN401 - a color of matplotlib
    """Return the color of a trial: dark is good, and pale is bad, whatever the goal."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.93 * (1 - goodness))


def _figure(view: _View) -> Figure:
    """Return the picture. Everything is placed in inches, so that no label moves anything."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys = list(view.axes)
    width = min(max(8.5, 1.25 * (len(keys) + 1)), 17.0)
    inner = width - _LEFT - _RIGHT
    rows = -(-len(keys) // int(inner / _NARROWEST))
    columns = -(-len(keys) // rows) if rows else 1
    sheet = _Sheet(width, _PANELS_BEGIN + rows * _PANEL)
    figure = Figure(figsize=(sheet.width, sheet.height))
    FigureCanvasAgg(figure)
    figure.text(
        0.2 / sheet.width, 1 - 0.12 / sheet.height, _title(view, sheet.width),
        va="top", fontsize=9, linespacing=1.5,
    )  # fmt: skip
    bar = sheet.axes(figure, sheet.width - 0.95, 1.3, 0.12, 3.0)
    _parallel(view, sheet.axes(figure, 0.2, 0.95, sheet.width - 1.45, 3.6), sheet.width)
    _colorbar(view, bar)
    _over_trials(view, sheet.axes(figure, _LEFT, 4.85, inner, 2.0))
    wide = (inner + _GAP) / columns - _GAP
    for index, key in enumerate(keys):
        row, column = divmod(index, columns)
        place = (_LEFT + column * (wide + _GAP), _PANELS_BEGIN + row * _PANEL, wide, _PANEL - 0.85)
        _over_parameter(view, key, sheet.axes(figure, *place), is_first=column == 0)
    return figure


@dataclass(frozen=True)
class _Sheet:
    width: float
    height: float

    def axes(self, figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes that begin so many inches from the left and from the top."""
        bottom = self.height - top - height
        return figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height)
        )


def _title(view: _View, width: float) -> str:
    trials = view.trials
    parts = [part for part in (trials.name, trials.method, trials.path) if part]
    lines = ["  ·  ".join(dict.fromkeys(parts)), standing(trials)]
    if view.best is not None and trials.parameters:
        params = {view.names[key]: view.best.params.get(key) for key in trials.parameters}
        shown = worded({k: text_of(v) for k, v in params.items()}, {key: key for key in params})
        lines.append(f"with {shown}")
    return "\n".join(shortened_in_the_middle(line, int(12 * width)) for line in lines)


def _parallel(view: _View, axes: Axes, width: float) -> None:
    """Draw a line for each trial through its parameters to its metric."""
    named = [(view.names[key], scale) for key, scale in view.axes.items()]
    if view.metric is not None:
        named.append((view.label, view.metric))
    last = len(named) - 1
    axes.set(xlim=(-0.3, max(last, 1) + 0.15), ylim=(-0.1, 1.12))
    axes.set_axis_off()
    room = max(10, int(15 * width / max(len(named), 1)))
    for index, (name, scale) in enumerate(named):
        is_metric = view.metric is not None and index == last
        axes.plot([index, index], [0, 1], color="#333333", linewidth=1.4 if is_metric else 0.8, zorder=3)
        axes.text(
            index, 1.1, shortened_in_the_middle(name, room), ha="center", va="bottom",
            fontweight="bold" if is_metric else "normal",
        )  # fmt: skip
        for at, text in scale.ticks():
            axes.plot([index - 0.02, index], [at, at], color="#333333", linewidth=0.6, zorder=3)
            axes.text(
                index - 0.035, at, shortened_in_the_middle(text, max(7, int(0.75 * room))),
                ha="right", va="center", fontsize=6.5, zorder=6,
                bbox={"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
            )  # fmt: skip
    _lines(view, axes)
    if view.metric is None:
        axes.text(
            0.5, 0.5, _nothing(view), transform=axes.transAxes, ha="center", va="center", fontsize=12,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85}, zorder=9,
        )  # fmt: skip


def _nothing(view: _View) -> str:
    if not view.rows:
        return "No trial has begun yet."
    if view.trials.metric is None:
        return "The sweep has no metric to compare its trials by."
    return f"No trial has finished with a number as its {view.label} yet."


def _lines(view: _View, axes: Axes) -> None:
    from matplotlib.collections import LineCollection

    if not view.axes and view.metric is None:  # a line would have no point
        return
    count = len(view.rows)
    width, alpha = (1.6, 0.9) if count <= FEW_LINES else (1.1, 0.7) if count <= 100 else (0.8, 0.5)
    rated = list(view.worst_first())
    rest = [_line(view, trial) for trial in view.rest()]
    axes.add_collection(LineCollection(rest, colors=_FAINT, linewidths=0.8, alpha=min(alpha, 0.6), zorder=1))
    lines = [_line(view, trial) for trial, _ in rated]
    colors = [_color(goodness) for _, goodness in rated]
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=width, alpha=alpha, zorder=2))
    if view.best is not None:
        line = list(zip(*_line(view, view.best), strict=True))
        axes.plot(*line, color="white", linewidth=width + 3, zorder=4, solid_capstyle="round")
        axes.plot(*line, color=_BEST, linewidth=width + 1.2, zorder=5, marker="o", markersize=4)


def _line(view: _View, trial: Trial) -> list[tuple[int, float]]:
    heights = [_height(view, trial, key) for key in view.axes]
    if view.metric is not None:
        heights.append(view.height(trial))
    return [(index, math.nan if height is None else height) for index, height in enumerate(heights)]


def _height(view: _View, trial: Trial, key: str) -> float | None:
    scale = view.axes[key]
    at = scale.at(trial.params[key]) if key in trial.params else None
    if at is None or not scale.categories or trial is view.best or len(view.rows) <= FEW_LINES:
        return at
    # Between two categories hundreds of lines would be one, in the color of the last.
    wide = min(0.04, 0.3 / len(scale.categories))
    return at + random.Random(f"{trial.run_id} {key}").uniform(-wide, wide)


def _colorbar(view: _View, axes: Axes) -> None:
    if view.metric is None:
        axes.set_axis_off()
        return
    is_less = view.trials.goal == "minimize"
    steps = [step / 255 for step in range(256)]
    axes.imshow(
        [[_color(1 - step if is_less else step)] for step in steps],
        extent=(0, 1, 0, 1), aspect="auto", origin="lower",
    )  # fmt: skip
    axes.spines[:].set_visible(False)
    axes.set_xticks([])
    axes.yaxis.tick_right()
    ticks = view.metric.ticks()
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=6.5)
    axes.tick_params(length=2)
    axes.set_title("lower is better" if is_less else "higher is better", fontsize=6.5)


def _over_trials(view: _View, axes: Axes) -> None:
    """Draw the metric of each trial in the order in which they were begun, and the best so far."""
    numbers = {row.run_id: number for number, row in enumerate(view.rows, 1)}
    axes.set_xlim(0.5, max(len(view.rows), 1) + 0.5)
    axes.set_xlabel("trial, in the order they were begun")
    _metric_axis(view, axes, is_labelled=True)
    rest = [numbers[row.run_id] for row in view.rest()]
    if rest:
        low = [-0.1] * len(rest)
        axes.plot(rest, low, "x", color=_GREY, markersize=4, clip_on=False, label="without a result")
    if any(view.is_left_out(row) for row in view.rows):
        axes.plot([], [], "^", color=_GREY, markersize=5, linestyle="", label="far beyond the axis")
    _points(view, axes, {key: float(number) for key, number in numbers.items()})
    steps = [
        (numbers[row.run_id], view.metric.at(value))
        for row, value in zip(found.in_order(view.trials.rows), found.best_so_far(view.trials), strict=True)
        if view.metric is not None and value is not None and row.run_id in numbers
    ]
    if steps:
        axes.step(*zip(*steps, strict=True), where="post", color=_BEST, linewidth=1.2, label="best so far")
    _whole_numbers(axes, len(view.rows))
    if rest or steps:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=7, frameon=False)


def _whole_numbers(axes: Axes, count: int) -> None:
    from matplotlib.ticker import MaxNLocator

    if count <= MOST_NUMBERS:
        axes.set_xticks(range(1, count + 1))
        return
    axes.xaxis.set_major_locator(MaxNLocator(nbins=MOST_NUMBERS, integer=True))


def _over_parameter(view: _View, key: str, axes: Axes, *, is_first: bool) -> None:
    """Draw the metric over one parameter."""
    scale = view.axes[key]
    axes.set_xlim(-0.04, 1.04)
    axes.set_title(shortened_in_the_middle(view.names[key], 34), fontsize=8, loc="left")
    _metric_axis(view, axes, is_labelled=is_first)
    ticks = scale.ticks()
    if not scale.categories and sum(len(text) + 2 for _, text in ticks) > _LETTERS:
        ticks = ticks[::2]
    turned = sum(len(text) for _, text in ticks) > _LETTERS
    axes.set_xticks(
        [at for at, _ in ticks], [text for _, text in ticks], fontsize=6.5,
        rotation=30 if turned else 0, ha="right" if turned else "center",
    )  # fmt: skip
    places = {row.run_id: at for row in view.rows if (at := scale.at(row.params.get(key))) is not None}
    if scale.categories:
        _medians(view, axes, places, len(scale.categories))
        chance = random.Random(0)  # the same picture each time
        wide = 0.22 / len(scale.categories)
        places = {run: at + chance.uniform(-wide, wide) for run, at in places.items()}
    _points(view, axes, places)


def _medians(view: _View, axes: Axes, places: dict[str, float], count: int) -> None:
    by_place: dict[float, list[float]] = {}
    for trial, _ in view.worst_first():
        height = view.height(trial)
        if trial.run_id in places and height is not None:
            by_place.setdefault(places[trial.run_id], []).append(height)
    half = 0.32 / count
    for at, heights in by_place.items():
        if len(heights) > 2:  # of fewer there is nothing to sum up
            axes.plot([at - half, at + half], [median(heights)] * 2, color="#333333", linewidth=1.4, zorder=4)


def _points(view: _View, axes: Axes, places: dict[str, float]) -> None:
    """Draw a point for each trial that has a result; a triangle at the edge stands for one far outside."""
    size = 26 if len(view.rows) <= 20 else 16 if len(view.rows) <= 100 else 9
    placed: dict[str, list[tuple[float, float, Any]]] = {"o": [], "^": [], "v": []}
    for trial, goodness in view.worst_first():
        at, height = places.get(trial.run_id), view.height(trial)
        if at is None or height is None:
            continue
        if view.best is not None and trial.run_id == view.best.run_id:
            axes.scatter(
                [at], [height], s=size * 2.2, color=_color(goodness), edgecolors=_BEST, linewidths=1.4,
                zorder=6, clip_on=False,
            )  # fmt: skip
            continue
        marker = "o" if not view.is_left_out(trial) else "^" if height > 1 else "v"
        placed[marker].append((at, height, _color(goodness)))
    for marker, points in placed.items():
        across, up, colors = zip(*points, strict=True) if points else ((), (), ())
        axes.scatter(
            across, up, s=size * (1 if marker == "o" else 1.8), marker=marker, c=colors or None,
            edgecolors="white" if marker == "o" else _GREY, linewidths=0.3, zorder=3, clip_on=False,
        )  # fmt: skip


def _metric_axis(view: _View, axes: Axes, *, is_labelled: bool) -> None:
    axes.set_ylim(-0.12, 1.1)
    ticks = view.metric.ticks() if view.metric is not None else []
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks], fontsize=6.5)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", labelleft=is_labelled)
    if is_labelled:
        axes.set_ylabel(shortened_in_the_middle(view.label, 30), fontsize=7)
    if view.metric is None:
        axes.text(0.5, 0.5, "no result yet", transform=axes.transAxes, ha="center", color=_GREY)
