"""The doors: who is let in, and that nothing a client sends is answered with 5xx, or stored by half."""

import gzip
import itertools
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import jade
from jade.server.bodies import Limits
from jade.server.http import is_loopback
from jade.server.tokens import Right
from tests.server.doors import KEY, authorization, opened

NUMBERS = itertools.count()
HISTORY = "wandb-history.jsonl"
LIMITS = Limits(request=100_000, stream=100_000, upload=1_000)
VIEWER = json.dumps({"query": "{ viewer { entity } }"})
PUT = """
mutation Put($run: String, $name: String) {
  createRunFiles(input: {entityName: "e", projectName: "p", runName: $run, files: [$name]}) { files { uploadUrl } }
}
"""
GOT = """
query Got($run: String, $name: String) {
  project(name: "p", entityName: "e") { run(name: $run) { files(names: [$name]) {
    edges { node { name directUrl uploadUrl sizeBytes md5 } } } } }
}
"""


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data"), limits=LIMITS) as found:
        yield found


@pytest.fixture
def run(doors):
    """A run of the test's own."""
    name = f"run{next(NUMBERS)}"
    doors.begin(name)
    return name


def rows(*lines, offset=0):
    return {"files": {HISTORY: {"offset": offset, "content": list(lines)}}}


def path_of(url):
    return "/" + url.partition("//")[2].partition("/")[2]


def put_address(doors, run, name):
    reply = doors.graphql(PUT, run=run, name=name)
    assert reply.errors == []
    return path_of(reply.data["createRunFiles"]["files"][0]["uploadUrl"])


def node(doors, run, name):
    reply = doors.graphql(GOT, run=run, name=name)
    return reply.data["project"]["run"]["files"]["edges"][0]["node"]


def contents(doors, run, name):
    return doors.ask("GET", path_of(node(doors, run, name)["directUrl"]), headers={"Authorization": ""})


def blobs(doors):
    return sorted(
        path.name for path in (doors.parts.store.path.parent / "files").rglob("*") if path.is_file()
    )


def is_well(doors):
    return doors.ask("POST", "/graphql", VIEWER).data == {"viewer": {"entity": "local"}}


def test_a_request_with_any_key_is_served_on_loopback(doors):
    reply = doors.ask("POST", "/graphql", VIEWER)

    assert (reply.status, reply.data) == (200, {"viewer": {"entity": "local"}})
    assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Basic YQ==", f"Bearer {KEY}", "Basic " + "é" * 50, authorization("short")["Authorization"],
     authorization("k" * 39)["Authorization"], "Basic /////w=="],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/graphql", "/files/e/p/r/file_stream"])
def test_a_request_without_a_key_is_refused(doors, path, header):
    reply = doors.ask("POST", path, VIEWER, {"Authorization": header.encode("latin-1")})

    assert (reply.status, reply.text) == (401, "An API key is needed.")


@pytest.mark.parametrize("origin", ["http://evil.com", "null", "http://127.0.0.1:1", ""])
def test_a_page_of_another_server_cannot_use_the_key_that_a_browser_knows(tmp_path, origin):
    key = "secret-" + "s" * 40
    with opened(tmp_path, api_key=key) as doors:
        given = {**authorization(key), "Origin": origin}

        replies = [
            doors.ask("POST", "/graphql", VIEWER, {**given, "Content-Type": "text/plain"}),
            doors.stream("r", {}, **given),
            doors.ask("GET", "/e/p", headers=given),
        ]
        own = doors.ask("POST", "/graphql", VIEWER, {**given, "Origin": f"http://127.0.0.1:{doors.port}"})

    assert {(reply.status, reply.text) for reply in replies} == {
        (403, "This is asked for by a page of another server.")
    }
    assert own.status == 200


