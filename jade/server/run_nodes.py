"""A run, what it has logged and its files, as the schema answers them."""

from __future__ import annotations

import json
import mimetypes
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jade.server import artifact_nodes, history, ids, owners, runs, sweeps
from jade.server.context import Context, time_text
from jade.server.pages import PAGE, connection
from jade.server.runs import CONSOLE, EVENTS, HISTORY
from jade.server.tokens import Right

RUNS = "SELECT runs.*, sweeps.name AS sweep_name FROM runs LEFT JOIN sweeps ON sweeps.id = runs.sweep WHERE"


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
        return owners.user(self._context)

    @property
    def project(self) -> dict[str, Any]:
        """The project it is in."""
        return owners.project(self._context, self._row["project"])

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
