"""How the server does under load, and with many runs: `python benchmarks/server.py [RUNS ROWS]...`.

Runs are begun, logged and ended by what the client itself sends, as trials of sweeps of 1,000 each; their rows come
in posts of 500.
"""

import base64
import http.client
import json
import math
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
import results  # beside this file

from tests.server.conftest import KEY, Client, Server

SIZES = [(1_000, 1_000), (10_000, 100)]
LIVE_RUNS = 8
ROWS_PER_SECOND = 50
ROWS_PER_POST = 10
SECONDS = 20.0
REPEATS = 5
BATCH = 500
TRIALS = 1_000
HEADERS = {"Authorization": "Basic " + base64.b64encode(f"api:{KEY}".encode()).decode()}
BEGIN = "mutation B($i: UpsertBucketInput!) { upsertBucket(input: $i) { bucket { id } } }"
SWEEP = "mutation S($i: UpsertSweepInput!) { upsertSweep(input: $i) { sweep { name } } }"
AGENT = "mutation A($i: CreateAgentInput!) { createAgent(input: $i) { agent { id } } }"
BEAT = "mutation H($i: AgentHeartbeatInput!) { agentHeartbeat(input: $i) { commands } }"
# As the client of W&B asks for a page of runs.
RUNS = """query Runs($entity: String!, $project: String!, $perPage: Int) {
  project(name: $project, entityName: $entity) { runCount runs(first: $perPage) {
    edges { node { id tags name displayName sweepName state config group jobType createdAt heartbeatAt summaryMetrics
      historyLineCount user { name username } } cursor }
    pageInfo { endCursor hasNextPage } } } }"""
API = """
import time
import wandb
began = time.perf_counter()
count = len(list(wandb.Api(timeout=600).runs("local/project", per_page={page})))
print("found", count, time.perf_counter() - began)
"""


CONFIG = {
    "program": "train.py",
    "method": "random",
    "metric": {"name": "metric0", "goal": "minimize"},
    "parameters": {
        "lr": {"min": 0.0, "max": 1.0},
        "layers": {"values": [1, 2, 3]},
        "seed": {"values": [0, 1]},
    },
}


class Connection:
    """One client that keeps its connection."""

    def __init__(self, url):
        self._http = http.client.HTTPConnection(url.partition("//")[2], timeout=600)

    def ask(self, method, path, body=None):
        self._http.request(method, path, body and json.dumps(body), HEADERS)
        reply = self._http.getresponse()
        data = reply.read()
        assert reply.status == 200, (path, reply.status, data[:500])
        return data

    def graphql(self, text, **variables):
        reply = json.loads(self.ask("POST", "/graphql", {"query": text, "variables": variables}))
        assert "errors" not in reply, reply["errors"]
        return reply["data"]

    def begin(self, run, sweep=None, config=None):
        given = {"entityName": "local", "modelName": "project", "name": run, "host": "h", "sweep": sweep}
        self.graphql(BEGIN, i=given | {"config": json.dumps(config or {})})

    def post(self, run, first, rows, **more):
        lines = [json.dumps(row(number)) for number in range(first, first + rows)]
        files = {
            "wandb-history.jsonl": {"offset": first, "content": lines},
            "wandb-summary.json": {"offset": 0, "content": [json.dumps(row(first + rows - 1))]},
        }
        self.ask("POST", f"/files/local/project/{run}/file_stream", {"files": files, **more})


def row(number):
    values = {f"metric{key}": math.exp(-number / 100) + key for key in range(5)}
    return {
        "_step": number,
        "_timestamp": 1.7e9 + number,
        "_runtime": number,
        "iterations": number * 10,
    } | values


def main():
    given = [int(word) for word in sys.argv[1:]]
    sizes = list(zip(given[::2], given[1::2], strict=True)) or SIZES
    columns = [measured(runs, rows) for runs, rows in sizes]
    names = [f"{runs:,} runs × {rows:,} rows" for runs, rows in sizes]
    text = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(sizes)]
    text += [f"| {what} | {' | '.join(column[what] for column in columns)} |" for what in columns[0]]
    how = (
        f"A server of its own for each size, filled through its doors, {TRIALS:,} runs a sweep. A post has {ROWS_PER_POST} rows of 6 metrics"
        f" and the summary; clients keep their connections and share the machine with the server."
    )
    results.write("The server", how, text)


