"""The command: what it says, how it ends, what it refuses to begin with."""

import fcntl
import http.client
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from jade.errors import ConfigError
from jade.server.dispatcher import Patience
from jade.server.schema import VERSION
from jade.server.serve import Settings, bound_to, check
from jade.server.store import FILE, Store
from tests.conftest import REPOSITORY
from tests.server.conftest import KEY, wait_until
from tests.server.doors import authorization

LONG = "k" * 40


@pytest.fixture
def serve(command, tmp_path):
    """Run the command with flags under which it ends by itself."""

    def run(*arguments, **environ):
        data = () if "--data" in arguments else ("--data", tmp_path / "data")
        return command(sys.executable, "-m", "jade", "server", *data, *arguments, **environ)

    return run


@pytest.fixture
def started(clean_environ, tmp_path):
    """Start the command; give its process and what it says first."""
    processes = []

    def start(*arguments, **environ):
        process = subprocess.Popen(
            [sys.executable, "-m", "jade", "server", "--port", "0", *arguments],
            cwd=REPOSITORY, env={**clean_environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process, "".join(process.stdout.readline() for _ in range(8))

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_the_command_says_what_to_export(started, tmp_path):
    _, said = started("--data", str(tmp_path / "my data"))

    assert re.sub(r":\d+\n", ":PORT\n", said) == (
        f"JADE's server is ready; Ctrl-C ends it. Its data is in '{tmp_path}/my data'.\n"
        "Its pages: http://127.0.0.1:PORT\n\n"
        "In the shell of each agent and run:\n\n"
        "  export WANDB_BASE_URL=http://127.0.0.1:PORT\n"
        f"  export WANDB_API_KEY={KEY}\n\n"
    )


def test_a_key_is_not_printed(started):
    _, said = started("--api-key", "secret" * 10)

    assert "secret" not in said
    assert "export WANDB_API_KEY=<the key>\n" in said


def test_the_data_is_kept_where_runs_are(started, clean_environ):
    _, said = started()

    assert f"Its data is in {clean_environ['EXPERIMENTS_ROOT']}/server." in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_and_all_is_well(started, number):
    process, _ = started()

    process.send_signal(number)
    said, complained = process.communicate(timeout=30)

    assert (process.returncode, said, complained) == (0, "", "")


def test_a_signal_ends_the_server_while_a_client_is_connected(started):
    process, said = started()
    port = int(re.search(r":(\d+)\n", said)[1])

    with socket.create_connection(("127.0.0.1", port)) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGTERM)
        _, complained = process.communicate(timeout=30)

    assert process.returncode == 0
    assert re.fullmatch(r".{19} GET /healthz 200 [\d.]+ ms \d+ bytes\n", complained)


def test_a_running_server_says_in_its_folder_where_it_is(started, tmp_path):
    process, said = started("--data", str(tmp_path), "--entity", "lab", "--api-key", LONG)
    told = json.loads((tmp_path / "server.json").read_text())

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    url = re.search(r"WANDB_BASE_URL=(.+)\n", said)[1]
    assert told == {"url": url, "pid": process.pid, "entity": "lab", "needs_key": True}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files", "server.lock", "server.sqlite"]


def test_a_killed_server_leaves_its_address_and_an_open_lock(started, tmp_path):
    process, _ = started("--data", str(tmp_path))

    process.kill()
    process.communicate()

    assert json.loads((tmp_path / "server.json").read_text())["needs_key"] is False
    with (tmp_path / "server.lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_request_is_a_line_without_what_would_let_others_in(started, tmp_path):
    process, said = started("--api-key", LONG)
    port = int(re.search(r":(\d+)\n", said)[1])
    key = authorization(LONG)
    for method, path, headers in [
        ("GET", "/healthz", {}),
        ("POST", "/graphql", key),
        ("POST", "/graphql", {}),
        ("PUT", "/storage/SECRET/my%20file.txt", {}),
        ("GET", "/x%0Ay?key=SECRET", {}),
    ]:
        body = json.dumps({"query": "query Me { viewer { entity } }", "operationName": "Me"})
        ask(port, method, path, body if path == "/graphql" else b"", headers)

    process.send_signal(signal.SIGTERM)
    _, lines = process.communicate(timeout=30)

    assert [re.sub(r"[\d.]+ ms \d+ bytes", "… ms … bytes", line[20:]) for line in lines.splitlines()] == [
        "GET /healthz 200 … ms … bytes",
        "POST /graphql Me 200 … ms … bytes",
        "POST /graphql 401 … ms … bytes",
        "PUT /storage/-/my%20file.txt 403 … ms … bytes",
        "GET /x%0Ay 401 … ms … bytes",
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines.splitlines())
    assert "SECRET" not in lines
    assert LONG not in lines


def test_the_log_may_be_a_file_of_what_was_refused(started, tmp_path):
    file = tmp_path / "logs" / "server.log"
    process, said = started("--log", "errors", "--log-file", str(file))
    port = int(re.search(r":(\d+)\n", said)[1])
    ask(port, "GET", "/healthz")
    ask(port, "GET", "/nonsense")

    process.send_signal(signal.SIGTERM)
    _, complained = process.communicate(timeout=30)

    assert complained == ""
    assert re.fullmatch(r".{19} GET /nonsense 404 [\d.]+ ms \d+ bytes\n", file.read_text())


def test_a_log_file_that_cannot_be_written_is_refused(serve, tmp_path):
    done = serve("--port", "0", "--log-file", tmp_path)

    assert done.returncode == 2
    assert done.stderr == f"{tmp_path} cannot be written: Is a directory.\n  at: --log-file\n"


def test_a_terminal_that_takes_no_more_lines_holds_up_nobody(started):
    process, said = started()
    port = int(re.search(r":(\d+)\n", said)[1])
    path = "/" + "x" * 290

    statuses = {ask(port, "GET", path) for _ in range(300)}  # a pipe has 64 KiB
    process.send_signal(signal.SIGTERM)

    assert statuses == {404}
    assert process.wait(30) == 0


def test_an_answer_that_is_under_way_is_completed_when_the_server_is_told_to_end(started, tmp_path):
    process, said = started("--data", str(tmp_path))
    port = int(re.search(r":(\d+)\n", said)[1])
    body = json.dumps({"query": "{ viewer { entity } }"}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall((head + f"Authorization: {authorization()['Authorization']}\r\n\r\n").encode())
        ask(port, "GET", "/healthz")  # what came before it has been read
        process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(port))
        client.sendall(body)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    _, complained = process.communicate(timeout=30)

    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"entity": "local"' in answer
    assert "Traceback" not in complained
    assert not (tmp_path / "server.sqlite-wal").exists()


def test_a_client_that_does_not_end_does_not_keep_the_server_from_ending(started):
    process, said = started()
    port = int(re.search(r":(\d+)\n", said)[1])
    head = "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall((head + f"Authorization: {authorization()['Authorization']}\r\n\r\n").encode())
        ask(port, "GET", "/healthz")
        process.send_signal(signal.SIGTERM)
        _, complained = process.communicate(timeout=30)

    assert process.returncode == 0
    assert "Traceback" not in complained
    assert "POST /graphql 503" in complained


def test_a_file_for_which_there_is_no_room_is_to_be_sent_again(tmp_path):
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000));"
        " from tests.server.doors import opened; from tests.server.test_http import put_address; from pathlib import Path\n"
        "with opened(Path(sys.argv[1])) as doors:\n"
        "    doors.begin('r')\n"
        "    reply = doors.ask('PUT', put_address(doors, 'r', 'model.pt'), b'x' * 3_000_000)\n"
        "    print(reply.status, reply.text, list(Path(sys.argv[1], 'files').glob('*/*')))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "503 The server cannot store anything now: [Errno 27] File too large. []\n"


