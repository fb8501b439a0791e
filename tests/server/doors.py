"""The server's doors in a thread of the test, on a free port, and requests to them, well-formed or not."""

import base64
import http.client
import json
import socket
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass

import uvicorn

from jade.server import connections
from jade.server.http import app
from jade.server.log import Requests
from jade.server.serve import Settings, bound_to, parts_of

KEY = "k" * 40


def authorization(key=KEY):
    return {"Authorization": "Basic " + base64.b64encode(f"api:{key}".encode()).decode()}


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def data(self):
        return json.loads(self.body)["data"]

    @property
    def errors(self):
        return [error["message"] for error in json.loads(self.body).get("errors", [])]


class Doors:
    """Where a client knocks."""

    def __init__(self, parts, port):
        self.parts, self.port = parts, port

    def ask(self, method, path, body=b"", headers=None, **options):
        """Send one request on a connection of its own."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(
                method,
                path,
                body,
                {**authorization(), **(headers or {})},
                encode_chunked="chunked" in options,
            )
            reply = connection.getresponse()
            return Reply(reply.status, reply.read(), dict(reply.headers))

    def send(self, data):
        """Send bytes as they are, and give all that comes back until the server closes the connection."""
        with closing(socket.create_connection(("127.0.0.1", self.port), timeout=60)) as connection:
            received = []
            with suppress(ConnectionError):  # what is much too long is not read to its end
                connection.sendall(data)
                with suppress(OSError):  # closed already
                    connection.shutdown(socket.SHUT_WR)
                received.extend(iter(lambda: connection.recv(1 << 16), b""))
            return b"".join(received)

    def graphql(self, text, /, **variables):
        return self.ask("POST", "/graphql", json.dumps({"query": text, "variables": variables}))

    def begin(self, run, project="p", **fields):
        """Begin a run, and give its id."""
        reply = self.graphql(
            "mutation Begin($input: UpsertBucketInput!) { upsertBucket(input: $input) { bucket { id } } }",
            input={"entityName": "e", "modelName": project, "name": run, "host": "h", **fields},
        )
        assert reply.errors == []
        return reply.data["upsertBucket"]["bucket"]["id"]

    def stream(self, run, body, project="p", **headers):
        data = body if isinstance(body, bytes) else json.dumps(body)
        return self.ask("POST", f"/files/e/{project}/{run}/file_stream", data, headers)

    def rows(self, run, project="p"):
        """Give the rows of a run, as they were streamed."""
        reply = self.graphql(
            "query Rows($project: String, $run: String) {"
            ' project(name: $project, entityName: "e") { run(name: $run) { history } } }',
            project=project,
            run=run,
        )
        assert reply.errors == []
        return reply.data["project"]["run"]["history"]


class _Announced(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        self.is_open = threading.Event()

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.is_open.set()


@contextmanager
def opened(folder, api_key=None, limits=None, bounds=None):
    """Open the doors of a server whose data is in a folder."""
    settings = Settings(data=folder, port=0, api_key=api_key)
    with closing(bound_to(settings)) as bound:
        parts = parts_of(settings)
        server = _Announced(connections.config(Requests(app(parts, api_key, limits)), bounds))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            assert server.is_open.wait(20)
            yield Doors(parts, bound.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()
            parts.store.close()
