"""The embedded server: shared by those who need it, ended with the last of them, started again if it is killed."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from jade import lock
from jade.errors import ConfigError
from jade.sweeps import embedded
from jade.sweeps.embedded import Embedded


@pytest.fixture
def data(tmp_path):
    return tmp_path / "server"


def process_of(data):
    return json.loads((data / "server.json").read_text())["pid"]


def is_well(address):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{address}/healthz") as answer:
        return answer.status == 200


def test_it_ends_with_the_last_who_needs_it(data, clean_environ):
    first = Embedded(data, clean_environ, None)
    second = Embedded(data, clean_environ, None)
    process = process_of(data)

    first.close()
    outlives = is_well(second.address)
    second.close()
    with closing(Embedded(data, clean_environ, None)) as third:
        is_another = process_of(data) != process

    assert (first.is_own, second.is_own, third.is_own) == (True, False, True)
    assert first.address == second.address
    assert (outlives, is_another) == (True, True)


def test_those_who_start_it_in_the_same_moment_share_one(data, clean_environ):
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: Embedded(data, clean_environ, None), range(3)))

    assert len({one.address for one in found}) == 1
    assert sum(one.is_own for one in found) == 1
    for one in found:
        one.close()


def test_killed_it_is_started_again_where_it_was(data, clean_environ):
    with closing(Embedded(data, clean_environ, None)) as server:
        address = server.address
        os.kill(process_of(data), signal.SIGKILL)
        server._process.wait()

        assert server.tend()

        assert server.address == address
        assert is_well(address)
        assert not server.tend()


def test_one_that_others_have_started_is_started_again_when_it_is_silent(data, clean_environ):
    first = Embedded(data, clean_environ, None)
    second = Embedded(data, clean_environ, None)
    os.kill(process_of(data), signal.SIGKILL)
    first._process.wait()

    assert not second.tend()
    assert second.tend(is_silent=True)

    assert first.tend()
    assert is_well(first.address)
    second.close()
    first.close()


def test_one_that_ends_again_and_again_is_given_up_with_what_it_said(data, clean_environ):
    with closing(Embedded(data, clean_environ, None)) as server:
        server._process.kill()
        server._process.wait()
        server._ends = [embedded.time.monotonic()] * embedded.MOST_ENDS
        (data / embedded.LOG).write_text("no space left\n")

        with pytest.raises(ConfigError, match="The embedded server ends again and again\\.\nno space left"):
            server.tend()


def test_it_ends_when_whoever_started_it_is_killed(data, clean_environ):
    starts = f"""
import os, pathlib, signal
from jade.sweeps.embedded import Embedded
Embedded(pathlib.Path({str(data)!r}), os.environ, None)
os.kill(os.getpid(), signal.SIGKILL)
"""

    subprocess.run([sys.executable, "-c", starts], env=clean_environ, check=False)

    process = process_of(data)
    end = time.monotonic() + 60
    while lock.lives(process) and time.monotonic() < end:
        time.sleep(0.05)
    assert not lock.lives(process)
    assert not (data / "server.json").exists()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, clean_environ):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match=r"file/server cannot hold the server's data: Not a directory\."):
        Embedded(tmp_path / "file" / "server", clean_environ, None)