def ask(port, method, path, body=b"", headers=None):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        reply.read()
        return reply.status


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    return False


def test_an_address_that_others_reach_needs_a_key(serve):
    done = serve("--host", "0.0.0.0", "--port", "0")

    assert done.returncode == 2
    assert done.stderr == (
        "0.0.0.0 can be reached from other machines: a server there needs an API key.\n"
        "  at: --host\n"
        "  --api-key KEY, or the variable JADE_SERVER_KEY, with 40 characters or more;"
        ' python -c "import secrets; print(secrets.token_hex(20))" makes one\n'
    )


def test_with_a_key_of_the_environment_others_may_reach_it(started):
    _, said = started("--host", "0.0.0.0", JADE_SERVER_KEY=LONG)

    assert "<the key>" in said
    address = re.search(r"export WANDB_BASE_URL=http://(.+):(\d+)\n", said)
    assert address[1] != "0.0.0.0"
    with socket.create_connection((address[1], int(address[2])), timeout=30) as client:
        assert client.getpeername()[1] == int(address[2])


def test_a_variable_without_a_key_is_none(started):
    _, said = started(JADE_SERVER_KEY="")

    assert KEY in said


def test_a_port_that_is_in_use_is_refused(serve):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        done = serve("--port", port)

    assert done.returncode == 2
    assert done.stderr == (
        f"127.0.0.1:{port} cannot be used: Address already in use.\n  at: --port\n  --port 0 takes a free one.\n"
    )


