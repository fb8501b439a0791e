"""What the schema's types answer: viewer, projects, runs and their files, sweeps and agents.

An attribute is the field of its name in camel case (`graphql.py`), read from the rows of `store`.
"""

from __future__ import annotations

import json
import math
import mimetypes
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import yaml

from jade.server import artifact_nodes, artifacts, filters, history, ids, runs, search, sweeps
from jade.server.context import Context, time_text
from jade.server.pages import PAGE, connection
from jade.server.runs import CONSOLE, EVENTS, HISTORY
from jade.server.tokens import Right

_RUNS = "SELECT runs.*, sweeps.name AS sweep_name FROM runs LEFT JOIN sweeps ON sweeps.id = runs.sweep WHERE"


def user(context: Context) -> dict[str, Any]:
    """Return the one user of a server."""
    entity = context.parts.entity
    return {
        "id": ids.encode("User", 1),
        "name": entity,
        "username": entity,
        "email": f"{entity}@localhost",
        "admin": True,
        "flags": "{}",
        "entity": entity,
        "deletedAt": None,
        "apiKeys": {"edges": []},
        "teams": {"edges": []},
        "organizations": [],
    }


def entity(name: str) -> dict[str, Any]:
    """Return an entity; every name is one."""
    return {
        "id": ids.encode("Entity", 1),
        "name": name,
        "available": False,
        "readOnly": False,
        "readOnlyAdmin": False,
        "isTeam": False,
        "entityType": "user",
        "privateOnly": False,
        "storageBytes": "0",
        "codeSavingEnabled": True,
        "isPaid": False,
        "members": [],
        "organization": None,
        "user": {"organizations": []},
        "xxhashDigestsEnabled": False,
    }


