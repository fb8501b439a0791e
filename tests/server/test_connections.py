"""Clients that mean harm, or are broken: they get 4xx, cost bounded memory, and are in nobody's way."""

import errno
import json
import random
import select
import socket
import subprocess
import sys
import threading
import time
import zlib
from contextlib import ExitStack, closing, suppress

import pytest

from jade.server import bodies
from jade.server.bodies import Limits
from jade.server.connections import Bounds
from jade.server.tokens import SECONDS, Right, Tokens
from tests.server.conftest import wait_until
from tests.server.doors import authorization, opened
from tests.server.test_http import put_address

SHORT = Limits(patience=1.0, progress=1000, small=1_000, held=50_000, request=100_000, stream=100_000)
KEY = f"Authorization: {authorization()['Authorization']}\r\n"


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    """A server that waits for nobody for long."""
    with opened(tmp_path_factory.mktemp("data"), limits=SHORT, bounds=Bounds(300, 1.0, 0.5)) as found:
        found.begin("honest")
        yield found


@pytest.fixture
def honest(doors):
    """Another client, whose posts are all answered while a test goes on."""
    is_over, statuses, offset = threading.Event(), [], len(doors.rows("honest"))

    def work():
        while not is_over.is_set():
            number = offset + len(statuses)
            lines = {"offset": number, "content": [json.dumps({"_step": number})]}
            statuses.append(doors.stream("honest", {"files": {"wandb-history.jsonl": lines}}).status)

    thread = threading.Thread(target=work)
    thread.start()
    yield statuses
    is_over.set()
    thread.join()
    assert statuses
    assert set(statuses) == {200}
    assert len(doors.rows("honest")) == offset + len(statuses)


def connected(doors, stack):
    return stack.enter_context(closing(socket.create_connection(("127.0.0.1", doors.port), timeout=30)))


def answer(connection):
    """Give all that comes until the server closes the connection."""
    received = []
    connection.settimeout(30)
    with suppress(ConnectionError):
        received.extend(iter(lambda: connection.recv(1 << 16), b""))
    return b"".join(received)


def drip(connection, data):
    """Send byte after byte, until the server has enough of it; give what it says."""
    connection.settimeout(0.05)
    for place in range(len(data)):
        try:
            connection.sendall(data[place : place + 1])
            if received := connection.recv(1 << 16):
                return received + answer(connection)
            break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return b""


def test_a_head_that_drips_is_cut_off(doors, honest):
    with ExitStack() as stack:
        connection = connected(doors, stack)

        said = drip(connection, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 10_000)

    assert said.startswith(b"HTTP/1.1 408 ")


def test_a_second_head_that_drips_is_cut_off(doors, honest):
    with ExitStack() as stack:
        connection = connected(doors, stack)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b"".join(iter(lambda: connection.recv(1), b"}"))
        assert said.startswith(b"HTTP/1.1 200 ")

        assert drip(connection, b"GET /healthz HTTP/1.1\r\nX: " + b"x" * 10_000) == b""
        assert answer(connection) == b""


def test_a_connection_that_says_nothing_is_closed(doors, honest):
    with ExitStack() as stack:
        connections = [connected(doors, stack) for _ in range(30)]

        said = {answer(connection)[:13] for connection in connections}

    assert said == {b"HTTP/1.1 408 "}


@pytest.mark.parametrize("path", ["/graphql", "/files/e/p/honest/file_stream"])
def test_a_body_that_drips_is_cut_off(doors, honest, path):
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n{KEY}\r\n"
    with ExitStack() as stack:
        connection = connected(doors, stack)
        connection.sendall(head.encode())

        said = drip(connection, b"x" * 10_000)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert said.endswith(b"The body comes too slowly.")


def test_a_body_that_stops_is_cut_off_and_leaves_no_part_of_a_file(doors, honest):
    token = doors.parts.tokens.make(Right("put", "files", 1, "model.pt"))
    with ExitStack() as stack:
        connection = connected(doors, stack)
        head = f"PUT /storage/{token}/model.pt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 5_000)

        said = answer(connection)

    assert said.startswith(b"HTTP/1.1 429 ")  # on which the client sends it again
    assert list((doors.parts.store.path.parent / "files").glob("*/*")) == []


