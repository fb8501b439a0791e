"""What a client may change: the fields of the schema's Mutation, each one transaction."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from jade.server import artifacts, ids, project_nodes, run_nodes, runs, sweep_nodes, sweeps
from jade.server.blobs import checked_name
from jade.server.context import Context
from jade.server.graphql import AbsentError
from jade.server.runs import RefusedError

MOST_FILES = 10_000  # in one request
_SUCCESS = {"success": True}

_log = logging.getLogger(__name__)

Input = Mapping[str, Any]


class UnknownAgentError(AbsentError):
    """An agent asks for work that this server does not know; the client takes its sweep for deleted."""


class Mutation:
    """Makes the changes of one request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._parts = context.parts

    def upsert_bucket(self, input: Input) -> dict[str, Any]:
        """Begin, continue or change a run."""
        run = _number("Run", input.get("id"))
        with self._parts.store.write() as db:
            number, is_new = runs.upsert(db, input, self._parts.entity, run, self._parts.now())
            self._parts.heard.note("run", number)
        return {"bucket": self._run(number), "inserted": is_new}

    def upsert_model(self, input: Input) -> dict[str, Any]:
        """Make a project, or change its description."""
        owner, name = input.get("entityName") or self._parts.entity, input.get("name")
        is_new = project_nodes.project(self._context, owner, name) is None
        with self._parts.store.write() as db:
            number = runs.project(db, owner, str(name), self._parts.now())
            if input.get("description") is not None:
                db.execute(
                    "UPDATE projects SET description = ? WHERE id = ?", (str(input["description"]), number)
                )
        found = project_nodes.project(self._context, owner, name)
        return {"project": found, "model": found, "inserted": is_new}

    def create_run_files(self, input: Input) -> dict[str, Any]:
        """Tell where files of a run are to be put."""
        row = self._named_run(input, "runName")
        names = input.get("files") or []
        if len(names) > MOST_FILES:
            raise RefusedError(f"{len(names)} files are too many for one request.")
        files = [run_nodes.run_file(self._context, row["id"], checked_name(name), None) for name in names]
        return {"runID": ids.encode("Run", row["id"]), "uploadHeaders": [], "files": files}

    def mark_run_files_uploaded(self, input: Input) -> dict[str, Any]:
        """Say that files are uploaded, which the server knows already."""
        self._named_run(input, "runName")
        return _SUCCESS

    def delete_files(self, input: Input) -> dict[str, Any]:
        """Delete files of runs."""
        numbers = [_number("File", text) for text in input.get("files") or []]
        with self._parts.store.write() as db:
            blobs = []
            for number in numbers:
                row = db.execute("DELETE FROM files WHERE id = ? RETURNING blob", (number,)).fetchone()
                blobs += [row["blob"]] if row else []
        self._drop(blobs)
        return _SUCCESS

    def delete_run(self, input: Input) -> dict[str, Any]:
        """Delete a run and its files, and the artifacts that it has made, if that is asked for."""
        number = _known("Run", input.get("id"))
        with self._parts.store.write() as db:
            blobs = artifacts.delete_outputs(db, number) if input.get("deleteArtifacts") else []
            blobs += runs.delete(db, number)
        self._drop(blobs)
        return {"clientMutationId": input.get("clientMutationId")}

    def stop_run(self, input: Input) -> dict[str, Any]:
        """Ask a run to stop."""
        number = _known("Run", input.get("id"))
        with self._parts.store.write() as db:
            runs.ask_to_stop(db, number, self._parts.now())
        return _SUCCESS

    def update_run_state(self, input: Input) -> dict[str, Any]:
        """Set the state of a run that belongs to no sweep: "pending" or "failed"."""
        number, state = _known("Run", input.get("id")), str(input.get("state")).lower()
        allowed = {
            "pending": ("running", "failed", "crashed", "preempted"),
            "failed": ("pending", "running"),
        }
        with self._parts.store.write() as db:
            row = runs.by_id(db, number)
            if row is None or row["sweep"] is not None or row["state"] not in allowed.get(state, ()):
                raise RefusedError(f"The state of this run cannot be set to {state!r}.")
            db.execute("UPDATE runs SET state = ? WHERE id = ?", (state, number))
        return _SUCCESS

    def notify_scriptable_run_alert(self, input: Input) -> dict[str, Any]:
        """Write an alert of a run to the server's log: there is no mail to send."""
        self._named_run(input, "runName")
        _log.warning("%s: %s %s", input.get("runName"), input.get("title"), input.get("text"))
        return _SUCCESS

    def upsert_sweep(self, input: Input) -> dict[str, Any]:
        """Make a sweep, or change it."""
        now = self._parts.now()
        with self._parts.store.write() as db:
            if input.get("id"):
                number = self._sweep_number(input["id"])
                sweeps.change(db, number, input, now)
            else:
                number = sweeps.create(db, input, self._parts.entity, self._parts.seed, now)
        return {"sweep": self._sweep(number), "configValidationWarnings": []}

    def create_agent(self, input: Input) -> dict[str, Any]:
        """Note that an agent begins."""
        number = self._sweep_number(input.get("sweep"))
        with self._parts.store.write() as db:
            agent = sweeps.register(db, number, str(input.get("host") or ""), self._parts.now())
        self._parts.heard.note("agent", agent)
        return {"agent": {"id": ids.encode("Agent", agent)}}

    def agent_heartbeat(self, input: Input) -> dict[str, Any]:
        """Tell an agent what to do."""
        agent = ids.decode("Agent", input.get("id"))
        running = json.loads(input.get("runState") or "{}")
        commands = self._parts.dispatcher.beat(agent or 0, [name for name, is_on in running.items() if is_on])
        if commands is None:
            raise UnknownAgentError
        return {"agent": {"id": input.get("id")}, "commands": json.dumps(commands)}

    def enqueue_sweep_run(self, input: Input) -> dict[str, Any]:
        """Let an agent run a point that somebody else has chosen."""
        number = self._sweep_number(input.get("id"))
        config = self._chosen(input.get("config"))
        params = {
            key: item["value"] if isinstance(item, Mapping) and "value" in item else item
            for key, item in config.items()
        }
        with self._parts.store.write() as db:
            name = sweeps.enqueue(db, number, params)
        return {"id": name, "runQueueItemId": name}

    @staticmethod
    def _chosen(text: str | None) -> dict[str, Any]:
        try:
            config = json.loads(text or "{}")
        except ValueError:
            config = None
        if not isinstance(config, dict):
            raise RefusedError("The config of a run is the text of a JSON object.")
        return config

    def _drop(self, blobs: list[str]) -> None:
        for blob in blobs:
            self._parts.blobs.delete(blob)

    def _run(self, number: int) -> run_nodes.Run:
        row = runs.by_id(self._context.db, number)
        if row is None:
            raise RefusedError("There is no such run.")
        return run_nodes.Run(self._context, row)

    def _named_run(self, input: Input, field: str) -> Any:  # noqa: ANN401 - a row
        entity = input.get("entityName") or self._parts.entity
        name, project = str(input.get(field)), str(input.get("projectName"))
        row = runs.find(self._context.db, entity, project, name)
        if row is None:
            raise RefusedError(f"There is no run {name!r} in {entity}/{project}.")
        return row

    def _sweep(self, number: int) -> sweep_nodes.Sweep:
        row = sweeps.by_id(self._context.db, number)
        if row is None:
            raise RefusedError("There is no such sweep.")
        return sweep_nodes.Sweep(self._context, row)

    def _sweep_number(self, given: object) -> int:
        """Return the number of the sweep of an id or a name: clients send either."""
        number = ids.decode("Sweep", given)
        row = sweeps.find(self._context.db, given) if number is None else None
        found = number if number is not None else row["id"] if row is not None else None
        if found is None or sweeps.by_id(self._context.db, found) is None:
            raise RefusedError(f"There is no sweep {str(given)[:100]!r}.")
        return int(found)


def _number(kind: str, text: object) -> int | None:
    """Return the number of an id, None without one."""
    return None if text is None else _known(kind, text)


def _known(kind: str, text: object) -> int:
    number = ids.decode(kind, text)
    if number is None:
        raise RefusedError(f"{str(text)[:100]!r} is no id of a {kind.lower()}.")
    return number
