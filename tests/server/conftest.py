"""A real server in a process of its own, and the real client, command line and agent against it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
KEY = "local-" + "0" * 40


def wait_until(condition, seconds=60.0):
    """Give what a condition gives once it holds; fail if that takes too long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError("It did not come to that.")


class Server:
    """`python -m jade server` on a free port; it can be killed, and started again at the same address."""

    def __init__(self, folder, *arguments):
        self.folder = folder
        self._arguments = arguments
        self._port = "0"
        self._home = folder / "home"
        self._home.mkdir(parents=True)
        self.start()

    def start(self):
        command = [
            sys.executable, "-m", "jade", "server", "--port", self._port,
            "--data", str(self.folder / "data"), *self._arguments,
        ]  # fmt: skip
        with (self.folder / "log.txt").open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log, text=True
            )
        for line in self.process.stdout:
            if found := re.search(r"WANDB_BASE_URL=(http://127.0.0.1:(\d+))", line):
                self.url, self._port = found[1], found[2]
                self.port = int(self._port)
                return
        raise AssertionError(self.log)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process.stdout.close()
        return code

    @property
    def log(self):
        return (self.folder / "log.txt").read_text()

    def environ(self, **more):
        """The environment of a client of this server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "JADE_"))}
        for name in ("DEVICE", "EXPERIMENTS_ROOT", "DATA_ROOT", "NUM_WORKERS"):
            kept.pop(name, None)
        own = {
            "HOME": self._home,
            "NETRC": self._home / ".netrc",
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": f"{HERE / 'fast'}:{REPOSITORY}",
            "WANDB_AGENT_DISABLE_FLAPPING": "true",
            "WANDB_AGENT_MAX_INITIAL_FAILURES": "100",
            "WANDB_API_KEY": KEY,
            "WANDB_BASE_URL": self.url,
            "WANDB_CACHE_DIR": self._home / "cache",
            "WANDB_CONFIG_DIR": self._home / "config",
            "WANDB_DATA_DIR": self._home / "data",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_X_FILE_STREAM_TRANSMIT_INTERVAL": "1",
        }
        return kept | {name: str(value) for name, value in (own | more).items()}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server for tests that disturb nobody: each works in a project of its own."""
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    assert running.stop() == 0
    assert "Traceback" not in running.log


@pytest.fixture
def own_server(tmp_path):
    """Start a server for one test alone, with more flags."""
    started = []

    def start(*arguments):
        started.append(Server(tmp_path / f"server{len(started)}", *arguments))
        return started[-1]

    yield start
    for running in started:
        if running.process.poll() is None:
            running.stop()


class Client:
    """The real client in processes of its own, working for one project of a server."""

    def __init__(self, server, folder, project, **environ):
        self.server, self.folder, self.project = server, folder, project
        self.processes = []
        self._environ = environ
        folder.mkdir(parents=True, exist_ok=True)

    def environ(self, **more):
        return self.server.environ(WANDB_PROJECT=self.project, **{**self._environ, **more})

    def start(self, *command, **environ):
        """Start a command in the client's folder."""
        self.processes.append(
            subprocess.Popen(
                [str(part) for part in command],
                cwd=self.folder,
                env=self.environ(**environ),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        return self.processes[-1]

    def run(self, *command, timeout=120, **environ):
        """Run a command to its end; give its exit code and what it printed."""
        process = self.start(*command, **environ)
        text, _ = process.communicate(timeout=timeout)
        return process.returncode, text

    def python(self, code, **environ):
        """Run Python code; give what it printed."""
        code_of_exit, text = self.run(sys.executable, "-c", code, **{"WANDB_SILENT": "true", **environ})
        assert code_of_exit == 0, text
        return text

    def sweep(self, path):
        """Make a sweep of a file; give its name."""
        code, text = self.run("wandb", "sweep", path)
        assert code == 0, text
        return re.search(r"wandb agent \S+/(\w+)", text)[1]

    def agent(self, sweep, *arguments, **environ):
        """Start an agent."""
        return self.start("wandb", "agent", *arguments, f"local/{self.project}/{sweep}", **environ)

    def agent_to_end(self, sweep, *arguments, timeout=180, **environ):
        """Run an agent to its end; give what it and its trials printed."""
        process = self.agent(sweep, *arguments, **environ)
        text, _ = process.communicate(timeout=timeout)
        return text

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


@pytest.fixture
def client(server, tmp_path, request):
    """The client against the shared server."""
    found = Client(server, tmp_path / "client", re.sub(r"\W+", "-", request.node.name)[-60:])
    yield found
    found.close()


@pytest.fixture
def client_of(tmp_path):
    """Give a client of a server of the test's own."""
    made = []

    def make(server, **environ):
        made.append(Client(server, tmp_path / "client", "project", **environ))
        return made[-1]

    yield make
    for one in made:
        one.close()