def test_a_body_that_is_slow_but_comes_is_taken(doors, honest):
    body = json.dumps({"query": "{ viewer { entity } }", "variables": {"x": "x" * 12_000}}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n{KEY}\r\n"
    began = time.monotonic()
    with ExitStack() as stack:
        connection = connected(doors, stack)
        connection.sendall(head.encode())
        connection.settimeout(0.15)
        for place in range(0, len(body) - 1000, 1000):
            connection.sendall(body[place : place + 1000])
            with pytest.raises(TimeoutError):  # it waits for more
                connection.recv(1)

        connection.settimeout(30)
        connection.sendall(body[place + 1000 :])
        said = connection.recv(1 << 16)

    assert said.startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - began > SHORT.patience


def test_connections_that_say_nothing_keep_nobody_out(tmp_path):
    with opened(tmp_path, bounds=Bounds(50, 60.0)) as doors, ExitStack() as stack:
        doors.begin("r")
        silent = [connected(doors, stack) for _ in range(200)]

        wait_until(lambda: doors.stream("r", {}).status == 200)
        statuses = {doors.stream("r", {}).status for _ in range(20)}

        assert statuses == {200}
        assert answer(silent[0]).startswith(b"HTTP/1.1 408 ")


def test_connections_that_are_all_busy_let_others_in_up_to_twice_as_many(tmp_path):
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n{KEY}\r\n"
    )
    with opened(tmp_path, bounds=Bounds(10, 60.0)) as doors, ExitStack() as stack:
        busy, statuses = [], []
        for _ in range(19):
            statuses.append(doors.ask("GET", "/healthz").status)
            busy.append(connected(doors, stack))
            busy[-1].sendall(head.encode())
            assert busy[-1].recv(1 << 16).startswith(b"HTTP/1.1 100 ")

        assert set(statuses) == {200}
        assert doors.ask("GET", "/healthz").status == 503
        for connection in busy:
            connection.sendall(b"not JSON!")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 400 ")


def test_bodies_that_are_held_together_are_bounded_and_small_ones_taken_meanwhile(tmp_path):
    size, limits = 40_000, Limits(held=50_000, small=1_000)
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n{KEY}\r\n"
    with opened(tmp_path, limits=limits) as doors, ExitStack() as stack:
        doors.begin("r")
        first = connected(doors, stack)
        first.sendall(head.encode() + b" " * (size - 1))

        refused = wait_until(lambda: of_status(doors.ask("POST", "/graphql", b" " * size), 429))
        small = doors.stream("r", {})
        first.sendall(b" ")
        said = first.recv(1 << 16)
        taken = doors.ask("POST", "/graphql", b" " * size)

    assert (refused.text, refused.headers["retry-after"]) == (
        "The server is busy with the bodies of others.",
        "1",
    )
    assert small.status == 200
    assert said.startswith(b"HTTP/1.1 400 ")
    assert taken.status == 400


def of_status(reply, status):
    return reply if reply.status == status else None


@pytest.mark.parametrize("inside", [b"[]", b"{}", b'{"a":1,"b":1}', b'\\"a\\":1'])
def test_a_body_of_very_many_values_is_refused_unread(tmp_path, inside):
    with opened(tmp_path, limits=Limits(values=100_000)) as doors:
        body = (
            b'{"query": "{ viewer { entity } }", "variables": {"x": ['
            + b",".join([inside] * 100_000)
            + b"]}}"
        )

        reply = doors.ask("POST", "/graphql", body)

    assert (reply.status, reply.text) == (413, "A request may have 100000 values.")