class Project:
    """A project, its runs and sweeps."""

    access = "PRIVATE"
    views = "{}"
    is_benchmark = False
    read_only = False

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self._found: dict[str | None, list[filters.Subject]] = {}
        self.id = ids.encode("Project", row["id"])
        self.internal_id = str(row["id"])
        self.name = row["name"]
        self.entity_name = row["entity"]
        self.entity = entity(row["entity"])
        self.description = row["description"] or ""
        self.created_at = time_text(row["created_at"])

    @property
    def user(self) -> dict[str, Any]:
        """The project's owner."""
        return user(self._context)

    def run(self, name: str | None = None) -> Run | None:
        """Return one run."""
        row = self._context.db.execute(
            f"{_RUNS} runs.project = ? AND runs.name = ?", (self._row["id"], name)
        ).fetchone()
        return Run(self._context, row) if row else None

    def bucket(self, name: str | None = None, missing_ok: bool = True) -> Run | None:
        """Return one run, as a client asks before it resumes one."""
        return self.run(name)

    def _matching(self, text: str | None) -> list[filters.Subject]:
        if text not in self._found:
            self._note_silent()
            query = json.loads(text) if text else {}
            rows = self._context.db.execute(f"{_RUNS} runs.project = ?", (self._row["id"],)).fetchall()
            subjects = [filters.Subject(row, time_text) for row in rows]
            self._found[text] = [one for one in subjects if filters.matches(one, query or {})]
        return self._found[text]

    def _note_silent(self) -> None:
        with self._context.parts.store.write() as db:
            runs.note_silent(db, self._context.parts.now())

    def run_count(self, filters: str | None = None) -> int:
        """Return how many runs a filter finds."""
        return len(self._matching(filters))

    def runs(
        self,
        filters: str | None = None,
        after: str | None = None,
        first: int | None = PAGE,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the runs that a filter finds, in an order."""
        found = _ordered(self._matching(filters), order)
        page = connection(found, after, first)
        for edge in page["edges"]:
            edge["node"] = Run(self._context, edge["node"].row)
        return page

    def sweep(self, sweep_name: str | None = None) -> Sweep | None:
        """Return one sweep."""
        row = sweeps.find(self._context.db, sweep_name)
        return Sweep(self._context, row) if row is not None and row["project"] == self._row["id"] else None

    def sweeps(
        self, after: str | None = None, first: int | None = PAGE, filters: str | None = None
    ) -> dict[str, Any]:
        """Return a page of the sweeps, the newest first."""
        return connection(self._sweeps, after, first)

    @cached_property
    def _sweeps(self) -> list[Sweep]:
        rows = self._context.db.execute(
            "SELECT * FROM sweeps WHERE project = ? ORDER BY id DESC", (self._row["id"],)
        ).fetchall()
        return [Sweep(self._context, row) for row in rows]

    @property
    def total_sweeps(self) -> int:
        """How many sweeps there are."""
        return len(self._sweeps)

    def artifact(self, name: str | None = None) -> artifact_nodes.Artifact | None:
        """Return the version that "name:v3", "name:alias" or "name" stands for."""
        return artifact_nodes.artifact(self._context, self._artifact(name))

    def artifact_collection_membership(self, name: str | None = None) -> artifact_nodes.Membership | None:
        """Return that version as the member of its collection."""
        row = self._artifact(name)
        return artifact_nodes.Membership(self._context, row) if row else None

    def _artifact(self, name: str | None) -> sqlite3.Row | None:
        return artifacts.find(self._context.db, self._row["id"], name)

    def artifact_type(self, name: str | None = None) -> artifact_nodes.Type | None:
        """Return a type of artifacts."""
        found = [one for one in artifact_nodes.types(self._context, self._row["id"]) if one.name == name]
        return found[0] if found else None

    def artifact_types(self, after: str | None = None, first: int | None = PAGE) -> dict[str, Any]:
        """Return a page of the types of artifacts."""
        return connection(artifact_nodes.types(self._context, self._row["id"]), after, first)

    def artifact_collection(self, name: str | None = None) -> artifact_nodes.Collection | None:
        """Return a collection of artifacts."""
        return artifact_nodes.collection(self._context, self._row["id"], name)

    def artifact_collections(
        self,
        after: str | None = None,
        first: int | None = PAGE,
        filters: str | None = None,
        order: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the collections of artifacts."""
        found = artifact_nodes.collections(self._context, self._row["id"], filters, order)
        return connection(found, after, first)


_ordered = filters.ordered


def project(context: Context, owner: str | None, name: str | None) -> Project | None:
    """Return a project, or None."""
    row = context.db.execute(
        "SELECT * FROM projects WHERE entity = ? AND name = ?", (owner or context.parts.entity, name)
    ).fetchone()
    return Project(context, row) if row else None


class Run:
    """A run, what it has logged, and its files."""

    read_only = False
    should_stop = False

    def __init__(self, context: Context, row: sqlite3.Row) -> None:
        self._context = context
        self._row = row
        self.id = ids.encode("Run", row["id"])
        self.name = row["name"]
        self.display_name = row["display_name"]
        self.state = row["state"]
        self.config = row["config"]
        self.summary_metrics = row["summary"]
        self.tags = json.loads(row["tags"])
        self.notes = row["notes"]
        self.description = row["description"]
        self.group = row["group_name"]
        self.job_type = row["job_type"]
        self.host = row["host"]
        self.program = row["program"]
        self.commit = row["commit_hash"]
        self.created_at = time_text(row["created_at"])
        self.heartbeat_at = time_text(row["heartbeat_at"])
        self.exitcode = row["exit_code"]
        self.failed = row["state"] in ("failed", "crashed")
        self.stopped = row["state"] == "killed"
        self.running = row["state"] in runs.LIVE
        self.project_id = str(row["project"])

    @property
    def sweep_name(self) -> str | None:
        """The sweep it is a trial of."""
        if self._row["sweep"] is None:
            return None
        row = sweeps.by_id(self._context.db, self._row["sweep"])
        return row["name"] if row else None

    @property
    def user(self) -> dict[str, Any]:
        """Whose run it is."""
        return user(self._context)

    @property
    def project(self) -> Project:
        """The project it is in."""
        row = self._context.db.execute(
            "SELECT * FROM projects WHERE id = ?", (self._row["project"],)
        ).fetchone()
        return Project(self._context, row)

    def wandb_config(self, keys: Sequence[str] = ()) -> str:
        """Return what wandb itself noted; a client takes a run without it for one that never began."""
        noted = json.loads(self.config).get("_wandb")
        known = noted.get("value", noted) if isinstance(noted, Mapping) else {}
        return json.dumps({key: known[key] for key in keys or known if key in known})

    @property
    def history_line_count(self) -> int:
        """How many rows there are."""
        return self._next(HISTORY)

    @property
    def events_line_count(self) -> int:
        """How many rows of system metrics there are."""
        return self._next(EVENTS)

    @property
    def log_line_count(self) -> int:
        """How many lines the program printed."""
        return self._next(CONSOLE)

    def _next(self, file: str) -> int:
        return runs.next_line(self._context.db, self._row["id"], file)

    @property
    def history_tail(self) -> str:
        """The last row, in a list."""
        return json.dumps(self._last(HISTORY, 1))

    @property
    def events_tail(self) -> str:
        """The last system metrics, in a list."""
        return json.dumps(self._last(EVENTS, 1))

    @property
    def system_metrics(self) -> str:
        """The last system metrics."""
        return (self._last(EVENTS, 1) or ["{}"])[0]

    def _last(self, file: str, count: int) -> list[str]:
        return runs.last_lines(self._context.db, self._row["id"], file, count)

    def history(
        self, min_step: float | None = None, max_step: float | None = None, samples: int | None = None
    ) -> list[str]:
        """Return rows as they were streamed, between two steps, the second of which is left out."""
        return history.between(self._context.db, self._row["id"], min_step, max_step, samples)

    def events(self, samples: int | None = None) -> list[str]:
        """Return the last system metrics."""
        return self._last(EVENTS, samples or history.DEFAULT_SAMPLES)

    @property
    def history_keys(self) -> dict[str, Any]:
        """Which keys the rows hold."""
        return history.keys(self._context.db, self._row["id"])

    def sampled_history(self, specs: Sequence[str] | str = ()) -> list[list[dict[str, Any]]]:
        """Return for each spec the rows that hold its keys."""
        # One value stands for a list of one, in GraphQL.
        parsed = [json.loads(spec) for spec in ([specs] if isinstance(specs, str) else specs)]
        return [history.sampled(self._context.db, self._row["id"], spec or {}) for spec in parsed]

    def parquet_history(self, live_keys: Sequence[str] = ()) -> dict[str, Any]:
        """Say that no row is in a parquet file: a client then reads them page by page."""
        # Live data begins with the first row.
        return {"parquetUrls": [], "liveData": [{"_step": 0}] if self.history_line_count else []}

    def log_lines(
        self,
        first: int | None = None,
        last: int | None = None,
        after: str | None = None,
        use_improved_pagination: bool = True,
    ) -> dict[str, Any]:
        """Return lines that the program printed."""
        end = self._next(CONSOLE)
        begin = int(after) if after else max(0, end - last) if last is not None else 0
        stop = min(end, begin + (first or end))
        rows = self._context.db.execute(
            "SELECT number, text FROM lines WHERE run = ? AND file = ? AND number >= ? AND number < ?"
            " ORDER BY number",
            (self._row["id"], CONSOLE, begin, stop),
        ).fetchall()
        return {
            "edges": [{"node": _log_line(row["number"], row["text"])} for row in rows],
            "pageInfo": {"endCursor": str(stop), "hasNextPage": stop < end},
        }

    @property
    def file_count(self) -> int:
        """How many files there are."""
        return len(runs.files(self._context.db, self._row["id"], (), None))

    def files(
        self,
        names: Sequence[str] | None = None,
        after: str | None = None,
        first: int | None = PAGE,
        pattern: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of the files; one that is asked for by name and is missing has no bytes."""
        rows = runs.files(self._context.db, self._row["id"], names or (), pattern)
        found = {row["name"]: run_file(self._context, self._row["id"], row["name"], row) for row in rows}
        for name in names or ():
            found.setdefault(name, run_file(self._context, self._row["id"], name, None))
        return connection(list(found.values()), after, first)

    def output_artifacts(self, after: str | None = None, first: int | None = PAGE) -> dict[str, Any]:
        """Return a page of the artifacts that it has logged."""
        return artifact_nodes.of_run(self._context, self._row["id"], "output", after, first)

    def input_artifacts(self, after: str | None = None, first: int | None = PAGE) -> dict[str, Any]:
        """Return a page of the artifacts that it has used."""
        return artifact_nodes.of_run(self._context, self._row["id"], "input", after, first)


def _log_line(number: int, text: str) -> dict[str, Any]:
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if not (isinstance(known, dict) and "content" in known):
        known = {"content": text}
    return {
        "number": number,
        "timestamp": known.get("ts"),
        "level": known.get("level"),
        "label": known.get("label"),
        "line": known["content"],
    }


def run_file(context: Context, run: int, name: str, row: sqlite3.Row | None) -> dict[str, Any]:
    """Return a file of a run; without a row, one that is not uploaded yet."""
    got = context.address(Right("get", "files", run, name), name.rpartition("/")[2])
    put = context.address(Right("put", "files", run, name), name.rpartition("/")[2])
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {
        "id": ids.encode("File", row["id"]) if row else f"{ids.encode('Run', run)}/{name}",
        "name": name,
        "displayName": name,
        "url": _chosen(got, put),
        "directUrl": got,
        "uploadUrl": put,
        "uploadHeaders": [],
        "sizeBytes": row["size"] if row else 0,
        "mimetype": kind,
        "updatedAt": time_text(row["updated_at"]) if row else None,
        "digest": row["md5"] if row else "0",
        "md5": row["md5"] if row else "0",
    }


def _chosen(got: str, put: str) -> Callable[..., str]:
    return lambda upload=False: put if upload else got


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
    def project(self) -> Project:
        """The project it is in."""
        row = self._context.db.execute(
            "SELECT * FROM projects WHERE id = ?", (self._row["project"],)
        ).fetchone()
        return Project(self._context, row)

    @property
    def _runs(self) -> list[sqlite3.Row]:
        return self._context.db.execute(
            f"{_RUNS} runs.sweep = ? ORDER BY runs.id", (self._row["id"],)
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
        found = [Run(self._context, one.row) for one in filters.ordered(subjects, order)]
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
        is_there = self._context.parts.now() - self._row["heartbeat_at"] < sweeps.Patience().grace
        return "RUNNING" if is_there else "FINISHED"

    @property
    def _runs(self) -> list[Run]:
        rows = self._context.db.execute(
            f"{_RUNS} runs.name IN (SELECT run FROM trials WHERE agent = ?) AND runs.sweep = ?"
            " ORDER BY runs.id",
            (self._row["id"], self._row["sweep"]),
        ).fetchall()
        return [Run(self._context, row) for row in rows]

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
