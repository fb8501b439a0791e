"""A stand-in for the server of W&B on 127.0.0.1: the real client logs, resumes and reads runs, with no account.

It speaks the protocol of wandb 0.31 as far as runs need it; of sweeps it knows their text, of artifacts nothing. Replies
hold every field of an object, asked for or not: the client does not mind.
"""

import base64
import gzip
import hashlib
import json
import math
import os
import re
import tempfile
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote

ENTITY = "tester"
PROJECT = "loopback"
TIME = "2026-01-01T00:00:00"
HISTORY = "wandb-history.jsonl"
EVENTS = "wandb-events.jsonl"
SUMMARY = "wandb-summary.json"
LOG = "output.log"
OWN_VARIABLES = ("DEVICE", "EXPERIMENTS_ROOT", "DATA_ROOT", "NUM_WORKERS")
# What W&B gives as text, for JSON knows no such numbers.
NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


class Run:
    """What the server holds of one run."""

    def __init__(self, entity, project, run_id):
        self.entity, self.project, self.id = entity, project, run_id
        self.starts = 0
        self.resuming = False  # whether a client has asked what there is to resume
        self.wipe()
        self.start()

    def wipe(self):
        """Forget everything: so it goes if an id is used again and the run is not resumed."""
        self.name = self.id
        self.sweep = None
        self.raw_config = {}
        self.summary = {}
        self.files = {}
        self.streams = {HISTORY: {}, EVENTS: {}, LOG: {}}  # by file: by the line's number: the line

    def start(self):
        """Note that a process begins: how the one before it ended counts no more."""
        self.preempting = self.complete = self.stopped = self.resuming = False
        self.exit_code = None

    @property
    def config(self):
        """The config as the client's code sees it."""
        return {name: item["value"] for name, item in self.raw_config.items() if name != "_wandb"}

    @property
    def history(self):
        """The logged rows in their order."""
        return [json.loads(line) for line in self.lines(HISTORY)]

    @property
    def log(self):
        """What the client printed, line by line."""
        return self.lines(LOG)

    @property
    def state(self):
        """As W&B shows it."""
        if self.complete:
            return "finished" if self.exit_code == 0 else "preempted" if self.preempting else "failed"
        return "preempting" if self.preempting else "running"

    def lines(self, file):
        return [line for _, line in sorted(self.streams[file].items())]

    def receive(self, body):
        """Take one request of the file stream; that it may come twice does no harm."""
        for file, block in body.get("files", {}).items():
            if file == SUMMARY:
                self.summary = json.loads(block["content"][-1])
            else:
                lines = self.streams.setdefault(file, {})
                lines.update(enumerate(block["content"], block["offset"]))
        self.preempting |= body.get("preempting", False)
        if body.get("complete"):
            self.complete, self.exit_code = True, body["exitcode"]


