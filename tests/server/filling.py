"""An agent and its trials in a few lines: a sweep is made and filled by the client's own requests, quickly."""

import http.client
import json
import math
import random
from urllib.parse import quote

import yaml

from tests.server.doors import authorization

SWEEP = """mutation ($config: String!, $entity: String!, $project: String!) {
  upsertSweep(input: {config: $config, entityName: $entity, projectName: $project}) { sweep { id name } } }"""
AGENT = 'mutation ($sweep: String!) { createAgent(input: {host: "h", sweep: $sweep}) { agent { id } } }'
BEAT = """mutation ($id: ID!, $runs: JSONString) {
  agentHeartbeat(input: {id: $id, metrics: "{}", runState: $runs}) { agent { id } commands } }"""
RUN = "mutation ($input: UpsertBucketInput!) { upsertBucket(input: $input) { bucket { id name } } }"
CONFIG = {
    "method": "random",
    "program": "train.py",
    "name": "digits, first look",
    "metric": {"name": "val.loss", "goal": "minimize"},
    "parameters": {
        "model.params.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "model.params.beta": {"min": 0.0, "max": 1.0},
        "model.params.width": {"values": [32, 64, 128, 256]},
        "model.params.activation": {"values": ["relu", "tanh", "gelu"]},
        "data.train.augment": {"values": [True, False]},
        "epochs": {"value": 30},
    },
}


FIND = """query ($entity: String!, $project: String!, $run: String!) {
  project(name: $project, entityName: $entity) { run(name: $run) { id } } }"""
DELETE = "mutation ($id: ID!) { deleteRun(input: {id: $id}) { clientMutationId } }"


class Filler:
    """Makes sweeps and runs on a server, over one connection."""

    def __init__(self, port, entity="local", project="digits"):
        self.entity, self.project = entity, project
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._lines = {}

    def close(self):
        self._connection.close()

    def _post(self, path, body):
        self._connection.request(
            "POST", path, json.dumps(body), {**authorization(), "Content-Type": "application/json"}
        )
        reply = self._connection.getresponse()
        body = json.loads(reply.read())
        assert reply.status == 200, body
        assert not body.get("errors"), body
        return body.get("data")

    def _graphql(self, query, **variables):
        return self._post("/graphql", {"query": query, "variables": variables})

    def sweep(self, config=CONFIG):
        """Make a sweep, with an agent of its own; give its name."""
        made = self._graphql(
            SWEEP, config=yaml.safe_dump(config, sort_keys=False), entity=self.entity, project=self.project
        )["upsertSweep"]["sweep"]
        self.name = made["name"]
        self._agent = self._graphql(AGENT, sweep=made["name"])["createAgent"]["agent"]["id"]
        return made["name"]

    def trial(self):
        """Let the agent be given a trial, and begin its run; give the run's name and its params."""
        commands = json.loads(self._graphql(BEAT, id=self._agent, runs="{}")["agentHeartbeat"]["commands"])
        run = commands[0]["run_id"]
        params = {name: value["value"] for name, value in commands[0]["args"].items()}
        self.begin(run, params, sweep=self.name)
        return run, params

    def nothing_left(self):
        """Let the agent ask for a trial where there is none any more."""
        self._graphql(BEAT, id=self._agent, runs="{}")

    def begin(self, run, config=None, **more):
        """Begin a run."""
        given = {
            "entityName": self.entity, "modelName": self.project, "name": run, "host": "h",
            "config": json.dumps({name: {"value": value} for name, value in (config or {}).items()}),
            **more,
        }  # fmt: skip
        self._graphql(RUN, input=given)

    def delete(self, run):
        """Delete a run."""
        found = self._graphql(FIND, entity=self.entity, project=self.project, run=run)
        self._graphql(DELETE, id=found["project"]["run"]["id"])

    def log(self, run, rows, **more):
        """Log rows of a run, after those that it has; its summary is the last values."""
        first = self._lines.get(run, 0)
        self._lines[run] = first + len(rows)
        rows = [
            {"_step": first + number, "_runtime": 2.5 * (first + number), **row}
            for number, row in enumerate(rows)
        ]
        summary = {name: value for row in rows for name, value in row.items()}
        files = {
            "wandb-history.jsonl": {"offset": first, "content": [json.dumps(row) for row in rows]},
            "wandb-summary.json": {"offset": 0, "content": [json.dumps(summary)]},
        }
        self._stream(run, files=files if rows else {}, **more)

    def end(self, run, code=0):
        """End a run."""
        self._stream(run, complete=True, exitcode=code)

    def _stream(self, run, **body):
        place = "/".join(quote(part, safe="") for part in (self.entity, self.project, run))
        self._post(f"/files/{place}/file_stream", body)

    def fill(self, trials, rows=30, seed=0):
        """Run trials whose loss depends on their params; one in ten fails. Give the runs' names."""
        chance = random.Random(seed)
        names = []
        for number in range(trials):
            run, params = self.trial()
            code = 1 if number % 10 == 7 else 0
            self.log(run, list(made_up(params, rows, chance)), complete=True, exitcode=code)
            names.append(run)
        return names


def made_up(params, rows, chance):
    """Give rows like those of a training run: what is best is lr 0.01, beta 0.3 and a wide model."""
    lr, beta = params["model.params.lr"], params["model.params.beta"]
    bottom = 0.05 + 0.3 * abs(math.log10(lr / 0.01)) + 0.4 * (beta - 0.3) ** 2
    bottom += 2.0 / params["model.params.width"] + (
        0.05 if params["model.params.activation"] == "tanh" else 0
    )
    for row in range(rows):
        done = row / max(1, rows - 1)
        loss = bottom + 2.0 * math.exp(-6 * done * math.sqrt(lr / 1e-2)) + chance.gauss(0, 0.01)
        yield {
            "iterations": 100 * row, "epochs": row, "val.loss": loss,
            "val.accuracy": max(0.0, 1 - loss / 3), "train.loss": loss * 0.9,
        }  # fmt: skip
