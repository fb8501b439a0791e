"""Runs as rows: begun, continued, streamed, ended. What is refused changes nothing."""

import json
import math
from contextlib import closing

import pytest

from jade.server import runs, streams
from jade.server.blobs import UnsafeNameError
from jade.server.runs import CONSOLE, EVENTS, HISTORY, SUMMARY, RefusedError
from jade.server.store import Store


class Rows:
    """The functions of `runs`, each in a transaction of its own, at a time that goes by."""

    def __init__(self, store):
        self.store, self.now = store, 1000.0

    def upsert(self, run=None, **given):
        with self.store.write() as db:
            return runs.upsert(db, {"entityName": "e", "modelName": "p", **given}, "local", run, self.now)

    def begin(self, name="r", **given):
        return self.upsert(name=name, host="h", **given)[0]

    def stream(self, run, **body):
        with self.store.write() as db:
            return streams.take(db, runs.by_id(db, run), streams.read(body), self.now)

    def row(self, run):
        return dict(runs.by_id(self.store.read(), run))

    def lines(self, run, file=HISTORY):
        query = "SELECT number, text FROM lines WHERE run = ? AND file = ? ORDER BY number"
        return [tuple(row) for row in self.store.read().execute(query, (run, file))]

    def all(self):
        """Everything that is stored."""
        tables = ("projects", "runs", "lines", "files")
        return [
            tuple(row)
            for table in tables
            for row in self.store.read().execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        ]


@pytest.fixture
def rows(tmp_path):
    with closing(Store(tmp_path)) as store:
        yield Rows(store)


def block(*lines, offset=0):
    return {"offset": offset, "content": list(lines)}


def deep(levels):
    return '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)


def test_a_run_begins_with_its_project(rows):
    run, is_new = rows.upsert(
        name="r", host="h", displayName="first", tags=["a"], config='{"x": {"value": NaN}}'
    )

    row = rows.row(run)
    assert is_new
    assert (row["name"], row["display_name"], row["state"], row["tags"]) == ("r", "first", "running", '["a"]')
    assert row["config"] == '{"x": {"value": NaN}}'
    assert runs.find(rows.store.read(), "e", "p", "r")["id"] == run


def test_a_run_without_a_name_or_project_gets_them(rows):
    with rows.store.write() as db:
        run, _ = runs.upsert(db, {}, "local", None, 0.0)

    row = rows.row(run)
    assert len(row["name"]) == 8
    assert runs.find(rows.store.read(), "local", "uncategorized", row["name"])["id"] == run


def test_what_is_null_is_left_as_it_is(rows):
    run = rows.begin(notes="n", config='{"a": 1}', tags=["t"])

    rows.upsert(run=run, notes=None, config=None, tags=None, displayName="d")

    row = rows.row(run)
    assert (row["notes"], row["config"], row["tags"], row["display_name"]) == ("n", '{"a": 1}', '["t"]', "d")


def test_a_run_that_begins_anew_under_its_name_forgets_its_rows(rows):
    run = rows.begin(config='{"a": 1}')
    rows.stream(
        run, files={HISTORY: block('{"_step":0}'), SUMMARY: block('{"a":1}')}, complete=True, exitcode=0
    )

    again, is_new = rows.upsert(name="r", host="h")

    row = rows.row(run)
    assert (again, is_new) == (run, False)
    assert rows.lines(run) == []
    assert (row["summary"], row["config"], row["state"], row["exit_code"]) == ("{}", "{}", "running", None)


