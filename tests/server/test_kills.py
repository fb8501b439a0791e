"""The server killed while clients post: what it has acknowledged is there when it runs again."""

import http.client
import itertools
import json
import threading
from contextlib import closing

import pytest

from tests.server.doors import authorization

CLIENTS = 4
ROWS = 25  # acknowledged to each client before the server is killed once more
HISTORY = "wandb-history.jsonl"


def post(server, path, body):
    host = server.url.removeprefix("http://")
    with closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request("POST", path, json.dumps(body), authorization())
        reply = connection.getresponse()
        assert reply.status == 200
        return json.loads(reply.read())


def graphql(server, query):
    return post(server, "/graphql", {"query": query})


class Poster(threading.Thread):
    """A client that posts one row after the other, and repeats one until it is acknowledged."""

    def __init__(self, server, run):
        super().__init__()
        self._server, self._run = server, run
        self._progress = threading.Condition()
        self._is_over = threading.Event()
        self.acknowledged = []

    def run(self):
        for number in itertools.count():
            while not self._post(number):
                if self._is_over.wait(0.02):
                    return
            with self._progress:
                self.acknowledged.append(number)
                self._progress.notify_all()

    def _post(self, number):
        row = json.dumps({"_step": number, "loss": 1 / (number + 1)})
        body = {"files": {HISTORY: {"offset": number, "content": [row]}}}
        try:
            return (
                post(self._server, f"/files/e/p/{self._run}/file_stream", body) == {}
                and not self._is_over.is_set()
            )
        except (OSError, http.client.HTTPException):
            return False

    def wait_for(self, count):
        with self._progress:
            assert self._progress.wait_for(lambda: len(self.acknowledged) >= count, timeout=120)

    def end(self):
        self._is_over.set()
        self.join()


@pytest.mark.parametrize("kills", [3])
def test_every_row_that_was_acknowledged_is_there_after_the_server_was_killed(own_server, kills):
    server = own_server()
    names = [f"r{number}" for number in range(CLIENTS)]
    for name in names:
        graphql(
            server,
            f'mutation {{ upsertBucket(input: {{entityName: "e", modelName: "p", name: "{name}", host: "h"}}) {{ inserted }} }}',
        )
    posters = [Poster(server, name) for name in names]
    for poster in posters:
        poster.start()

    for number in range(kills):
        for poster in posters:
            poster.wait_for((number + 1) * ROWS)
        server.kill()
        server.start()
    for poster in posters:
        poster.wait_for((kills + 1) * ROWS)
        poster.end()

    for name, poster in zip(names, posters, strict=True):
        reply = graphql(
            server,
            f'{{ project(name: "p", entityName: "e") {{ run(name: "{name}") {{ history historyLineCount }} }} }}',
        )
        steps = [json.loads(line)["_step"] for line in reply["data"]["project"]["run"]["history"]]
        assert steps == list(range(len(steps)))
        assert set(poster.acknowledged) <= set(steps)
        assert len(poster.acknowledged) >= (kills + 1) * ROWS
    assert "Traceback" not in server.log