def unread(doors, stack, requests):
    """Ask for a file of a megabyte several times on one connection, and do not read what comes."""
    connection = stack.enter_context(closing(socket.socket()))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", doors.port))
    connection.sendall(b"GET /static/echarts.min.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * requests)
    return connection


@pytest.mark.parametrize("requests", [5, 20])
def test_a_client_that_does_not_read_its_answer_is_cut_off(doors, honest, requests):
    with ExitStack() as stack:
        connection = unread(doors, stack, requests)
        poll = select.poll()
        poll.register(connection, select.POLLHUP | select.POLLERR)

        assert poll.poll(30_000)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET


def test_answers_that_nobody_takes_are_held_up_to_a_bound(tmp_path):
    with (
        opened(tmp_path, bounds=Bounds(answer_seconds=60, untaken=4 << 20)) as doors,
        ExitStack() as stack,
    ):
        poll = select.poll()
        first = unread(doors, stack, 10)
        poll.register(first, select.POLLHUP | select.POLLERR)
        others = [unread(doors, stack, 10) for _ in range(30)]

        assert poll.poll(30_000)
        assert doors.ask("GET", "/healthz").status == 200
        assert len(others) == 30


def test_what_unpacks_to_very_much_is_unpacked_a_little_at_a_time():
    packed = zlib.compress(b" " * 10_000_000)

    pieces = list(bodies._pieces(zlib.decompressobj(), packed))

    assert sum(map(len, pieces)) == 10_000_000
    assert max(map(len, pieces)) == 256 << 10


def test_two_hundred_hostile_connections_disturb_no_other_client(doors, honest):
    chance = random.Random(0)
    attacks = [
        b"", b"\x00\x16\x03\x01", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000,
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n{KEY}\r\nx".encode(),
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n{KEY}\r\n".encode() + b"[" * 50_000,
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n",
        b"PUT /storage/../../server.sqlite HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /..%2f..%2fserver.sqlite HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]  # fmt: skip
    with ExitStack() as stack:
        connections = [(connected(doors, stack), chance.choice(attacks)) for _ in range(200)]
        for connection, data in connections:
            try:
                connection.sendall(data)
            except ConnectionError:  # the server has seen enough
                continue
        answers = [answer(connection) for connection, _ in connections]

    assert {said[:10] for said in answers} <= {b"HTTP/1.1 4", b"HTTP/1.1 5", b""}
    assert sum(said.startswith(b"HTTP/1.1 4") for said in answers) > 100
    assert all(said.startswith(b"HTTP/1.1 503") for said in answers if said.startswith(b"HTTP/1.1 5"))


def test_an_answer_that_nobody_reads_is_broken_off(tmp_path, caplog):
    caplog.set_level("INFO")
    weights = bytes(40_000_000)  # more than sockets hold
    with opened(tmp_path, bounds=Bounds(answer_seconds=0.3)) as doors, ExitStack() as stack:
        doors.begin("r")
        assert doors.ask("PUT", put_address(doors, "r", "model.pt"), weights).status == 200
        token = doors.parts.tokens.make(Right("get", "files", 1, "model.pt"))
        unread = connected(doors, stack)
        unread.sendall(f"GET /storage/{token}/model.pt HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: "GET /storage/-/model.pt" in caplog.text)

        assert len(answer(unread)) < len(weights)
        assert doors.ask("GET", f"/storage/{token}/model.pt").body == weights


def test_an_address_of_a_file_that_is_out_of_date_allows_nothing(doors):
    old = Tokens(doors.parts.store.secret(), lambda: doors.parts.now() - SECONDS - 1)

    put = doors.ask("PUT", f"/storage/{old.make(Right('put', 'files', 1, 'a'))}/a", b"x")
    got = doors.ask("GET", f"/storage/{old.make(Right('get', 'files', 1, 'a'))}/a")

    assert (put.status, got.status) == (403, 403)


@pytest.mark.parametrize(("hard", "connections"), [(1300, 500), (5000, 1000)])
def test_a_process_that_may_open_few_files_takes_fewer_connections(hard, connections):
    code = (
        "import resource; from jade.server.connections import allowed;"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard})); print(allowed().connections)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == f"{connections}\n"