def test_a_folder_of_another_version_is_refused(serve, tmp_path):
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    done = serve("--port", "0", "--data", tmp_path)

    assert done.returncode == 2
    assert "was written by another version of the server" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_another_server_uses_is_refused(serve, started, tmp_path):
    started("--data", str(tmp_path / "shared"))

    done = serve("--port", "0", "--data", tmp_path / "shared")

    assert done.returncode == 2
    assert f"{tmp_path / 'shared'} is used by another server." in done.stderr


def test_a_folder_that_is_a_file_is_refused(serve, tmp_path):
    (tmp_path / "file").write_text("")

    done = serve("--port", "0", "--data", tmp_path / "file")

    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path / 'file'} cannot hold the server's files: ")


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "graphql"])
def test_a_package_that_is_missing_is_named_with_its_extra(command, package):
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from jade.__main__ import main\nsys.exit(main(['server', '--port', '0']))"
    )

    done = command(sys.executable, "-c", code)

    assert done.returncode == 2
    assert done.stderr == (
        f"The server needs {package}, which is not installed.\n"
        "  at: python -m jade server\n  In JADE's clone: pip install '.[server]'\n"
    )


def test_all_that_is_out_of_range_is_told_at_once(serve):
    done = serve("--api-key", "short", "--grace", "-1", "--retry", "-2", "--entity", "a/b")

    assert done.returncode == 2
    assert done.stderr == (
        "4 faults were found.\n\n"
        "An API key has 40 characters or more, as the client wants it; this one has 5.\n  at: --api-key\n\n"
        "-1.0 is no number of seconds to wait.\n  at: --grace\n\n"
        "Nothing can be tried -2 times.\n  at: --retry\n\n"
        "'a/b' cannot be the name of an entity.\n  at: --entity\n"
    )


@pytest.mark.parametrize("grace", [0.0, float("nan"), float("inf")])
def test_a_grace_that_is_no_time_is_refused(tmp_path, grace):
    with pytest.raises(ConfigError, match="is no number of seconds to wait"):
        check(Settings(data=tmp_path, patience=Patience(grace)))


@pytest.mark.parametrize(
    ("host", "port", "where"),
    [
        ("127.0.0.1", 70_000, "--port"),
        ("127.0.0.1", -1, "--port"),
        ("no such host", 0, "--host"),
        ("203.0.113.7", 0, "--host"),  # an address for documentation: no machine has it
        ("x" * 300, 0, "--host"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(tmp_path, host, port, where):
    with pytest.raises(ConfigError) as caught:
        bound_to(Settings(data=tmp_path, host=host, port=port))

    assert str(caught.value).startswith(f"{host}:{port} cannot be used: ")
    assert f"\n  at: {where}" in str(caught.value)


def test_of_two_servers_that_start_at_the_same_moment_one_has_the_port(tmp_path):
    with closing(bound_to(Settings(data=tmp_path, port=0))) as first:
        port = first.getsockname()[1]

        with pytest.raises(ConfigError) as caught:
            bound_to(Settings(data=tmp_path, port=port))

    assert str(caught.value).startswith(f"127.0.0.1:{port} cannot be used: Address already in use.")


def test_a_connection_sends_small_answers_at_once(tmp_path):
    """asyncio does so where the listening socket is one of TCP by name; each answer would wait for 40 ms else."""
    with closing(bound_to(Settings(data=tmp_path, port=0))) as bound:
        assert bound.proto == socket.IPPROTO_TCP