def test_where_a_key_is_set_every_request_needs_it(tmp_path):
    with opened(tmp_path, api_key="secret-" + "s" * 40) as doors:
        wrong = doors.ask("POST", "/graphql", VIEWER)
        none = doors.ask("POST", "/graphql", VIEWER, {"Authorization": ""})
        stream = doors.stream("r", {})
        right = doors.ask("POST", "/graphql", VIEWER, authorization("secret-" + "s" * 40))
        renamed = doors.ask(
            "POST", "/graphql", VIEWER, {**authorization("secret-" + "s" * 40), "Host": "my-server:80"}
        )

    assert (wrong.status, wrong.text) == (401, "This is not the API key of this server.")
    assert (none.status, stream.status) == (401, 401)
    assert (right.status, renamed.status) == (200, 200)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "evil_x.example", "127.0.0.1.evil.example", "evil.example:80:80", "10.0.0.1",
     "0.0.0.0", "localhost.evil.example", "[::2]", "[::1", "a b", "", "127.0.0.1@evil.example", "localhost@evil.example:80"],
)  # fmt: skip
def test_a_page_that_names_this_machine_otherwise_is_refused_on_loopback(doors, host):
    reply = doors.ask("POST", "/graphql", VIEWER, {"Host": host})

    assert 400 <= reply.status < 500
    assert "viewer" not in reply.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:80", "[::1]:80", "127.8.8.8"]
)
def test_this_machine_has_several_names(doors, host):
    assert doors.ask("POST", "/graphql", VIEWER, {"Host": host}).status == 200


@pytest.mark.parametrize(
    ("host", "is_this_machine"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
     ("", False), ("example.org", False), ("192.168.0.1", False), ("127.0.0.1.example.org", False)],
)  # fmt: skip
def test_loopback_is_reached_from_its_own_machine_only(host, is_this_machine):
    assert is_loopback(host) is is_this_machine


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nonsense", 404), ("POST", "/sdk/otel/v1/metrics", 404),
        ("POST", "/sdk/otel/v1/logs", 404), ("GET", "/graphql", 404), ("PUT", "/graphql", 405),
        ("GET", "/files/e/p/r/file_stream", 405), ("POST", "/files/e/p/file_stream", 404),
        ("GET", "/storage/../../etc/passwd", 404), ("GET", "/..%2f..%2fetc/passwd", 404), ("DELETE", "/storage/a/b", 405),
    ],
)  # fmt: skip
def test_all_else_is_not_there(doors, method, path, status):
    assert doors.ask(method, path).status == status


def test_what_is_not_there_is_one_line_for_a_program(doors):
    reply = doors.ask("GET", "/e/p/else")

    assert (reply.status, reply.text) == (404, "There is nothing at this address.\n")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_the_server_says_that_it_is_well_and_how_much_it_has(tmp_path):
    with opened(tmp_path) as doors:
        doors.begin("live")
        doors.begin("over")
        doors.stream("over", {"complete": True, "exitcode": 0})

        reply = doors.ask("GET", "/healthz", headers={"Authorization": "", "Host": "monitor"})

    report = reply.json
    assert reply.status == 200
    assert report.pop("uptime") > 0
    assert report.pop("bytes_free") > 1_000_000
    assert report == {"status": "ok", "version": jade.__version__, "runs": 2, "live_runs": 1}


def test_a_disk_with_no_room_left_is_told_by_the_server(tmp_path):
    with opened(tmp_path, limits=Limits(disk=1 << 60)) as doors:
        reply = doors.ask("GET", "/healthz")

    assert (reply.status, reply.json["status"]) == (503, "the disk is full")


def test_what_cannot_be_stored_is_to_be_sent_again_and_the_server_is_not_well_meanwhile(tmp_path):
    post = rows(*["x" * 100_000] * 30)
    post["files"]["output.log"] = post["files"].pop(HISTORY)
    with opened(tmp_path) as doors:
        doors.begin("r")
        set_pages(doors, "(SELECT page_count FROM pragma_page_count)")
        refused, ill = doors.stream("r", post), doors.ask("GET", "/healthz")
        set_pages(doors, "1000000")

        taken, well = doors.stream("r", post), doors.ask("GET", "/healthz")

    assert (refused.status, ill.status) == (503, 503)
    assert refused.text == "The server cannot store anything now: database or disk is full."
    assert ill.json["status"] == "database or disk is full"
    assert (taken.status, well.status) == (200, 200)


