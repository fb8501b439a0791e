"""A sweep, its runs and its agents, as the schema answers them."""

from __future__ import annotations

import json
import math
import sqlite3
from functools import cached_property
from typing import Any

import yaml

from jade.server import filters, ids, owners, run_nodes, runs, search
from jade.server.context import Context, time_text
from jade.server.pages import PAGE, connection
from jade.server.run_nodes import RUNS


class Sweep:
    """A sweep and its runs."""

    early_stop_job_running = False
    controller_run_name = None

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self.id = ids.encode("Sweep", row["id"])
        self.name = row["name"]
        self.display_name = row["display_name"]
        self.description = row["description"]
        self.state = row["state"]
        self.config = row["config"]
        self.controller = row["controller"]
        self.scheduler = row["scheduler"]
        self.created_at = time_text(row["created_at"])
        self.updated_at = time_text(row["updated_at"])

    @cached_property
    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = yaml.safe_load(self.config)
        return values

    @property
    def method(self) -> str | None:
        """How its points are chosen."""
        return self._values.get("method")

    @property
    def heartbeat_at(self) -> str:
        """When one of its agents was last heard of."""
        heard = self._context.db.execute(
            "SELECT MAX(heartbeat_at) FROM agents WHERE sweep = ?", (self._row["id"],)
        ).fetchone()[0]
        return time_text(heard or self._row["updated_at"])

    @property
    def project(self) -> dict[str, Any]:
        """The project it is in."""
        return owners.project(self._context, self._row["project"])

    @property
    def _runs(self) -> list[sqlite3.Row]:
        return self._context.db.execute(
            f"{RUNS} runs.sweep = ? ORDER BY runs.id", (self._row["id"],)
        ).fetchall()

    @property
    def run_count(self) -> int:
        """How many runs it has."""
        return len(self._runs)

    @property
    def run_count_expected(self) -> int | None:
        """How many it will have in all, if that is known."""
        values, cap = self._values, self._values.get("run_cap")
        if values.get("method") != "grid":
            return cap
        space = search.Space.parse(values["parameters"])
        size = math.prod(one.count() or 0 for one in space.distributions.values())
        return size if cap is None else min(cap, size)

    @property
    def best_loss(self) -> float | None:
        """The best last value of its metric."""
        metric = self._values.get("metric") or {}
        found = [
            runs.number_or_none(filters.inside(json.loads(row["summary"]), metric.get("name", "")))
            for row in self._runs
        ]
        known = [value for value in found if value is not None and value == value]
        if not known:
            return None
        return max(known) if metric.get("goal") == "maximize" else min(known)

    def runs(
        self, first: int | None = None, after: str | None = None, order: str | None = None
    ) -> dict[str, Any]:
        """Return a page of its runs, or all of them."""
        subjects = [filters.Subject(row, time_text) for row in self._runs]
        found = [run_nodes.Run(self._context, one.row) for one in filters.ordered(subjects, order)]
        return connection(found, after, first)

    def agent(self, agent_name: str | None = None) -> Agent | None:
        """Return one agent."""
        found = [agent for agent in self._agents if agent_name in (agent.name, agent.id)]
        return found[0] if found else None

    @property
    def agents(self) -> dict[str, Any]:
        """The agents that work on it, or did."""
        return connection(self._agents, None, None)

    @property
    def _agents(self) -> list[Agent]:
        rows = self._context.db.execute(
            "SELECT * FROM agents WHERE sweep = ? ORDER BY id", (self._row["id"],)
        ).fetchall()
        return [Agent(self._context, row) for row in rows]


class Agent:
    """A process that runs the trials of a sweep, one after the other."""

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self.id = ids.encode("Agent", row["id"])
        self.name = f"agent-{row['id']}"
        self.host = row["host"]
        self.created_at = time_text(row["created_at"])
        self.heartbeat_at = time_text(row["heartbeat_at"])

    @property
    def state(self) -> str:
        """Whether it was heard of lately."""
        parts = self._context.parts
        is_there = parts.now() - self._row["heartbeat_at"] < parts.dispatcher.patience.grace
        return "RUNNING" if is_there else "FINISHED"

    @property
    def _runs(self) -> list[run_nodes.Run]:
        rows = self._context.db.execute(
            f"{RUNS} runs.name IN (SELECT run FROM trials WHERE agent = ?) AND runs.sweep = ?"
            " ORDER BY runs.id",
            (self._row["id"], self._row["sweep"]),
        ).fetchall()
        return [run_nodes.Run(self._context, row) for row in rows]

    @property
    def total_runs(self) -> int:
        """How many runs it was given."""
        return len(self._runs)

    def runs(
        self,
        after: str | None = None,
        before: str | None = None,
        first: int | None = PAGE,
        last: int | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the runs that it was given."""
        return connection(self._runs, after, first)
