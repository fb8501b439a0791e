"""A run: its state, numbers, curves with other runs beside it, images, config, files, what it printed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from jade.server import curves, runs
from jade.server.context import Context
from jade.server.curves import Curve
from jade.server.runs import CONSOLE
from jade.server.web import (
    addresses,
    console,
    responses,
    run_compare,
    run_config,
    run_curves,
    run_files,
    run_images,
    run_lookup,
    run_metrics,
    trials,
    words,
)
from jade.server.web.run_lookup import Subject
from jade.server.web.sweep_view import FAILED

DRAWN_AT_ONCE = 12
LAST_LINES = 1000


@dataclass(frozen=True)
class Panel:
    """A chart of one metric: its name, and a picture of it for who has no scripts."""

    name: str
    lines: list[str]


@dataclass(frozen=True)
class View:
    """A run as its page shows it.

    Attributes:
        db: a connection that reads.
        of: the run.
        beside: the runs whose curves are drawn as well.
        now: seconds since the epoch.
    """

    db: sqlite3.Connection
    of: Subject
    beside: Sequence[sqlite3.Row]
    now: float

    @cached_property
    def address(self) -> str:
        """Where the page is."""
        return addresses.run(self.of.project["entity"], self.of.project["name"], self.of.run["name"])

    @property
    def run(self) -> sqlite3.Row:
        """The row of the run."""
        return self.of.run

    @cached_property
    def state(self) -> str:
        """The run's state."""
        return trials.state_of(self.run, self.now)

    @property
    def is_live(self) -> bool:
        """Whether more is to come."""
        return self.state in runs.LIVE

    @property
    def has_failed(self) -> bool:
        """Whether it ended badly."""
        return self.state in FAILED

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """What the run says of itself last."""
        known: dict[str, Any] = json.loads(self.run["summary"])
        return known

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return trials.seconds_of(self.run, self.summary)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its config, as it was logged."""
        return runs.values_of(self.run["config"])

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """The parameters of its trial."""
        return json.loads(self.of.trial["params"]) if self.of.trial is not None else {}

    @cached_property
    def titles(self) -> Mapping[str, str]:
        """The names of its trial's parameters, as short as they are told apart by."""
        return words.shortened(list(self.params))

    @property
    def tags(self) -> list[str]:
        """The run's tags."""
        known: list[str] = json.loads(self.run["tags"])
        return known

    @cached_property
    def metric(self) -> str | None:
        """The metric of its sweep."""
        told = run_lookup.metric(self.of)
        return told[0] if told else None

    @cached_property
    def standings(self) -> list[trials.Trial]:
        """The trials of its sweep, the best one first."""
        return run_lookup.standings(self.db, self.of, self.now)

    @property
    def place(self) -> int | None:
        """Its place among them, from 1."""
        names = [trial.run for trial in self.standings]
        return names.index(self.run["name"]) + 1 if self.run["name"] in names else None

    def extremes(self) -> list[tuple[str, trials.Trial, str]]:
        """Return the best and the worst trial of the sweep, if not drawn yet, with where they would be."""
        drawn = {self.run["name"], *(row["name"] for row in self.beside)}
        ends = [("best", self.standings[0]), ("worst", self.standings[-1])] if len(self.standings) > 1 else []
        return [(word, trial, self.beside_too(trial.run)) for word, trial in ends if trial.run not in drawn]

    def beside_too(self, name: str) -> str:
        """Return where the page is with one more run beside it."""
        return run_compare.address(self.address, [*(row["name"] for row in self.beside), name])

    @cached_property
    def drawn(self) -> list[run_compare.Drawn]:
        """The runs whose curves are drawn, its own first."""
        entity, project = self.of.project["entity"], self.of.project["name"]
        names = [row["name"] for row in self.beside]
        return [
            run_compare.Drawn(
                row,
                addresses.run(entity, project, row["name"]),
                ""
                if row is self.run
                else run_compare.address(self.address, [n for n in names if n != row["name"]]),
            )
            for row in (self.run, *self.beside)
        ]

    def differences(self) -> list[run_compare.Difference]:
        """Return what the runs beside each other differ in."""
        return run_compare.differences([self.run, *self.beside], self.metric) if self.beside else []

    @cached_property
    def names(self) -> list[str]:
        """All metrics of the run."""
        return run_metrics.names(self.db, self.run["id"], self.config, self.metric)

    @cached_property
    def _curves(self) -> dict[str, dict[int, Curve]]:
        chosen = [row["id"] for row in (self.run, *self.beside)]
        return curves.of_keys(self.db, chosen, self.names[: run_metrics.MOST])

    @cached_property
    def metrics(self) -> list[run_metrics.Metric]:
        """Its metrics with their values."""
        own = {name: found[self.run["id"]] for name, found in self._curves.items() if self.run["id"] in found}
        return run_metrics.of_run(own, self.names[: run_metrics.MOST], self.summary, self.metric)

    def others(self) -> list[tuple[str, Any]]:
        """Return what else its summary says."""
        return run_metrics.others(self.summary, self.names)

    def panels(self) -> list[Panel]:
        """Return the charts that are drawn at once, with pictures; of those after them only the names."""
        first, more = self.names[:DRAWN_AT_ONCE], self.names[DRAWN_AT_ONCE : run_metrics.MOST]
        order = [row["id"] for row in (self.run, *self.beside)]
        pictures = [[self._curves[name][run] for run in order if run in self._curves[name]] for name in first]
        return [
            *(Panel(name, run_metrics.pictures(drawn)) for name, drawn in zip(first, pictures, strict=True)),
            *(Panel(name, []) for name in more),
        ]

    @cached_property
    def axes(self) -> dict[str, str]:
        """Over what the curves can be drawn, and what it is called."""
        return run_curves.axes(self.db, self.run["id"])

    @cached_property
    def images(self) -> list[run_images.Shown]:
        """Its images, by key; its summary says whether there are any, for to look for them takes time."""
        has_some = '"image-file"' in self.run["summary"] or '"images/separated"' in self.run["summary"]
        return run_images.of_run(self.db, self.run["id"]) if has_some else []

    @cached_property
    def line_count(self) -> int:
        """How many lines it has printed."""
        return runs.next_line(self.db, self.run["id"], CONSOLE)

    def lines(self) -> list[console.Line]:
        """Return the last lines that it has printed."""
        texts = runs.last_lines(self.db, self.run["id"], CONSOLE, LAST_LINES)
        return [
            console.line(number, text) for number, text in enumerate(texts, self.line_count - len(texts) + 1)
        ]