def set_pages(doors, count):
    """Let the database grow to so many pages, as a disk would that is full then."""
    with doors.parts.store.write() as db:
        pages = db.execute(f"SELECT {count}").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")


BAD_BODIES = [
    b"", b"x", b"null", b"5", b'"x"', b"[]", b"[{}]", b"{", b"{}}", b"\xff\xfe", b"\x00", b"[" * 90_000,
    b'{"a":' * 15_000, b'{"a": ' + b"9" * 90_000 + b"}", "{}".encode("utf-16"),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_BODIES, ids=lambda body: repr(body[:12]))
def test_a_body_that_is_no_json_object_is_refused(doors, run, body):
    for reply in (doors.ask("POST", "/graphql", body), doors.stream(run, body)):
        assert reply.status == 400
        assert reply.text in ("The body is not JSON.", "The body is no JSON object.")
    assert is_well(doors)


def test_a_body_that_is_too_big_is_refused(doors, run):
    body = rows(json.dumps({"a": "x" * 100_000}))

    reply = doors.stream(run, body)

    assert (reply.status, reply.text) == (413, "A request may have 100000 bytes.")
    assert doors.rows(run) == []


def test_a_body_in_chunks_is_taken(doors, run):
    parts = [json.dumps(rows('{"_step":0}'))[start:][:7].encode() for start in range(0, 200, 7)]

    reply = doors.ask(
        "POST", f"/files/e/p/{run}/file_stream", iter([part for part in parts if part]), {"Transfer-Encoding": "chunked"},
        chunked=True,
    )  # fmt: skip

    assert reply.status == 200
    assert doors.rows(run) == ['{"_step":0}']


def test_a_body_that_is_packed_is_unpacked(doors, run):
    body = gzip.compress(json.dumps(rows('{"_step":0}')).encode())

    for encoding in ("gzip", "GZIP"):
        assert doors.stream(run, body, **{"Content-Encoding": encoding}).status == 200

    assert doors.rows(run) == ['{"_step":0}']