def test_a_run_that_goes_on_keeps_its_rows(rows):
    run = rows.begin()
    rows.stream(run, files={HISTORY: block('{"_step":0}')}, complete=True, exitcode=1)

    again, is_new = rows.upsert(run=run, name="r", host="h", id="its id")

    assert (again, is_new) == (run, False)
    assert rows.lines(run) == [(0, '{"_step":0}')]
    assert rows.row(run)["state"] == "running"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"name": "a/b"}, "'a/b' cannot be the name of a run."),
        ({"name": ".."}, "'..' cannot be the name of a run."),
        ({"name": "x" * 129}, f"{'x' * 100!r} cannot be the name of a run."),
        ({"name": 5}, "'5' cannot be the name of a run."),
        ({"name": "a\ud800"}, r"'a\ud800' cannot be the name of a run."),
        ({"name": "a\x00b"}, r"'a\x00b' cannot be the name of a run."),
        ({"modelName": ["p"]}, "\"['p']\" cannot be the name of a project."),
        ({"entityName": {"a": 1}}, "\"{'a': 1}\" cannot be the name of an entity."),
        ({"config": "[1]"}, "The config of a run is a JSON object, not '[1]'."),
        ({"config": "{"}, "The config of a run is a JSON object, not '{'."),
        ({"config": [1]}, "The config of a run is a JSON object, not '[1]'."),
        ({"summaryMetrics": "NaN"}, "The summary of a run is a JSON object, not 'NaN'."),
        ({"summaryMetrics": "[" * 100_000}, f"The summary of a run is a JSON object, not {'[' * 100!r}."),
        ({"config": deep(102)}, "The config of a run has more than 100 levels."),
        ({"tags": "abc"}, "The tags of a run are a list, not 'abc'."),
        (
            {"state": "asleep"},
            "'asleep' is no state of a run, which are pending, running, finished, failed, crashed, killed, preempting,"
            " preempted.",
        ),
    ],
)
def test_what_is_no_run_is_refused_and_leaves_nothing(rows, given, problem):
    with pytest.raises(RefusedError) as caught:
        rows.begin(**{"name": "r", **given})

    assert str(caught.value) == problem
    assert rows.all() == []


def test_a_run_of_an_id_that_is_unknown_is_refused(rows):
    with pytest.raises(RefusedError, match="There is no run of that id."):
        rows.upsert(run=99)


def test_a_config_of_a_hundred_levels_is_taken(rows):
    run = rows.begin(config=deep(100))

    assert rows.row(run)["config"] == deep(100)


def test_values_of_other_types_are_kept_as_json(rows):
    run = rows.begin(displayName=5, notes=["a"], config={"a": 1}, jobProgram=True)

    row = rows.row(run)
    assert (row["display_name"], row["notes"], row["config"], row["program"]) == (
        "5",
        '["a"]',
        '{"a": 1}',
        "true",
    )


def test_a_sweep_that_is_unknown_leaves_the_run_in_its_own(rows):
    run = rows.begin()
    with rows.store.write() as db:
        db.execute(
            "INSERT INTO sweeps (id, project, name, config, state, seed, created_at, updated_at)"
            " SELECT 7, project, 's', '', 'RUNNING', 0, 0, 0 FROM runs"
        )

    rows.upsert(run=run, sweep="s")
    rows.upsert(run=run, sweep="of another server")
    rows.upsert(run=run, sweep=["s"])

    assert rows.row(run)["sweep"] == 7


def test_lines_are_kept_by_their_numbers(rows):
    run = rows.begin()

    rows.stream(run, files={HISTORY: block('{"_step":0}', '{"_step":1}')})
    rows.stream(run, files={HISTORY: block('{"_step":2,"x":NaN}', offset=2)})

    assert rows.lines(run) == [(0, '{"_step":0}'), (1, '{"_step":1}'), (2, '{"_step":2,"x":NaN}')]
    assert runs.next_line(rows.store.read(), run, HISTORY) == 3
    assert runs.last_lines(rows.store.read(), run, HISTORY, 2) == ['{"_step":1}', '{"_step":2,"x":NaN}']


def test_a_post_that_comes_twice_changes_nothing(rows):
    run = rows.begin()
    body = {"files": {HISTORY: block('{"_step":0}'), CONSOLE: block("a", "b"), SUMMARY: block('{"a":1}')}}
    rows.stream(run, **body)
    before = rows.all()

    rows.stream(run, **body)

    assert rows.all() == before


