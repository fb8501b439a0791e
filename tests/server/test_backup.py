"""A copy that is made while the server works: whole, of one moment, and a folder for a server."""

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from jade.errors import ConfigError
from jade.server import backup
from jade.server.schema import VERSION
from jade.server.store import FILE
from tests.conftest import REPOSITORY
from tests.server.doors import opened
from tests.server.test_http import contents, put_address, rows

THREADS = 4


class Writer:
    """A client that logs rows and replaces a file until it is told to end."""

    def __init__(self, doors, number):
        self.run, self.acknowledged = f"run{number}", 0
        self._doors, self._is_over = doors, threading.Event()
        doors.begin(self.run)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        while not self._is_over.is_set():
            line = json.dumps({"_step": self.acknowledged, "loss": 1.0})
            assert self._doors.stream(self.run, rows(line, offset=self.acknowledged)).status == 200
            self.acknowledged += 1
            address = put_address(self._doors, self.run, "model.pt")
            assert self._doors.ask("PUT", address, f"{self.acknowledged:06}".encode()).status == 200

    def end(self):
        self._is_over.set()
        self._thread.join()


def command(data, into):
    return subprocess.run(
        [sys.executable, "-m", "jade", "server", "backup", "--data", data, "--into", into],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip


def test_a_copy_that_is_made_while_four_clients_write_holds_all_that_was_acknowledged(tmp_path):
    with opened(tmp_path / "data") as doors:
        writers = [Writer(doors, number) for number in range(THREADS)]
        before = []
        for number in range(3):
            before.append([writer.acknowledged for writer in writers])
            done = command(tmp_path / "data", tmp_path / f"copy{number}")
            assert (done.returncode, done.stderr) == (0, "")
        for writer in writers:
            writer.end()

    for number in range(3):
        folder = tmp_path / f"copy{number}"
        check_integrity(folder)
        with opened(folder) as doors:
            for writer, acknowledged in zip(writers, before[number], strict=True):
                steps = [json.loads(line)["_step"] for line in doors.rows(writer.run)]
                assert len(steps) >= acknowledged
                assert steps == list(range(len(steps)))
                if acknowledged > 1:
                    assert re.fullmatch(rb"\d{6}", contents(doors, writer.run, "model.pt").body)


def check_integrity(folder):
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        named = {blob for (blob,) in db.execute("SELECT blob FROM files")}
    assert {path.name for path in (folder / "files").glob("*/*")} == named


def with_a_file(folder, text=b"weights"):
    with opened(folder) as doors:
        doors.begin("r")
        doors.stream("r", rows('{"_step": 0}'))
        assert doors.ask("PUT", put_address(doors, "r", "model.pt"), text).status == 200


def test_the_command_says_what_it_has_copied(tmp_path):
    with_a_file(tmp_path / "data")

    done = command(tmp_path / "data", tmp_path / "backups" / "monday")

    assert done.stdout == f"{tmp_path}/backups/monday holds 1 runs and 1 files.\n"
    assert sorted(path.name for path in (tmp_path / "backups").iterdir()) == ["monday"]


def test_a_copy_is_not_changed_by_what_happens_to_the_original(tmp_path):
    with_a_file(tmp_path / "data")
    backup.copy(tmp_path / "data", tmp_path / "copy")

    with_a_file(tmp_path / "data", b"other weights")
    shutil.rmtree(tmp_path / "data")

    with opened(tmp_path / "copy") as doors:
        assert contents(doors, "r", "model.pt").body == b"weights"
        assert doors.rows("r") == ['{"_step": 0}']


def test_a_folder_that_exists_is_refused_and_stays_as_it_is(tmp_path):
    with_a_file(tmp_path / "data")
    (tmp_path / "copy").mkdir()

    done = command(tmp_path / "data", tmp_path / "copy")

    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}/copy exists already.\n  at: --into\n  Name a folder that does not.\n"
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_folder_that_is_no_servers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=f"{tmp_path} holds no data of a server: there is no {FILE}"):
        backup.copy(tmp_path, tmp_path / "copy")

    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_version_is_refused_and_leaves_nothing(tmp_path):
    with_a_file(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / FILE)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(ConfigError, match="was written by another version of the server"):
        backup.copy(tmp_path / "data", tmp_path / "copy")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_copy_that_cannot_be_made_leaves_nothing(tmp_path):
    with_a_file(tmp_path / "data")
    (tmp_path / "data" / FILE).write_bytes(b"my thesis" * 1000)

    with pytest.raises(ConfigError, match="cannot be copied to .*: file is not a database"):
        backup.copy(tmp_path / "data", tmp_path / "copy")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_files_that_are_replaced_while_the_database_is_copied_do_not_make_it_begin_again(
    tmp_path, monkeypatch
):
    with opened(tmp_path / "data") as doors:
        doors.begin("r")
        assert doors.ask("PUT", put_address(doors, "r", "model.pt"), b"old").status == 200
        rounds, link = [], backup._link

        def and_replaced(*given):
            rounds.append(link(*given))
            assert doors.ask("PUT", put_address(doors, "r", "model.pt"), b"new").status == 200
            return rounds[-1]

        monkeypatch.setattr(backup, "_link", and_replaced)
        backup.copy(tmp_path / "data", tmp_path / "copy")

    assert rounds == [set()]
    check_integrity(tmp_path / "copy")
    with opened(tmp_path / "copy") as doors:
        assert contents(doors, "r", "model.pt").body == b"old"


def test_a_file_that_is_lost_in_the_original_is_told_of_and_no_obstacle(tmp_path):
    with_a_file(tmp_path / "data")
    for blob in (tmp_path / "data" / "files").glob("*/*"):
        blob.unlink()

    done = command(tmp_path / "data", tmp_path / "copy")

    assert done.returncode == 0
    assert done.stdout == f"{tmp_path}/copy holds 1 runs and 0 files.\n"
    assert done.stderr == f"1 files are missing in {tmp_path}/data, and so in the copy.\n"


@pytest.mark.skipif(
    not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev,
    reason="needs a second file system",
)
def test_files_are_copied_where_they_cannot_be_linked(tmp_path):
    with_a_file(tmp_path / "data")
    into = Path("/dev/shm") / f"jade-{tmp_path.parent.name}-{tmp_path.name}"

    try:
        backup.copy(tmp_path / "data", into)
        with opened(into) as doors:
            copied = contents(doors, "r", "model.pt").body
    finally:
        shutil.rmtree(into)

    assert copied == b"weights"