def packed(text):
    return gzip.compress(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(
    ("body", "encoding", "status", "problem"),
    [
        (packed("{}")[:-1], "gzip", 400, "The body is not one whole gzip."),
        (packed("{}")[:12], "gzip", 400, "The body is not one whole gzip."),
        (b"", "gzip", 400, "The body is not one whole gzip."),
        (packed("{}") + packed("{}"), "gzip", 400, "The body is not one whole gzip."),
        (packed("{}") + b"x", "gzip", 400, "The body is not one whole gzip."),
        (b"{}", "gzip", 400, "The body is not gzip."),
        (packed("{}")[:-8] + b"12345678", "gzip", 400, "The body is not gzip."),
        (packed(b" " * 50_000_000), "gzip", 413, "A request may have 100000 bytes."),
        (b"{}", "br", 415, "A body is plain or gzip."),
        (packed("{}"), "gzip, gzip", 415, "A body is plain or gzip."),
    ],
    ids=["cut", "cut short", "empty", "two", "more", "plain", "other sum", "bomb", "br", "twice"],
)
def test_a_body_that_is_packed_wrongly_is_refused(doors, run, body, encoding, status, problem):
    reply = doors.stream(run, body, **{"Content-Encoding": encoding})

    assert (reply.status, reply.text) == (status, problem)
    assert is_well(doors)


@pytest.mark.parametrize(
    "head",
    [
        "POST /graphql HTTP/1.1\r\nContent-Length: 10\r\nContent-Length: 20\r\n",
        "POST /graphql HTTP/1.1\r\nContent-Length: -1\r\n",
        "POST /graphql HTTP/1.1\r\nContent-Length: 9999999999999999999999\r\n",
        "POST /graphql HTTP/1.1\r\nContent-Length: x\r\n",
        "POST /graphql HTTP/1.1\r\nContent-Length: 5\r\n",  # cut off
        "POST /graphql HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n",
        "POST /graphql HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /graphql HTTP/9.9\r\n",
        "POST " + "/x" * 50_000 + " HTTP/1.1\r\n",
        "POST /graphql HTTP/1.1\r\nX: " + "x" * 200_000 + "\r\n",
        "POST /graphql HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "\x00\x01\x02\r\n",
        "",
    ],
    ids=lambda head: head[-30:],
)
def test_what_is_no_http_ends_its_own_connection_only(doors, head):
    key = f"Authorization: {authorization()['Authorization']}\r\n" if head.startswith("POST") else ""
    answer = doors.send((head + ("" if "\r\n\r\n" in head else f"{key}\r\n")).encode())

    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert is_well(doors)


def test_a_request_without_a_host_is_refused(doors):
    answer = doors.send(
        b"POST /graphql HTTP/1.0\r\nContent-Length: 2\r\nAuthorization: "
        + authorization()["Authorization"].encode() + b"\r\n\r\n{}"
    )  # fmt: skip

    assert answer.startswith(b"HTTP/1.1 403")


def test_a_stream_of_a_run_that_is_not_there_is_refused(doors):
    reply = doors.stream("nobody", rows('{"_step":0}'))

    assert (reply.status, reply.text) == (404, "There is no run nobody in e/p.")


@pytest.mark.parametrize(
    "name", ["%00", "..", "%2e%2e", "a%0ab", "x" * 5_000, "%ff", "%F0%9F%98%80", "'--", "%22"]
)
def test_a_stream_of_a_name_that_no_run_has_is_refused(doors, name):
    assert doors.stream(name, {}).status == 404


def test_a_stream_is_answered_with_whether_to_stop(doors):
    run = doors.begin("stopped")

    before = doors.stream("stopped", {})
    doors.graphql("mutation Stop($id: ID!) { stopRun(input: {id: $id}) { success } }", id=run)
    after = doors.stream("stopped", rows('{"_step":0}'))

    assert (before.status, json.loads(before.body)) == (200, {})
    assert (after.status, json.loads(after.body)) == (200, {"stopped": True})
    assert doors.rows("stopped") == ['{"_step":0}']


def test_a_post_of_which_one_line_is_bad_leaves_nothing(doors, run):
    body = {
        "files": {"output.log": {"content": ["a"]}, HISTORY: {"content": ['{"_step":0}', "[]"]}},
        "complete": True,
    }

    reply = doors.stream(run, body)

    assert (reply.status, reply.text) == (400, f"A row of {HISTORY} is a JSON object, not '[]'.")
    assert doors.rows(run) == []


def test_a_file_name_of_a_stream_that_leads_elsewhere_is_refused(doors, run):
    reply = doors.stream(run, {"files": {"../../x": {"content": ["a"]}}})

    assert (reply.status, reply.text) == (400, "'../../x' is no name of a file inside a folder.")


def test_nan_and_half_characters_come_back_in_an_answer(doors, run):
    doors.stream(run, rows(r'{"_step":0,"x":NaN,"text":"\ud800 \ud83d\ude00"}'))

    reply = doors.graphql(
        'query Q($run: String) { project(name: "p", entityName: "e") { run(name: $run) {'
        ' history sampledHistory(specs: ["{}"]) } } }',
        run=run,
    )

    found = reply.data["project"]["run"]
    assert found["history"] == [r'{"_step":0,"x":NaN,"text":"\ud800 \ud83d\ude00"}']
    assert found["sampledHistory"] == [[{"_step": 0, "x": "NaN", "text": "\ud800 😀"}]]


def test_half_characters_are_stored_as_question_marks(doors):
    name = "half\ud800"

    doors.begin("half", displayName=name, tags=[name])
    doors.stream("half", {"files": {"output.log": {"content": [f"a{name}", "\ud83d\ude00"]}}})

    lines = doors.graphql(
        '{ project(name: "p", entityName: "e") { run(name: "half") { displayName tags logLines { edges { node { line } } } } } }'
    ).data["project"]["run"]
    assert (lines["displayName"], lines["tags"]) == ("half?", ["half?"])
    assert [edge["node"]["line"] for edge in lines["logLines"]["edges"]] == ["ahalf?", "😀"]


def test_a_heartbeat_of_an_agent_that_is_unknown_is_a_404(doors):
    reply = doors.graphql(
        "mutation Beat($id: ID!) { agentHeartbeat(input: {id: $id}) { commands } }", id="QWdlbnQ6OTk="
    )

    assert (reply.status, reply.text) == (404, "There is no such agent.")


@pytest.mark.parametrize(
    "name", ["a.txt", "media/ü b/日本😀 'x'.png", "%2e%2e", "a?b#c&d=e", "x" * 1024, "😀" * 256]
)
def test_a_file_goes_up_and_down_without_a_key(doors, run, name):
    address = put_address(doors, run, name)

    put = doors.ask("PUT", address, b"\x00contents", {"Authorization": ""})
    got = contents(doors, run, name)

    assert (put.status, got.status, got.body) == (200, 200, b"\x00contents")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-security-policy"] == "sandbox"
    assert node(doors, run, name)["sizeBytes"] == 9


def test_an_empty_file_and_a_part_of_a_file_can_be_got(doors, run):
    doors.ask("PUT", put_address(doors, run, "empty"), b"")
    doors.ask("PUT", put_address(doors, run, "long"), b"0123456789")

    address = path_of(node(doors, run, "long")["directUrl"])
    part = doors.ask("GET", address, headers={"Range": "bytes=2-4"})
    beyond = doors.ask("GET", address, headers={"Range": "bytes=20-40"})

    assert contents(doors, run, "empty").body == b""
    assert (part.status, part.body, beyond.status) == (206, b"234", 416)


def test_a_file_that_is_put_again_replaces_the_first(doors, run):
    address = put_address(doors, run, "a")
    before = len(blobs(doors))

    for body in (b"one", b"two", b"two"):
        assert doors.ask("PUT", address, body).status == 200

    assert contents(doors, run, "a").body == b"two"
    assert len(blobs(doors)) == before + 1


def test_an_address_allows_one_thing(doors, run):
    put = put_address(doors, run, "a")
    doors.ask("PUT", put, b"x")
    got = path_of(node(doors, run, "a")["directUrl"])

    assert (doors.ask("GET", put).status, doors.ask("PUT", got, b"y").status) == (403, 403)
    assert contents(doors, run, "a").body == b"x"


@pytest.mark.parametrize("token", ["x", "a" * 3_000, "%00", "é".encode().hex(), "bnVsbA"])
def test_an_address_that_was_guessed_allows_nothing(doors, token):
    assert doors.ask("PUT", f"/storage/{token}/a", b"x").status == 403
    assert doors.ask("GET", f"/storage/{token}/a").status == 403


def test_an_address_of_another_server_allows_nothing(doors, run, tmp_path):
    with opened(tmp_path) as other:
        other.begin(run)
        address = put_address(other, run, "a")

    assert doors.ask("PUT", address, b"x").status == 403


def test_an_address_that_leads_to_nothing_is_refused(doors, run):
    get = doors.parts.tokens.make(Right("get", "files", 1, "missing"))
    put = doors.parts.tokens.make(Right("put", "settings", 1, "secret"))

    assert doors.ask("GET", f"/storage/{get}/a").status == 404
    assert doors.ask("PUT", f"/storage/{put}/a", b"x").status == 400


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "a\x00b", "x" * 1025, "", 5, None, ["a"]]
)
def test_a_file_that_leads_elsewhere_gets_no_address_to_be_put_at(doors, run, name):
    reply = doors.graphql(PUT, run=run, name=name)

    assert "is no name of a file" in reply.errors[0]


