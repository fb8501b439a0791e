"""One live process owns a run's folder, and whoever comes after its end gets it."""

import fcntl
import json
import logging
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from jade import lock
from jade.errors import CheckpointError
from jade.lock import NAME, SILENT_SECONDS, owned

HOLD = """
import os, sys, time
from pathlib import Path
from jade.lock import owned
with owned(Path(sys.argv[1]), {}):
    if "fork" in sys.argv:
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        print(child, flush=True)
    if "child exits" in sys.argv:
        child = os.fork()
        if not child:
            sys.exit(0)
        os.waitpid(child, 0)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def warnings_of_the_lock(caplog):
    caplog.set_level(logging.WARNING, logger="jade.lock")


@contextmanager
def holding(folder, *arguments):
    """A process that owns the folder, and what it said first."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = [process.stdout.readline().strip()]
        while said[-1] != "held":
            assert process.poll() is None
            said.append(process.stdout.readline().strip())
        yield process, said
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def taken_by_another(folder) -> bool:
    """Whether another process, asked now, gets the folder."""
    code = "import sys; from pathlib import Path; from jade.lock import owned\nwith owned(Path(sys.argv[1]), {}): pass"
    ended = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True)
    assert ended.returncode == 0 or "CheckpointError" in ended.stderr, ended.stderr
    return ended.returncode == 0


def never(seconds):
    raise AssertionError("nothing is to be waited for")


def left_by(folder, host="elsewhere", **others):
    """Leave a lock as an owner that is not in this machine's list of processes."""
    owner = {"host": host, "pid": 4242, "since": 1700000000.5, "job": None, **others}
    (folder / NAME).write_text(json.dumps(owner))
    return owner


class Waiting:
    """Counts the seconds waited; renews the file, or does something else to it, in one of them."""

    def __init__(self, folder, then=None, at=3) -> None:
        self.path = folder / NAME
        self.then = then
        self.at = at
        self.seconds = 0.0

    def __call__(self, seconds):
        self.seconds += seconds
        if self.then and self.seconds >= self.at:
            self.then(self.path)


def renew(path):
    now = time.time_ns()
    os.utime(path, ns=(now, now))


# --- one machine -----------------------------------------------------------------------------------------


def test_the_lock_says_who_owns_the_folder_and_is_gone_afterwards(tmp_path):
    with owned(tmp_path, {"SLURM_JOB_ID": "17"}, wait=never):
        owner = json.loads((tmp_path / NAME).read_text())

    assert (owner["host"], owner["pid"], owner["job"]) == (platform.node(), os.getpid(), "17")
    assert abs(owner["since"] - time.time()) < 60
    assert list(tmp_path.iterdir()) == []


def test_a_folder_can_be_owned_again_and_again_without_a_word(tmp_path, caplog):
    for _ in range(3):
        with owned(tmp_path, {}, wait=never):
            pass

    assert caplog.records == []


def test_the_lock_is_given_back_after_an_error(tmp_path, caplog):
    with pytest.raises(ZeroDivisionError), owned(tmp_path, {}):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []
    with owned(tmp_path, {}, wait=never):
        pass
    assert caplog.records == []


def test_nothing_runs_on_after_the_lock_is_given_back(tmp_path):
    with owned(tmp_path, {}):
        assert "jade-lock" in {thread.name for thread in threading.enumerate()}

    deadline = time.monotonic() + 5
    while "jade-lock" in {thread.name for thread in threading.enumerate()}:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_file_of_a_lock_is_renewed(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RENEWED_SECONDS", 0.01)
    with owned(tmp_path, {}):
        os.utime(tmp_path / NAME, (0, 0))
        deadline = time.monotonic() + 5
        while (tmp_path / NAME).stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_file_that_is_gone_does_not_disturb_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "RENEWED_SECONDS", 0.01)
    with owned(tmp_path, {}):
        (tmp_path / NAME).unlink()
        time.sleep(0.05)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_a_live_process_owns_is_refused(tmp_path):
    with holding(tmp_path) as (process, _):
        with pytest.raises(CheckpointError) as refused, owned(tmp_path, {}, wait=never):
            pass

        text = str(refused.value)
        assert f"process {process.pid} on {platform.node()}" in text
        assert str(tmp_path) in text
        # Whoever was refused changes nothing.
        assert json.loads((tmp_path / NAME).read_text())["pid"] == process.pid
        assert not taken_by_another(tmp_path)


def test_a_folder_whose_owner_was_killed_is_taken_over_at_once_with_a_warning(tmp_path, caplog):
    with holding(tmp_path) as (process, _):
        process.send_signal(signal.SIGKILL)
        process.wait()

        with owned(tmp_path, {}, wait=never):
            assert not taken_by_another(tmp_path)
            assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()

    (record,) = caplog.records
    assert f"process {process.pid} on {platform.node()}" in record.getMessage()
    assert not (tmp_path / NAME).exists()


def test_children_of_a_dead_owner_do_not_hold_the_lock(tmp_path):
    with holding(tmp_path, "fork") as (process, said):
        process.send_signal(signal.SIGKILL)
        process.wait()
        child = int(said[0])
        try:
            os.kill(child, 0)
            with owned(tmp_path, {}, wait=never):
                assert (tmp_path / NAME).exists()
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_child_that_ends_does_not_give_its_parents_lock_back(tmp_path):
    with holding(tmp_path, "child exits"):
        assert (tmp_path / NAME).exists()
        assert not taken_by_another(tmp_path)