def test_lines_of_the_console_may_be_written_over(rows):
    run = rows.begin()

    rows.stream(run, files={CONSOLE: block("0%", "x")})
    rows.stream(run, files={CONSOLE: block("100%")})

    assert rows.lines(run, CONSOLE) == [(0, "100%"), (1, "x")]


def test_the_last_summary_of_a_post_is_the_whole_summary(rows):
    run = rows.begin(summaryMetrics='{"old": 1}')

    rows.stream(run, files={SUMMARY: block('{"a":1}', '{"b":NaN}')})

    assert rows.row(run)["summary"] == '{"b":NaN}'


def test_lines_of_a_file_that_a_newer_client_streams_are_kept(rows):
    run = rows.begin()

    rows.stream(run, files={"wandb-spans.jsonl": block("a", offset=3)})

    assert rows.lines(run, "wandb-spans.jsonl") == [(3, "a")]


@pytest.mark.parametrize("body", [{}, {"files": None}, {"files": {}}, {"files": []}, {"files": {HISTORY: {}}}, {"uploaded": ["a"]},
                                  {"files": {CONSOLE: {"offset": None, "content": None}}}, {"news": {"a": 1}}])  # fmt: skip
def test_a_post_without_lines_says_that_the_run_is_alive(rows, body):
    run = rows.begin()
    rows.now = 2000.0

    assert rows.stream(run, **body) is False

    row = rows.row(run)
    assert (row["state"], row["heartbeat_at"]) == ("running", 2000.0)


@pytest.mark.parametrize("text", ["", "a\x00b", "😀 ü\r\n", "x" * 1_000_000, r'{"x": "\ud800"}'])
def test_any_text_is_kept_as_it_is(rows, text):
    run = rows.begin()

    rows.stream(run, files={EVENTS: block(text), CONSOLE: block(text)})

    assert rows.lines(run, EVENTS) == rows.lines(run, CONSOLE) == [(0, text)]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["a"], "The files of a stream are an object."),
        (5, "The files of a stream are an object."),
        ({CONSOLE: 5}, "What is streamed of output.log is no object."),
        ({CONSOLE: ["a"]}, "What is streamed of output.log is no object."),
        ({CONSOLE: {"content": "abc"}}, "What is streamed of output.log is no list of lines."),
        ({CONSOLE: {"content": {"a": "b"}}}, "What is streamed of output.log is no list of lines."),
        ({CONSOLE: {"content": 5}}, "What is streamed of output.log is no list of lines."),
        ({CONSOLE: {"content": ["a", 5]}}, "What is streamed of output.log is no list of lines."),
        ({CONSOLE: {"content": ["a", None]}}, "What is streamed of output.log is no list of lines."),
        ({CONSOLE: {"offset": -1, "content": ["a"]}}, "'-1' is no number of a line of output.log."),
        ({CONSOLE: {"offset": True, "content": ["a"]}}, "'True' is no number of a line of output.log."),
        ({CONSOLE: {"offset": 1.0, "content": ["a"]}}, "'1.0' is no number of a line of output.log."),
        ({CONSOLE: {"offset": "1", "content": ["a"]}}, "'1' is no number of a line of output.log."),
        ({CONSOLE: {"offset": math.nan, "content": ["a"]}}, "'nan' is no number of a line of output.log."),
        ({CONSOLE: {"offset": 2**31 - 1, "content": ["a"]}}, "'2147483647' is no number of a line of output.log."),
        ({CONSOLE: {"offset": 2**63, "content": ["a"]}}, "'9223372036854775808' is no number of a line of output.log."),
        ({HISTORY: block('{"_step":1}', "[1]")}, "A row of wandb-history.jsonl is a JSON object, not '[1]'."),
        ({HISTORY: block("{'a': 1}")}, "A row of wandb-history.jsonl is a JSON object, not \"{'a': 1}\"."),
        ({HISTORY: block("")}, "A row of wandb-history.jsonl is a JSON object, not ''."),
        ({HISTORY: block("{}{}")}, "A row of wandb-history.jsonl is a JSON object, not '{}{}'."),
        ({HISTORY: block("[" * 100_000)}, f"A row of wandb-history.jsonl is a JSON object, not {'[' * 100!r}."),
        ({HISTORY: block(deep(102))}, "A row of wandb-history.jsonl has more than 100 levels."),
        ({CONSOLE: block(*["x"] * 500_001)}, "A post may have 500000 lines of output.log."),
        ({SUMMARY: block("[]")}, "wandb-summary.json is a JSON object, not '[]'."),
        ({SUMMARY: block(deep(102))}, "wandb-summary.json has more than 100 levels."),
    ],
)  # fmt: skip
def test_what_is_no_list_of_lines_is_refused_and_nothing_of_the_post_is_kept(rows, files, problem):
    run = rows.begin()
    before = rows.all()
    if isinstance(files, dict):
        files = {EVENTS: block("first"), **files}

    with pytest.raises(RefusedError) as caught:
        rows.stream(run, files=files)

    assert str(caught.value) == problem
    assert rows.all() == before


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "a\x00b", "x" * 2_000])
def test_a_streamed_file_that_leads_elsewhere_is_refused(rows, name):
    run = rows.begin()

    with pytest.raises(UnsafeNameError):
        rows.stream(run, files={name: block("a")})

    assert rows.lines(run, name) == []


