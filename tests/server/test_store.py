"""The store: what is acknowledged is on disk, what fails leaves nothing, and one server owns the folder."""

import re
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from jade.errors import ConfigError
from jade.server import curves
from jade.server.schema import VERSION
from jade.server.store import FILE, Store

# A folder that an earlier server has written must be told from those of this one.
SUMS = {3: 3138425852}
OLD = Path(__file__).with_name("version_2.sql")


@pytest.fixture
def store(tmp_path):
    with closing(Store(tmp_path / "data")) as found:
        yield found


def test_another_schema_has_another_version(store):
    tables = (
        store.read().execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
    )
    schema = "".join("".join(re.sub("--.*", "", row["sql"]).split()) for row in tables)

    assert SUMS[VERSION] == zlib.crc32(schema.encode()), "Raise VERSION, and write the sum down beside it."


def put(db, name, value="x"):
    db.execute("INSERT INTO settings VALUES (?, ?)", (name, value))


def names(store):
    return [row["name"] for row in store.read().execute("SELECT name FROM settings ORDER BY name")]


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def break_off(store, name):
    with store.write() as db:
        put(db, name)
        raise KeyError


def break_off_around(store, inner, outer):
    with store.write() as db:
        with store.write() as same:
            put(same, inner)
        put(db, outer)
        raise KeyError


def write_what_cannot_be_committed(store):
    with store.write() as db:
        db.execute("PRAGMA defer_foreign_keys = ON")
        db.execute("INSERT INTO agents (sweep, host, created_at, heartbeat_at) VALUES (99, 'h', 0, 0)")


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_what_is_written_is_seen_by_another_thread(store):
    with store.write() as db:
        put(db, "a")

    assert in_thread(lambda: names(store)) == ["a"]


def test_what_is_not_written_to_its_end_is_seen_by_nobody(store):
    with store.write() as db:
        put(db, "a")

        assert in_thread(lambda: names(store)) == []


def test_a_transaction_that_raises_leaves_nothing(store):
    with pytest.raises(KeyError):
        break_off(store, "a")

    assert names(store) == []


def test_a_write_inside_a_write_is_a_part_of_it(store):
    with pytest.raises(KeyError):
        break_off_around(store, "a", "b")

    assert names(store) == []


def test_a_transaction_that_cannot_be_completed_does_not_swallow_the_next(store):
    with pytest.raises(sqlite3.IntegrityError):
        write_what_cannot_be_committed(store)
    with store.write() as db:
        put(db, "a")

    assert names(store) == ["a"]
    assert store.read().execute("SELECT COUNT(*) FROM agents").fetchone()[0] == 0


def test_a_full_disk_is_told_of_and_leaves_the_store_usable(store):
    with store.write() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(sqlite3.OperationalError, match="full"), store.write() as db:
        put(db, "a", "x" * 10_000_000)
    with store.write() as db:
        db.execute("PRAGMA max_page_count = 1000000")
        put(db, "b")

    assert names(store) == ["b"]


def test_a_reader_cannot_write(store):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        put(store.read(), "a")


def test_threads_that_ended_leave_no_open_file(store):
    in_thread(lambda: names(store))
    before = open_files()

    for _ in range(50):
        in_thread(lambda: names(store))

    assert open_files() == before


def test_a_folder_has_one_server(store):
    with pytest.raises(ConfigError) as caught:
        Store(store.path.parent)

    assert str(caught.value) == (
        f"{store.path.parent} is used by another server.\n  at: --data\n  End that one, or name another folder."
    )


def test_a_folder_is_free_when_its_server_has_ended(tmp_path):
    first = Store(tmp_path)
    secret = first.secret()
    first.close()

    second = Store(tmp_path)

    assert second.secret() == secret
    second.close()


def test_a_killed_process_leaves_neither_half_a_transaction_nor_the_folder_in_use(tmp_path):
    code = (
        "import sys; from pathlib import Path; from jade.server.store import Store; store = Store(Path(sys.argv[1]))\n"
        "with store.write() as db: db.execute(\"INSERT INTO settings VALUES ('whole', 'x')\")\n"
        "with store.write() as db:\n"
        "    db.execute(\"INSERT INTO settings VALUES ('half', 'x')\")\n"
        "    print('writing', flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()

    with closing(Store(tmp_path)) as store:
        assert names(store) == ["whole"]


def test_what_another_version_has_written_is_refused(tmp_path):
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")

    with pytest.raises(ConfigError) as caught:
        Store(tmp_path)

    assert str(caught.value) == (
        f"{tmp_path / FILE} was written by another version of the server ({VERSION + 1}, not {VERSION}).\n"
        "  at: --data\n  Name another folder."
    )


def old_folder(folder, rows):
    """Make a folder as a server of version 2 has left it, with a run of some rows."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.executescript(OLD.read_text())
        db.execute("INSERT INTO projects (entity, name, created_at) VALUES ('e', 'p', 0)")
        db.execute(
            "INSERT INTO runs (project, name, display_name, state, created_at, heartbeat_at)"
            " VALUES (1, 'r', 'r', 'running', 0, 0)"
        )
        db.executemany(
            "INSERT INTO lines VALUES (1, 'wandb-history.jsonl', ?, NULL, ?)", list(enumerate(rows))
        )
        db.commit()


def tables(db):
    return {row[0]: row[1] for row in db.execute("SELECT name, sql FROM sqlite_master")}


def test_a_folder_of_version_2_is_brought_up_when_it_is_opened(tmp_path):
    old_folder(tmp_path, [f'{{"loss": {number}, "_step": {number}}}' for number in range(1000)])

    with closing(Store(tmp_path)) as found, closing(Store(tmp_path / "new")) as new:
        db = found.read()
        assert db.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert tables(db) == tables(new.read())
        assert curves.keys(db, [1]) == ["loss"]
        assert curves.of_runs(db, [1], "loss")[1].most == 999
        assert not curves.is_rewritten(db, 1)


def test_a_folder_that_cannot_be_brought_up_stays_as_it_is(tmp_path):
    old_folder(tmp_path, ["no JSON"])

    with pytest.raises(ConfigError, match="cannot hold the server's data: Expecting value"):
        Store(tmp_path)

    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone()[0] == 2
        assert "curves" not in tables(db)


def test_a_file_that_is_no_store_is_refused_and_stays_as_it_is(tmp_path):
    (tmp_path / FILE).write_text("my thesis " * 1000)

    with pytest.raises(ConfigError, match="cannot hold the server's data: file is not a database"):
        Store(tmp_path)

    assert (tmp_path / FILE).read_text() == "my thesis " * 1000


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "data").write_text("")

    with pytest.raises(ConfigError, match="cannot hold the server's data"):
        Store(tmp_path / "data")


def test_the_secret_is_kept_and_is_each_servers_own(tmp_path):
    with closing(Store(tmp_path / "one")) as one, closing(Store(tmp_path / "two")) as two:
        first, other = one.secret(), two.secret()
        assert one.secret() == first

    with closing(Store(tmp_path / "one")) as again:
        assert again.secret() == first
    assert first != other
    assert len(first) > 40


def test_a_store_is_made_with_its_parents_in_a_folder_with_spaces(tmp_path):
    folder = tmp_path / "my data" / "of März"

    Store(folder).close()

    assert sorted(path.name for path in folder.iterdir()) == ["server.lock", "server.sqlite"]