def test_what_would_lead_elsewhere_is_not_stored_whatever_address_it_has(doors, run):
    address = path_of(node(doors, run, "../../.bashrc")["uploadUrl"])
    before = blobs(doors)

    reply = doors.ask("PUT", address, b"x")

    assert reply.status == 400
    assert blobs(doors) == before


def test_a_file_that_is_too_big_is_refused_and_nothing_is_left_of_it(doors, run):
    address, before = put_address(doors, run, "a"), blobs(doors)

    whole = doors.ask("PUT", address, b"x" * 1_001)
    chunks = doors.ask(
        "PUT", address, iter([b"x" * 600, b"x" * 600]), {"Transfer-Encoding": "chunked"}, chunked=True
    )

    assert (whole.status, chunks.status) == (413, 413)
    assert blobs(doors) == before


def test_a_file_that_is_cut_off_is_not_stored(doors, run):
    address, before = put_address(doors, run, "a"), blobs(doors)

    doors.send(
        f"PUT {address} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\n".encode() + b"x" * 100
    )

    assert is_well(doors)
    assert contents(doors, run, "a").status == 404
    assert blobs(doors) == before


def test_a_file_of_a_run_that_is_deleted_is_refused_and_nothing_is_left_of_it(doors):
    run, before = doors.begin("deleted"), blobs(doors)
    address = put_address(doors, "deleted", "a")
    doors.ask("PUT", address, b"x")
    doors.graphql("mutation Delete($id: ID!) { deleteRun(input: {id: $id}) { clientMutationId } }", id=run)

    reply = doors.ask("PUT", address, b"y")

    assert (reply.status, reply.text) == (400, "The run of this file is deleted.")
    assert blobs(doors) == before