@pytest.mark.parametrize(
    ("step", "kept"),
    [("3", 3.0), ("2.5", 2.5), ("-1", -1.0), ("true", None), ('"3"', None), ("null", None), ("NaN", None),
     ("Infinity", None), ("1e999", None), ("9" * 400, None), ("[3]", None)],
)  # fmt: skip
def test_a_row_is_found_by_its_step_if_that_is_a_number(rows, step, kept):
    run = rows.begin()

    rows.stream(run, files={HISTORY: block(f'{{"_step":{step}}}')})

    assert rows.store.read().execute("SELECT step FROM lines").fetchone()[0] == kept


@pytest.mark.parametrize(
    ("earlier", "last", "state", "code"),
    [
        ({}, {"exitcode": 0}, "finished", 0),
        ({}, {"exitcode": 1}, "failed", 1),
        ({}, {"exitcode": 255}, "failed", 255),
        ({}, {}, "failed", 1),
        ({}, {"exitcode": None}, "failed", 1),
        ({}, {"exitcode": "0"}, "failed", 1),
        ({}, {"exitcode": 2**63}, "failed", 1),
        ({}, {"exitcode": -(2**40)}, "failed", 1),
        ({"preempting": True}, {"exitcode": 1}, "preempted", 1),
        ({}, {"exitcode": 1, "preempting": True}, "preempted", 1),
        ({"preempting": True}, {"exitcode": 0}, "finished", 0),
    ],
)
def test_a_run_ends_as_its_exit_code_says(rows, earlier, last, state, code):
    run = rows.begin()
    rows.stream(run, **earlier)

    assert rows.stream(run, complete=True, **last) is False

    row = rows.row(run)
    assert (row["state"], row["exit_code"]) == (state, code)


def test_what_comes_after_the_end_of_a_run_is_kept_and_does_not_begin_it_again(rows):
    run = rows.begin()
    rows.stream(run, complete=True, exitcode=0)

    rows.stream(run, files={HISTORY: block('{"_step":0}')})

    assert rows.row(run)["state"] == "finished"
    assert rows.lines(run) == [(0, '{"_step":0}')]


def test_a_run_that_is_asked_to_stop_hears_of_it_and_ends_as_killed(rows):
    run = rows.begin()
    with rows.store.write() as db:
        runs.ask_to_stop(db, run, 1.0)
        runs.ask_to_stop(db, run, 2.0)

    assert rows.stream(run) is True
    assert rows.row(run)["stop_asked_at"] == 1.0
    rows.stream(run, complete=True, exitcode=255)

    assert rows.row(run)["state"] == "killed"


def test_a_run_that_is_over_is_not_asked_to_stop(rows):
    run = rows.begin()
    rows.stream(run, complete=True, exitcode=0)

    with rows.store.write() as db:
        runs.ask_to_stop(db, run, 1.0)

    assert rows.row(run)["stop_asked_at"] is None


