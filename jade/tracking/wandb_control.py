"""Edge: what W&B's server is told of a sweep by those who run it: made, gone on with, trials given back.

Speaks the protocol itself, with the credentials of the client: the client's own functions for it are private,
print, and change the environment of their process. `wandb_sweeps` reads.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import wandb
import yaml

from jade.errors import ConfigError, TrackingError, first_line

TIMEOUT_SECONDS = 60.0
_MAKE = """mutation UpsertSweep($id: ID, $config: String, $state: String, $entityName: String,
  $projectName: String) {
  upsertSweep(input: {id: $id, config: $config, state: $state, entityName: $entityName,
    projectName: $projectName}) {
    sweep { id name project { name entity { name } } }
  }
}"""
_FIND = """query Sweep($entity: String, $project: String, $name: String!) {
  project(name: $project, entityName: $entity) { sweep(sweepName: $name) { id state config } }
}"""
_AIM = """query SweepConfig($entity: String, $project: String, $name: String!) {
  project(name: $project, entityName: $entity) { sweep(sweepName: $name) { config } }
}"""
_BEGIN = """mutation UpsertBucket($name: String!, $entity: String, $project: String, $sweep: String) {
  upsertBucket(input: {name: $name, entityName: $entity, modelName: $project, sweep: $sweep}) {
    bucket { id }
  }
}"""


class SweepControl:
    """The sweeps of one server.

    Args:
        environ: names the server, the key, the entity and the project.
        seconds: that an answer may take.

    Raises:
        TrackingError: if there are no credentials.
    """

    def __init__(self, environ: Mapping[str, str], seconds: float = TIMEOUT_SECONDS) -> None:
        self._seconds = seconds
        address, key = environ.get("WANDB_BASE_URL"), environ.get("WANDB_API_KEY")
        if not address or not key:
            try:
                api = wandb.Api()
                address, key = address or api.settings["base_url"], key or api.api_key
            except (wandb.errors.Error, ValueError) as error:
                raise TrackingError(
                    f"W&B takes no credentials: {first_line(error)}",
                    hint="`wandb login`; --local runs the sweep on this machine, without an account.",
                ) from error
        self.url = str(address).rstrip("/")
        self._entity = environ.get("WANDB_ENTITY") or environ.get("WANDB_USER") or None
        self._authorization = "Basic " + base64.b64encode(f"api:{key}".encode()).decode()

    def make(self, content: Mapping[str, Any], project: str) -> str:
        """Make a sweep, and return it as entity/project/sweep.

        Args:
            content: of the sweep's file.
            project: that it belongs to, where the file names none.

        Raises:
            ConfigError: if the server refuses the sweep.
            TrackingError: if the server does not answer.
        """
        owner = {
            "entityName": content.get("entity") or self._entity,
            "projectName": content.get("project") or project,
        }
        made = self._ask(_MAKE, config=_text(content), **owner)["upsertSweep"]["sweep"]
        belongs = made["project"]
        return f"{belongs['entity']['name']}/{belongs['name']}/{made['name']}"

    def state(self, path: str) -> str | None:
        """Return the state of a sweep in small letters; None if there is no such sweep."""
        found = self._find(path)
        return str(found["state"]).lower() if found else None

    def metric(self, path: str) -> dict[str, str] | None:
        """Return the name and the goal of what a sweep looks at; None if it says of no metric.

        Raises:
            TrackingError: if the server does not answer, or has no such sweep.
        """
        entity, project, name = path.split("/")
        found = self._ask(_AIM, entity=entity, project=project, name=name).get("project")
        if not (found and found.get("sweep")):
            raise TrackingError(f"There is no sweep {path}.", where=self.url)
        known = yaml.safe_load(found["sweep"]["config"])
        metric = known.get("metric") if isinstance(known, dict) else None
        if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
            return None
        return {"name": metric["name"], "goal": str(metric.get("goal") or "minimize")}

    def go_on(self, path: str, content: Mapping[str, Any]) -> None:
        """Let a sweep that has ended, or was paused, hand out trials again, as a file describes it now."""
        found = self._find(path)
        if found is None:
            raise TrackingError(f"There is no sweep {path}.", where=self.url)
        entity, project, _ = path.split("/")
        changed = {} if _is_same(found["config"], content) else {"config": _text(content)}
        if changed or str(found["state"]).upper() not in ("RUNNING", "PENDING"):
            self._ask(
                _MAKE,
                id=found["id"],
                state="RUNNING",
                entityName=entity,
                projectName=project,
                **changed,
            )

    def give_back(self, path: str, run: str, is_known: bool) -> None:
        """Say of a trial whose process is gone that it was preempted: it is handed out again, as it is.

        Args:
            path: of the sweep.
            run: id of the trial's run.
            is_known: whether the server has heard of the run.
        """
        entity, project, sweep = path.split("/")
        if not is_known:
            self._ask(_BEGIN, name=run, entity=entity, project=project, sweep=sweep)
        address = f"/files/{quote(entity)}/{quote(project)}/{quote(run)}/file_stream"
        self._post(address, {"preempting": True})
        self._post(address, {"preempting": True, "complete": True, "exitcode": 1})

    def _find(self, path: str) -> Mapping[str, Any] | None:
        entity, project, name = path.split("/")
        found = self._ask(_FIND, entity=entity, project=project, name=name)["project"]
        sweep: Mapping[str, Any] | None = found["sweep"] if found else None
        return sweep

    def _ask(self, query: str, **variables: object) -> Mapping[str, Any]:
        reply = self._post("/graphql", {"query": query, "variables": variables})
        if reply.get("errors"):
            said = "\n".join(str(error.get("message")) for error in reply["errors"])
            raise ConfigError(f"The server refuses the sweep: {said}", where=self.url)
        data: Mapping[str, Any] = reply["data"]
        return data

    def _post(self, address: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        request = urllib.request.Request(
            self.url + address,
            json.dumps(content).encode(),
            {"Authorization": self._authorization, "Content-Type": "application/json"},
        )
        try:
            with _opener(self.url).open(request, timeout=self._seconds) as answer:
                reply: Mapping[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()[:500]
            raise TrackingError(f"{self.url} answers {error.code}: {said or error.reason}") from error
        except (OSError, ValueError) as error:
            raise TrackingError(f"{self.url} does not answer: {error}") from error
        return reply


def _text(content: Mapping[str, Any]) -> str:
    """Return a sweep's file as W&B takes it: YAML, which JSON is as well."""
    return json.dumps(content, default=str)


def _is_same(text: str, content: Mapping[str, Any]) -> bool:
    return bool(yaml.safe_load(text) == yaml.safe_load(_text(content)))


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Return what opens an address: without the proxy that the environment may name, on this machine."""
    if urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1"):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()