class Loopback:
    """The server, to be used in a `with` statement."""

    def __init__(self):
        self.runs = {}
        self.unknown = []  # operations that nothing here answers
        self.sweep = "method: random"  # what it says of any sweep: YAML
        self._lock = threading.Lock()
        self._operations = {
            "Viewer": lambda variables: {"viewer": _viewer()},
            "GetViewer": lambda variables: {"viewer": _viewer()},
            "OrganizationCoreWeaveOrganizationID": lambda variables: {"entity": {"organization": None}},
            "ServerFeaturesQuery": lambda variables: {"serverInfo": {"features": []}},
            "UpsertBucket": self._upsert,
            "CreateRunFiles": self._create_files,
            "RunResumeStatus": self._resume_status,
            "SweepConfig": lambda variables: {"project": {"sweep": {"config": self.sweep}}},
        } | dict.fromkeys(
            (
                "HistoryPage",
                "Run",
                "RunFiles",
                "RunFullHistory",
                "RunHistoryKeys",
                "RunParquetHistory",
                "RunSampledHistory",
                "SampledHistoryPage",
            ),
            self._read,
        )

    def __enter__(self):
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.loopback = self
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._home.cleanup()

    def environ(self, **more):
        """The environment of a client: of this process, without what its user set for W&B or for JADE."""
        home = Path(self._home.name)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("WANDB_", "JADE_")) and name not in OWN_VARIABLES
        }
        own = {
            "HOME": home,
            "NETRC": home / ".netrc",
            "WANDB_API_KEY": "0" * 40,  # the client refuses a shorter one
            "WANDB_BASE_URL": self.url,
            "WANDB_CACHE_DIR": home / "cache",
            "WANDB_CONFIG_DIR": home / "config",
            "WANDB_DATA_DIR": home / "data",
            "WANDB_ENTITY": ENTITY,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_MODE": "online",
            "WANDB_PROJECT": PROJECT,
            "WANDB_SILENT": "true",
            "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
        }
        return kept | {name: str(value) for name, value in (own | more).items()}

    def stop(self, run_id):
        """Ask the run's process to stop, as the button on W&B does; it hears of it when it next sends."""
        self.runs[run_id].stopped = True

    def graphql(self, request):
        """Answer an operation; the client retries on anything but status 200."""
        name = request.get("operationName") or re.search(r"(?:query|mutation)\s+(\w+)", request["query"])[1]
        operation = self._operations.get(name)
        with self._lock:
            if operation is None:
                self.unknown.append(name)
                return {"data": None, "errors": [{"message": f"loopback: unknown operation {name}"}]}
            return {"data": operation(request.get("variables") or {})}

    def file_stream(self, run_id, body):
        with self._lock:
            run = self.runs[run_id]
            run.receive(body)
            return {"stopped": True} if run.stopped else {}

    def _find(self, entity, project, run_id):
        run = self.runs.get(run_id)
        return run if run and (run.entity, run.project) == (entity or ENTITY, project) else None

    def _upsert(self, variables):
        """Start a run, or change what is known of it: name and tags come just as a resumed start does."""
        run_id = variables.get("name") or variables["id"]
        inserted = run_id not in self.runs
        if inserted:
            self.runs[run_id] = Run(variables["entity"] or ENTITY, variables["project"], run_id)
        run = self.runs[run_id]
        fresh = variables.get("host") and variables["id"] is None
        if fresh:
            run.wipe()
        if fresh or run.resuming:
            run.starts += 1
            run.start()
        run.name = variables.get("displayName") or run.name
        run.sweep = variables.get("sweep") or run.sweep
        if variables.get("config"):
            run.raw_config = json.loads(variables["config"])
        if variables.get("summaryMetrics"):
            run.summary = json.loads(variables["summaryMetrics"])
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": inserted}}

    def _create_files(self, variables):
        files = [
            {"name": name, "uploadUrl": self._file_url(variables["run"], name)} for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}

    def _resume_status(self, variables):
        entity, project = variables["entity"], variables["project"]
        run = self._find(entity, project, variables["name"])
        if run:
            run.resuming = True
        return {"model": _project(entity, project) | {"bucket": run and self._bucket(run)}}

    def _read(self, variables):
        """Answer whatever `wandb.Api()` asks of a run."""
        run_id = variables.get("name") or variables.get("run") or variables.get("runName")
        run = self._find(variables["entity"], variables["project"], run_id)
        return {"project": {"internalId": "1", "run": run and self._bucket(run) | self._data(run, variables)}}

    def _bucket(self, run):
        telemetry = run.raw_config.get("_wandb", {}).get("value", {}).get("t")
        history, events = run.lines(HISTORY), run.lines(EVENTS)
        return {
            "commit": None,
            "config": _text(run.raw_config),
            "createdAt": TIME,
            "description": "",
            "displayName": run.name,
            "eventsLineCount": len(events),
            "eventsTail": _text(events[-1:]),
            "group": None,
            "heartbeatAt": TIME,
            "historyLineCount": len(history),
            "historyTail": _text(history[-1:]),
            "id": run.id,
            "jobType": None,
            "logLineCount": len(run.log),
            "name": run.id,
            "notes": None,
            "project": _project(run.entity, run.project),
            "projectId": "1",
            "readOnly": False,
            "state": run.state,
            "summaryMetrics": _text(run.summary),
            "sweepName": run.sweep,
            "systemMetrics": "{}",
            "tags": [],
            "user": {"name": ENTITY, "username": ENTITY},
            "wandbConfig": _text({} if telemetry is None else {"t": telemetry}),
        }

    def _data(self, run, variables):
        rows = run.history
        specs = variables.get("specs") or [variables.get("spec", "{}")]
        files = [self._file(run, name) for name in _chosen(run.files, variables)]
        return {
            "events": run.lines(EVENTS),
            "fileCount": len(run.files),
            "files": {
                "edges": [{"node": file, "cursor": file["id"]} for file in files],
                "pageInfo": {"endCursor": None, "hasNextPage": False},
            },
            "history": [_text(row) for row in _page(rows, variables)],
            "historyKeys": {
                "keys": {key: {} for row in rows for key in row},
                "lastStep": rows[-1]["_step"] if rows else -1,
            },
            "parquetHistory": {"parquetUrls": [], "liveData": [{"_step": row["_step"]} for row in rows]},
            "sampledHistory": [_picked(rows, json.loads(spec)) for spec in specs],
        }

    def _file(self, run, name):
        """A file as it is listed; one that is asked for by name and is not there has the sum "0"."""
        data = run.files.get(name)
        url = self._file_url(run.id, name)
        return {
            "directUrl": url,
            "id": f"{run.id}/{name}",
            "md5": "0" if data is None else base64.b64encode(hashlib.md5(data).digest()).decode(),
            "mimetype": "application/octet-stream",
            "name": name,
            "sizeBytes": len(data or b""),
            "updatedAt": TIME,
            "url": url,
        }

    def _file_url(self, run_id, name):
        return f"{self.url}/storage/{quote(run_id, safe='')}/{quote(name)}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self._handle(self._post)

    def do_PUT(self):
        self._handle(self._put)

    def do_GET(self):
        self._handle(self._get)

    def log_message(self, *_):
        pass

    def _handle(self, method):
        """Answer with status 400 what fails here: the client would repeat a request without an answer for long."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status, data = method(self.server.loopback, body)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            status, data = 400, b"loopback: see the traceback"
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _post(self, loopback, body):
        if self.path == "/graphql":
            return 200, _text(loopback.graphql(json.loads(body))).encode()
        if match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            return 200, _text(loopback.file_stream(unquote(match[1]), json.loads(body))).encode()
        return 404, b""

    def _put(self, loopback, body):
        run, name = self._place(loopback)
        if run is None:
            return 404, b""
        run.files[name] = body
        return 200, b""

    def _get(self, loopback, body):
        run, name = self._place(loopback)
        if run is None or name not in run.files:
            return 404, b""
        return 200, run.files[name]

    def _place(self, loopback):
        match = re.fullmatch(r"/storage/([^/]+)/(.+)", self.path)
        return (loopback.runs.get(unquote(match[1])), unquote(match[2])) if match else (None, None)


def _viewer():
    return {
        "admin": False,
        "apiKeys": {"edges": []},
        "deletedAt": None,
        "email": "tester@example.com",
        "entity": ENTITY,
        "flags": "{}",
        "id": "viewer",
        "name": ENTITY,
        "teams": {"edges": []},
        "username": ENTITY,
    }


def _project(entity, project):
    entity = entity or ENTITY
    return {"id": project, "name": project, "entity": {"id": entity, "name": entity}}


def _chosen(files, variables):
    """The names of the files that are asked for: some by name, some by a pattern of SQL, or all."""
    if variables.get("fileNames"):
        return variables["fileNames"]
    pattern = re.escape(variables.get("pattern") or "%").replace("%", ".*").replace("_", ".")
    return [name for name in sorted(files) if re.fullmatch(pattern, name)]


def _page(rows, wanted):
    """The rows of some steps, the last of which is left out."""
    low, high = wanted.get("minStep", 0), wanted.get("maxStep", math.inf)
    return _sampled([row for row in rows if low <= row["_step"] < high], wanted)


def _picked(rows, wanted):
    """The rows of some steps, the last of which is in, that hold all of some keys, and of them only these."""
    low, high, keys = wanted.get("minStep", 0), wanted.get("maxStep", math.inf), wanted.get("keys", ())
    rows = [row for row in rows if low <= row["_step"] <= high and all(key in row for key in keys)]
    return [{key: row[key] for key in keys} for row in _sampled(rows, wanted)]


def _sampled(rows, wanted):
    """Leave rows out if there are more than are wanted: who needs them all has to scan them."""
    samples = wanted.get("samples") or len(rows) or 1
    return rows[:: math.ceil(len(rows) / samples) or 1]


def _text(value):
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return NOT_FINITE.get(value, "NaN")
    return value