def test_a_silent_run_is_taken_for_crashed_until_something_is_heard_of_it(rows):
    run, other = rows.begin(), rows.begin("other")
    rows.stream(other, preempting=True)
    with rows.store.write() as db:
        runs.note_silent(db, rows.now + runs.SILENT_SECONDS)
        assert rows.row(run)["state"] == "running"
        runs.note_silent(db, rows.now + runs.SILENT_SECONDS + 1)

    assert (rows.row(run)["state"], rows.row(other)["state"]) == ("crashed", "preempted")
    rows.stream(run)
    assert rows.row(run)["state"] == "running"


def put(rows, run, name, blob="b"):
    with rows.store.write() as db:
        return runs.put_file(db, run, name, (blob, 3, "md5"), 1.0)


def names(rows, run, wanted=(), pattern=None):
    return [row["name"] for row in runs.files(rows.store.read(), run, wanted, pattern)]


def test_a_file_that_is_put_again_gives_back_the_blob_that_it_replaces(rows):
    run = rows.begin()

    assert put(rows, run, "a", "one") is None
    assert put(rows, run, "a", "two") == "one"

    assert [row["blob"] for row in runs.files(rows.store.read(), run, (), None)] == ["two"]


def test_files_are_found_by_name_and_by_pattern(rows):
    run = rows.begin()
    for name in ("a.txt", "b.txt", "b_txt", "media/c.png"):
        put(rows, run, name)

    assert names(rows, run) == ["a.txt", "b.txt", "b_txt", "media/c.png"]
    assert names(rows, run, ["a.txt", "missing"]) == ["a.txt"]
    assert names(rows, run, pattern="%.txt") == ["a.txt", "b.txt"]
    assert names(rows, run, pattern=r"b\_%") == ["b_txt"]
    assert names(rows, run, ["a.txt"], "b%") == []


def test_any_number_of_names_can_be_asked_for(rows):
    run = rows.begin()
    put(rows, run, "n7")

    assert names(rows, run, [f"n{number}" for number in range(300_000)]) == ["n7"]


@pytest.mark.parametrize("name", ["'; DROP TABLE files; --", '"', "%", "a' OR '1'='1"])
def test_names_are_values_and_never_sql(rows, name):
    run = rows.begin()
    put(rows, run, "a")

    put(rows, run, name)

    assert names(rows, run, [name]) == [name]
    assert names(rows, run, pattern="'; DROP TABLE files; --%") == ([name] if name.startswith("';") else [])


def test_an_upload_for_a_name_that_leads_elsewhere_is_refused(rows):
    run = rows.begin()

    with pytest.raises(UnsafeNameError):
        put(rows, run, "../../.bashrc")

    assert names(rows, run) == []


def test_an_upload_for_a_run_that_is_deleted_is_refused(rows):
    run = rows.begin()
    put(rows, run, "a", "blob")
    with rows.store.write() as db:
        assert runs.delete(db, run) == ["blob"]

    with pytest.raises(RefusedError, match="The run of this file is deleted."):
        put(rows, run, "a")

    assert rows.store.read().execute("SELECT COUNT(*) FROM files").fetchone()[0] == 0


@pytest.mark.parametrize(
    ("value", "number"),
    [(1, 1.0), (True, 1.0), (0.5, 0.5), ("Infinity", math.inf), ("-Infinity", -math.inf), (10**400, math.inf),
     (-(10**400), -math.inf), ("1", None), (None, None), ([1], None), ({}, None)],
)  # fmt: skip
def test_a_number_is_read_as_the_client_writes_it(value, number):
    assert runs.number_or_none(value) == number


def test_nan_is_a_number_as_well():
    assert math.isnan(runs.number_or_none("NaN"))


def test_the_values_of_a_config_come_without_their_wrapping():
    config = json.dumps({"a": {"value": 1}, "b": {"c": 2}, "d": 3, "_wandb": {"value": {}}})

    assert runs.values_of(config) == {"a": 1, "b": {"c": 2}, "d": 3}