def measured(runs, rows):
    """Fill a server; give what was measured, as text."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "server", "--log", "errors")
        try:
            found = {"the disk alone: fsync of 32 KiB, ms: p50, p99, most": disk(Path(folder))}
            found["posts when it is empty, ms: p50, p99, most"] = posts(server)
            found["requests a second, 8 clients at once"] = f"{busy(server):,.0f}"
            began = time.monotonic()
            sweep = fill(Connection(server.url), runs, rows)
            found["filled in, s"] = f"{time.monotonic() - began:.0f}"
            found["memory then, MiB"] = memory(server, "VmRSS")
            found["posts then, ms: p50, p99, most"] = posts(server)
            found |= answers(server, runs, sweep, Path(folder))
            found["memory at the end, MiB: now, most"] = (
                f"{memory(server, 'VmRSS')}, {memory(server, 'VmHWM')}"
            )
            size = (Path(folder) / "server" / "data" / "server.sqlite").stat().st_size
            found["the database, MiB"] = f"{size >> 20:,}"
        finally:
            server.stop()
    return found


def answers(server, runs, sweep, folder):
    """Time what reads many runs."""
    connection = Connection(server.url)
    page = f"/local/project/sweeps/{sweep}"
    query = {"entity": "local", "project": "project", "perPage": 1000}
    found = {
        "query of 1,000 runs, s": seconds(lambda: connection.graphql(RUNS, **query)),
        "page of projects, s": seconds(lambda: connection.ask("GET", "/")),
        "page of the project, s": seconds(lambda: connection.ask("GET", "/local/project")),
        "page of the sweep, s": seconds(lambda: connection.ask("GET", page)),
        "page of a run, s": seconds(lambda: connection.ask("GET", "/local/project/runs/load0")),
        "its trials as JSON, s": seconds(lambda: connection.ask("GET", f"{page}/trials.json")),
        "its curves of one metric as JSON, s": seconds(
            lambda: connection.ask("GET", f"{page}/curves.json?metric=metric0")
        ),
    }
    client = Client(server, folder / "client", "project")
    for size in (50, 1000):
        text = client.python(API.format(page=size))
        _, count, took = text.split()
        assert int(count) >= runs
        found[f"`wandb.Api().runs()` of all, {size} a page, s"] = f"{float(took):.2f}"
    client.close()
    return found


def fill(connection, runs, rows):
    """Log runs, one after the other, as trials of sweeps; give the name of the last sweep."""
    for begun in range(0, runs, TRIALS):
        given = {"projectName": "project", "entityName": "local", "config": json.dumps(CONFIG)}
        sweep = connection.graphql(SWEEP, i=given)["upsertSweep"]["sweep"]["name"]
        given = {"sweep": sweep, "host": "h", "projectName": "project"}
        agent = connection.graphql(AGENT, i=given)["createAgent"]["agent"]["id"]
        for _ in range(min(TRIALS, runs - begun)):
            trial(connection, sweep, agent, rows)
    return sweep


def trial(connection, sweep, agent, rows):
    """Ask for a trial, as an agent does, and log its run to the end."""
    beat = connection.graphql(BEAT, i={"id": agent, "metrics": "{}", "runState": "{}"})
    command = json.loads(beat["agentHeartbeat"]["commands"])[0]
    connection.begin(command["run_id"], sweep, command["args"])
    for first in range(0, rows, BATCH):
        connection.post(command["run_id"], first, min(BATCH, rows - first))
    path = f"/files/local/project/{command['run_id']}/file_stream"
    connection.ask("POST", path, {"complete": True, "exitcode": 0})


def posts(server):
    """Let runs log as many rows a second as they are meant to; give what their posts took."""
    pause = ROWS_PER_POST / ROWS_PER_SECOND
    return spread(live(server, math.ceil(SECONDS / pause), pause))


def disk(folder):
    """Give what it takes until something is on disk, without a server."""
    took = []
    with (folder / "written").open("wb") as file:
        for _ in range(400):
            file.write(bytes(32 << 10))
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return spread(took)


def spread(took):
    cuts = statistics.quantiles(took, n=100)
    return ", ".join(f"{1000 * value:.1f}" for value in (cuts[49], cuts[98], max(took)))


def busy(server):
    """Let runs post without a pause; give how many posts are answered in a second."""
    began = time.monotonic()
    took = live(server, 500, 0.0)
    return len(took) / (time.monotonic() - began)


def live(server, count, pause):
    """Let runs log at the same time, each in a thread of its own; give the seconds that each post took."""
    took = []

    def log(number):
        connection, run = Connection(server.url), f"load{number}"
        connection.begin(run)
        due = time.monotonic() + pause * number / LIVE_RUNS
        for post in range(count):
            time.sleep(max(0.0, due - time.monotonic()))
            due += pause
            began = time.perf_counter()
            connection.post(run, post * ROWS_PER_POST, ROWS_PER_POST)
            took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=log, args=(number,)) for number in range(LIVE_RUNS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def seconds(ask):
    """Give what asking takes: the first time, and the median of the next ones."""
    took = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        ask()
        took.append(time.perf_counter() - began)
    return f"{took[0]:.2f}, then {statistics.median(took[1:]):.2f}"


def memory(server, kind):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(kind))
    return f"{int(line.split()[1]) >> 10}"


if __name__ == "__main__":
    main()