def show(context: Context, request: Request) -> Response:
    """Return the page."""
    of = run_lookup.subject(context.db, request.path_params)
    if of is None:
        path = request.path_params
        return responses.nothing(
            request, f"This server has no run {path['run']} in {path['entity']}/{path['project']}."
        )
    query = request.query_params
    beside = run_lookup.beside(context.db, of, query.getlist("with"))
    view = View(context.db, of, beside[: run_lookup.MOST_BESIDE], context.parts.now())
    added = query.get("add", "").strip()
    found = run_lookup.search(context.db, of, added) if added else []
    if len(found) == 1 or any(added in (row["name"], row["display_name"]) for row in found[:1]):
        return RedirectResponse(view.beside_too(found[0]["name"]), 303)
    return responses.page(
        request,
        "run.html",
        view=view,
        undrawn=len(beside[run_lookup.MOST_BESIDE :]),
        added=added,
        found=found,
        at=_number(query.get("at")),
        config=run_config.groups(view.config, view.params, query.get("q", "")),
        wanted={name: query.get(name, "") for name in ("q", "files")},
        files=run_files.of_run(context.db, of.run["id"], query.get("files", "")),
        artifacts=run_files.artifacts(context.db, of.run["id"]),
        drawn_at_once=DRAWN_AT_ONCE,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