def test_whoever_reads_the_file_of_its_own_lock_keeps_the_lock(tmp_path):
    # As a copy of the folder does.
    with owned(tmp_path, {}):
        (tmp_path / NAME).read_text()

        assert not taken_by_another(tmp_path)


def test_a_second_owner_in_the_same_process_is_refused(tmp_path):
    with owned(tmp_path, {}):
        with pytest.raises(CheckpointError, match=str(os.getpid())), owned(tmp_path, {}, wait=never):
            pass
        assert (tmp_path / NAME).exists()
        assert not taken_by_another(tmp_path)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff\xfe\x00", b"[1]", b"null", b"{}", b'"text"', b"x" * 10_000]
)
def test_a_damaged_lock_is_taken_over(text, tmp_path):
    (tmp_path / NAME).write_bytes(text)

    with owned(tmp_path, {}, wait=never):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("folder", ["no folder", "a file"])
def test_a_folder_that_cannot_be_owned_is_an_error_of_the_user(folder, tmp_path):
    (tmp_path / "a file").touch()

    with pytest.raises(CheckpointError, match="cannot be written"), owned(tmp_path / folder, {}):
        pass


# --- several machines ------------------------------------------------------------------------------------


def test_another_machine_that_renews_its_lock_keeps_the_folder(tmp_path, caplog):
    owner = left_by(tmp_path)
    wait = Waiting(tmp_path, renew)

    with pytest.raises(CheckpointError, match="process 4242 on elsewhere"), owned(tmp_path, {}, "here", wait):
        pass

    assert 1 <= wait.seconds <= SILENT_SECONDS
    assert "waiting" in caplog.text
    assert json.loads((tmp_path / NAME).read_text()) == owner


def test_another_machine_that_is_silent_loses_the_folder(tmp_path, caplog):
    left_by(tmp_path)
    wait = Waiting(tmp_path)

    with owned(tmp_path, {}, "here", wait):
        assert json.loads((tmp_path / NAME).read_text())["host"] == "here"

    assert wait.seconds == SILENT_SECONDS
    assert "process 4242 on elsewhere" in caplog.records[-1].getMessage()
    assert "taken over" in caplog.records[-1].getMessage()


def test_a_lock_that_is_given_back_meanwhile_is_taken(tmp_path):
    left_by(tmp_path)
    wait = Waiting(tmp_path, lambda path: path.unlink(missing_ok=True))

    with owned(tmp_path, {}, "here", wait):
        assert not taken_by_another(tmp_path)
        assert json.loads((tmp_path / NAME).read_text())["host"] == "here"


@pytest.mark.parametrize("variable", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"])
def test_the_same_job_on_another_machine_need_not_wait(variable, tmp_path, caplog):
    left_by(tmp_path, job="17")

    with owned(tmp_path, {variable: "17"}, "here", never):
        pass

    assert "taken over" in caplog.text


@pytest.mark.parametrize(
    ("before", "now"), [("17", "18"), (None, "17"), ("17", None), ("", ""), (None, None)]
)
def test_another_job_on_another_machine_waits(before, now, tmp_path):
    left_by(tmp_path, job=before)
    wait = Waiting(tmp_path)

    with owned(tmp_path, {} if now is None else {"SLURM_JOB_ID": now}, "here", wait):
        pass

    assert wait.seconds == SILENT_SECONDS


# --- file systems without locks --------------------------------------------------------------------------


@pytest.fixture
def no_locks(monkeypatch):
    def refuse(*arguments):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_without_locks_an_owner_that_renews_its_file_keeps_the_folder(host, tmp_path):
    owner = left_by(tmp_path, host, pid=os.getppid())  # which lives
    wait = Waiting(tmp_path, renew)

    with pytest.raises(CheckpointError, match=host), owned(tmp_path, {}, "here", wait):
        pass

    assert json.loads((tmp_path / NAME).read_text()) == owner


@pytest.mark.usefixtures("no_locks")
@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_without_locks_an_owner_that_is_silent_loses_the_folder(host, tmp_path):
    left_by(tmp_path, host)

    with owned(tmp_path, {}, "here", Waiting(tmp_path)):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()

    assert not (tmp_path / NAME).exists()


def test_a_folder_is_seen_to_be_owned_while_its_process_lives(tmp_path):
    with holding(tmp_path):
        held = lock.is_owned(tmp_path)

    assert held
    assert not lock.is_owned(tmp_path)


def test_a_lock_whose_process_was_killed_or_went_silent_owns_nothing(tmp_path):
    with owned(tmp_path, {}, host="elsewhere"):
        renewed = (tmp_path / NAME).stat().st_mtime
        seen = [lock.is_owned(tmp_path, "here", renewed + passed) for passed in (1, SILENT_SECONDS + 1)]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / NAME).write_text(json.dumps({"host": "here", "pid": ended.pid}))

    assert seen == [True, False]
    assert not lock.is_owned(tmp_path, "here")


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_a_lock_that_cannot_be_read_owns_nothing(tmp_path, text):
    (tmp_path / NAME).write_text(text)

    assert not lock.is_owned(tmp_path, platform.node())