def test_a_blob_that_is_gone_is_a_404(doors, run):
    doors.ask("PUT", put_address(doors, run, "a"), b"x")
    row = doors.parts.store.read().execute("SELECT blob FROM files ORDER BY id DESC").fetchone()
    doors.parts.blobs.delete(row["blob"])

    assert contents(doors, run, "a").status == 404


def test_an_address_is_at_the_host_that_the_client_names(doors, run):
    reply = doors.ask(
        "POST",
        "/graphql",
        json.dumps({"query": PUT, "variables": {"run": run, "name": "a"}}),
        {"Host": "localhost:1234"},
    )

    assert reply.data["createRunFiles"]["files"][0]["uploadUrl"].startswith("http://localhost:1234/storage/")


def test_two_hundred_clients_at_once_lose_no_row(doors):
    count = 200
    barrier = threading.Barrier(count)

    def client(number):
        barrier.wait()
        return doors.stream("crowd", rows(json.dumps({"_step": number}), offset=number)).status

    doors.begin("crowd")
    with ThreadPoolExecutor(count) as pool:
        statuses = list(pool.map(client, range(count)))

    assert set(statuses) == {200}
    assert [json.loads(line)["_step"] for line in doors.rows("crowd")] == list(range(count))


def test_clients_that_send_nothing_more_are_in_nobodys_way(doors, run):
    head = f"POST /files/e/p/{run}/file_stream HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000\r\n"
    key = f"Authorization: {authorization()['Authorization']}\r\n\r\n"
    slow = [socket.create_connection(("127.0.0.1", doors.port)) for _ in range(100)]
    for number, connection in enumerate(slow):
        connection.sendall((head if number % 2 else head + key + "x").encode())

    reply = doors.stream(run, rows('{"_step":0}'))

    assert reply.status == 200
    assert doors.rows(run) == ['{"_step":0}']
    for connection in slow:
        connection.close()
