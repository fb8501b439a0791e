"""The pages as a browser gets them: what they say, to whom, and that nothing a run logged becomes part of them."""

import hashlib
import json
import random
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote, urlencode

import pytest

from tests.conftest import REPOSITORY
from tests.server.doors import authorization, opened
from tests.server.filling import CONFIG, Filler, made_up

HOSTILE = "\"><script>alert(1)</script>'&<img src=x>"
BROWSER = {"Authorization": "", "Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
GRID = {
    "method": "grid",
    "name": "six points",
    "metric": {"name": "acc", "goal": "maximize"},
    "parameters": {
        "model.lr": {"values": [0.1, 0.01, 0.001]},
        "kind": {"values": ["a", "b"]},
        "seed": {"value": 7},
    },
}


class Table(HTMLParser):
    """The cells of the first table behind a heading."""

    def __init__(self, text):
        super().__init__()
        self.rows, self._is_open = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self._is_open = True
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._is_open = False

    def handle_data(self, data):
        if self._is_open:
            self.rows[-1][-1] += data


def rows_of(reply, title):
    text = reply.text.partition(f'aria-label="{title}"')[2].partition("</table>")[0]
    return [[" ".join(cell.split()) for cell in row] for row in Table(text).rows]


@pytest.fixture
def doors(tmp_path):
    with opened(tmp_path) as found:
        yield found


@pytest.fixture
def filler_of(doors):
    """Give what fills a project of an entity."""
    made = []

    def make(entity, project):
        made.append(Filler(doors.port, entity, project))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def filler(filler_of):
    return filler_of("local", "digits")


@pytest.fixture
def get(doors):
    def ask(path, headers=None, **query):
        return doors.ask(
            "GET", f"{path}?{urlencode(query)}" if query else path, headers={**BROWSER, **(headers or {})}
        )

    return ask


@pytest.fixture
def grid(filler):
    """A sweep of six trials: the second has the best accuracy, the last one failed with a better one."""
    name = filler.sweep(GRID)
    for number in range(6):
        run, params = filler.trial()
        best = {1: 0.9, 5: 0.99}.get(number, 0.5 - number / 100)
        filler.log(
            run, [{"acc": best + 0.005, "loss": 2.0, "epochs": 1}, {"acc": best, "loss": 1.0, "epochs": 2}]
        )
        filler.end(run, code=1 if number == 5 else 0)
    return f"/local/digits/sweeps/{name}"


def test_a_server_without_runs_says_what_to_do(get, doors):
    reply = get("/")

    assert reply.status == 200
    assert f"export WANDB_BASE_URL=http://127.0.0.1:{doors.port}" in reply.text
    assert "export WANDB_API_KEY=local-0000" in reply.text


def test_the_first_page_lists_projects_the_last_active_one_first(get, filler, filler_of):
    filler.begin("one")
    filler.end("one")
    filler_of("team", "vision").begin("two")

    rows = rows_of(get("/"), "Projects")

    assert [row[:4] for row in rows] == [
        ["Project", "Sweeps", "Runs", "Running"],
        ["team / vision", "0", "1", "1"],
        ["local / digits", "0", "1", "–"],
    ]
    assert len(rows_of(get("/team"), "Projects")) == 2
    assert get("/nobody").status == 404


def test_a_project_shows_its_sweeps_and_runs(get, filler, grid):
    filler.begin("alone", {"depth": 3})

    reply = get("/local/digits")

    sweeps, runs = rows_of(reply, "Sweeps"), rows_of(reply, "Runs")
    assert sweeps[1][1:6] == ["running", "grid", "maximize acc", "0.9", "5 finished, 1 failed"]
    assert runs[0] == ["Run", "State", "Sweep", "Created", "Time", "Epochs", "acc", "loss"]
    assert [row[0] for row in runs[1:]] == ["alone", *(f"trial-{number}" for number in range(6, 0, -1))]
    assert runs[3][1:3] == ["finished", "six points"]
    assert runs[3][4:] == ["2 s", "2", "0.4600", "1"]


def test_runs_of_a_project_are_found_by_what_they_are_told_and_what_they_logged(get, filler, grid):
    filler.begin("alone", {"depth": 3})

    assert [row[0] for row in rows_of(get("/local/digits", q="depth=3"), "Runs")[1:]] == ["alone"]
    assert [row[0] for row in rows_of(get("/local/digits", q="acc>0.7 sort", sort="acc"), "Runs")[1:]] == []
    reply = get("/local/digits", q="acc>0.7", sort="acc", order="asc")
    assert [row[0] for row in rows_of(reply, "Runs")[1:]] == ["trial-2", "trial-6"]
    assert "2 of 7 runs" in reply.text


def test_the_sweep_of_a_run_is_a_link_and_its_epochs_are_those_it_has_made(get, filler):
    sweep = filler.sweep({**GRID, "parameters": {**GRID["parameters"], "epochs": {"value": 30}}})
    run, params = filler.trial()
    filler.begin(run, {**params, "epochs": 30}, sweep=sweep)

    reply = get("/local/digits")

    assert f'<td><a href="/local/digits/sweeps/{sweep}">six points</a></td>' in reply.text
    assert rows_of(reply, "Runs")[1][5] == "–"


def test_counters_and_best_values_are_no_columns_of_their_own(get, filler):
    filler.begin("one")
    filler.log("one", [{"loss": 1.0, "loss/best": 1.0, "row": 3, "iterations": 7, "epochs": 2}])

    assert rows_of(get("/local/digits"), "Runs")[0][5:] == ["Epochs", "loss"]


def test_agents_are_counted_as_long_as_there_is_something_to_do(get, filler, grid):
    under_way = get(grid).text
    filler.sweep({**GRID, "run_cap": 1})
    run, _ = filler.trial()
    filler.end(run)
    filler.nothing_left()

    assert "1 agent at work" in under_way
    assert "at work" not in get(f"/local/digits/sweeps/{filler.name}").text


def test_many_runs_are_shown_a_hundred_at_a_time(get, filler):
    for number in range(101):
        filler.begin(f"run-{number:03}")

    first, second = get("/local/digits", sort="name"), get("/local/digits", sort="name", page="2")

    assert len(rows_of(first, "Runs")) == 101
    assert [row[0] for row in rows_of(second, "Runs")[1:]] == ["run-100"]
    assert 'rel="next" href="?sort=name&amp;page=2"' in first.text


def test_a_sweep_shows_its_trials_the_best_first(get, grid):
    rows = rows_of(get(grid), "Trials")

    assert rows[0] == ["#", "Trial", "State", "lr", "kind", "Epochs", "acc, last", "best", "Time"]
    assert rows[1] == ["6", "trial-6", "failed", "0.0010", "b", "2", "0.9900", "0.9950", "2 s"]
    assert rows[2] == ["2", "trial-2 best", "finished", "0.1000", "b", "2", "0.9000", "0.9050", "2 s"]
    assert [row[0] for row in rows[3:]] == ["1", "3", "4", "5"]


def test_the_best_trial_is_a_finished_one_and_its_values_stand_above(get, grid):
    text = get(grid).text

    best = text.partition('id="best-title">')[2].partition("</section>")[0]
    assert best.startswith("Best trial<")
    assert re.findall(r">([^<>\n]+)</(?:a|b|dt|dd)>", best) == ["trial-2", "0.9", "lr", "0.1", "kind", "b"]
    assert "to maximize <b>acc</b>" in text
    assert f"wandb agent local/digits/{grid.rpartition('/')[2]}" in text
    assert "seed" in text.partition("The same in all trials")[2]


def test_before_a_trial_has_finished_the_best_so_far_is_shown(get, filler):
    name = filler.sweep(GRID)
    run, _ = filler.trial()
    filler.log(run, [{"acc": 0.25}])

    text = get(f"/local/digits/sweeps/{name}").text

    assert "Best so far" in text
    assert ">0.25<" in text


@pytest.mark.parametrize(
    ("query", "trials"),
    [
        ({"sort": "number"}, "123456"),
        ({"sort": "number", "order": "desc"}, "654321"),
        ({"sort": "model.lr", "order": "asc", "q": "state=finished"}, "53412"),
        ({"sort": "number", "q": "lr<0.05 kind=a"}, "35"),
        ({"sort": "number", "least.model.lr": "0.005", "most.model.lr": "0.05"}, "34"),
        ({"sort": "number", "only.kind": "b"}, "246"),
        ({"metric": "loss", "sort": "number"}, "123456"),
    ],
)
def test_an_address_says_which_trials_are_shown_and_in_which_order(get, grid, query, trials):
    rows = rows_of(get(grid, **query), "Trials")

    assert "".join(row[0] for row in rows[1:]) == trials


def test_the_header_says_which_way_the_table_is_sorted(get, grid):
    text = get(grid, sort="model.lr", order="asc").text

    assert re.findall(r'aria-sort="(\w+)"><a href="[^"]*" title="([^"]+)"', text)[3] == (
        "ascending",
        "model.lr",
    )
    assert 'href="?sort=model.lr&amp;order=desc"' in text


def test_what_is_wrong_with_a_filter_is_told_in_place(get, grid):
    reply = get(grid, q="epoch>1")

    form = reply.text.partition('<form id="filter"')[2].partition("</form>")[0]
    fault = unescape(form.partition('id="fault"')[2].partition(">")[2].partition("</p>")[0])
    assert reply.status == 200
    assert fault.startswith("There is no column epoch.\n  at: filter\n  did you mean: epochs\n")
    assert len(rows_of(reply, "Trials")) == 7


def test_another_metric_can_be_chosen_and_what_is_better_of_it(get, grid):
    lower, higher = get(grid, metric="loss", goal="minimize"), get(grid, metric="loss", goal="maximize")

    assert rows_of(lower, "Trials")[1][6:8] == ["1", "1"]
    assert rows_of(higher, "Trials")[1][6:8] == ["1", "2"]
    assert "loss, last" in rows_of(lower, "Trials")[0]


def test_the_charts_get_each_trial_and_where_it_stands_on_each_axis(get, grid):
    found = json.loads(get(f"{grid}/trials.json").body)

    assert [(axis["title"], axis["scale"], axis["categories"]) for axis in found["axes"]] == [
        ("lr", "category", ["0.1", "0.01", "0.001"]),
        ("kind", "category", ["a", "b"]),
        ("acc", "linear", []),
    ]
    assert found["trials"][1]["places"] == [0, 1, 0.9]
    assert found["best"] == found["trials"][1]["run"]
    assert found["trials"][1]["address"] == f"/local/digits/runs/{found['best']}"


def test_curves_come_thinned_and_then_only_those_that_have_grown(get, doors, filler):
    name = filler.sweep()
    runs = [filler.trial() for _ in range(2)]
    for run, params in runs:
        filler.log(run, list(made_up(params, 700, random.Random(1))))

    path = f"/local/digits/sweeps/{name}/curves.json"
    found = json.loads(get(path).body)
    later = json.loads(get(path, since=found["heard"] + 100).body)

    assert found["metric"] == "val.loss"
    assert {run for run, _ in runs} == set(found["curves"])
    x, y = found["curves"][runs[0][0]]
    assert len(x) == len(y) <= 256
    assert (x[0], x[-1]) == (0, 69900)
    assert later["curves"] == {}


def test_values_that_are_no_numbers_leave_pages_and_charts_whole(get, filler):
    name = filler.sweep(
        {"method": "random", "metric": {"name": "loss"}, "parameters": {"x": {"min": 0.0, "max": 1.0}}}
    )
    for loss in (float("nan"), float("inf"), 10**400, "text", {"deep": 1}, None, True):
        run, _ = filler.trial()
        filler.log(run, [{"loss": loss}])
        filler.end(run)

    page, trials, curves = (
        get(f"/local/digits/sweeps/{name}{end}") for end in ("", "/trials.json", "/curves.json")
    )

    assert [page.status, trials.status, curves.status] == [200, 200, 200]
    assert [one["places"][1] for one in json.loads(trials.body)["trials"]] == [
        None,
        None,
        None,
        None,
        None,
        None,
        1.0,
    ]
    assert get("/local/digits").status == 200


def test_a_sweep_that_has_begun_nothing_is_a_page(get, filler):
    name = filler.sweep({"method": "random", "parameters": {"x": {"min": 0, "max": 9}}})

    reply = get(f"/local/digits/sweeps/{name}")

    assert reply.status == 200
    assert "0 trials" in reply.text
    assert json.loads(get(f"/local/digits/sweeps/{name}/trials.json").body)["trials"] == []


def test_a_point_that_was_tried_again_leaves_its_first_run_without_a_number(get, filler):
    filler.sweep({"method": "grid", "metric": {"name": "loss"}, "parameters": {"x": {"values": [1]}}})
    first, _ = filler.trial()
    filler.end(first, code=1)
    second, _ = filler.trial()
    filler.log(second, [{"loss": 1}])
    filler.end(second)

    reply = get(f"/local/digits/sweeps/{filler.name}")

    assert first != second
    assert [row[:3] for row in rows_of(reply, "Trials")[1:]] == [
        ["1", "trial-1 best", "finished"],
        ["–", "trial-1", "failed"],
    ]
    assert "1 earlier try" in reply.text


def test_nothing_that_a_client_says_becomes_part_of_a_page(get, filler_of):
    filler = filler_of("local", 'a "project" & <b>more')
    config = {
        **CONFIG,
        "name": HOSTILE,
        "description": HOSTILE,
        "metric": {"name": HOSTILE, "goal": "minimize"},
    }
    config["parameters"] = {HOSTILE: {"values": [HOSTILE, "b"]}, "x": {"value": HOSTILE}}
    name = filler.sweep(config)
    run, _ = filler.trial()
    filler.begin(run, {HOSTILE: HOSTILE}, displayName=HOSTILE, id=None, tags=[HOSTILE])
    filler.log(run, [{HOSTILE: 1.0}])
    project = f"/local/{quote(filler.project, safe='')}"

    pages = [
        get(address, q=HOSTILE)
        for address in (
            "/",
            project,
            f"{project}/sweeps/{name}",
            f"/local/{quote(HOSTILE.replace('/', ''))}",
            "/x/y/z",
        )
    ]

    assert [page.status for page in pages] == [200, 200, 200, 404, 404]
    for page in pages:
        assert "<script>alert" not in page.text
        assert "<img" not in page.text
        assert "<b>more" not in page.text
    assert "&lt;script&gt;alert(1)" in pages[2].text


def test_names_with_spaces_are_found_as_each_part_of_the_client_writes_them(get, filler_of):
    name = filler_of("my lab", "a project").sweep()

    for address in (
        f"/my%20lab/a%20project/sweeps/{name}",
        f"/my+lab/a+project/sweeps/{name}",
        "/my%20lab/a%20project",
    ):
        assert get(address).status == 200


@pytest.mark.parametrize(
    "rest", ["/workspace", "/sweeps", "/runs", "/overview", "/workspace?nw=nwuserx", "/artifacts/model/m/v0"]
)
def test_other_links_that_the_client_prints_lead_to_the_project(get, filler, rest):
    filler.begin("run")

    reply = get(f"/local/digits{rest}")

    assert (reply.status, reply.headers["location"]) == (302, "/local/digits")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/local/none", "This server has no project none of local."),
        ("/local/digits/sweeps/none", "This server has no sweep none in local/digits."),
        ("/static/none.js", "This server has no file none.js."),
        ("/a/b/c/d", "This server has no page at this address."),
    ],
)
def test_what_is_not_there_is_a_page_for_a_browser(get, filler, path, said):
    filler.begin("run")

    reply = get(path)

    assert reply.status == 404
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert said in reply.text


@pytest.mark.parametrize(
    "path", ["/", "/local/digits", "/static/style.css", "/static/none", "/local/digits/sweeps"]
)
def test_every_answer_allows_nothing_but_files_of_the_package(get, filler, path):
    filler.begin("run")

    headers = get(path).headers

    policy = headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_pages_hold_no_script_and_no_style(get, grid):
    for path in ("/", "/local/digits", grid):
        text = get(path).text

        assert re.findall(r"<script(?![^>]* src=)", text) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=", text) == []
        assert set(re.findall(r'(?:src|href)="(https?:[^"]*)"', text)) == set()


def test_on_loopback_a_page_needs_no_key_but_the_name_of_this_machine(get, filler):
    filler.begin("run")

    for path in ("/", "/local/digits", "/static/style.css", "/nothing/at/all"):
        reply = get(path, {"Host": "evil.example"})

        assert (reply.status, reply.text) == (403, "This server is for its own machine only.")


def test_where_a_key_is_set_a_browser_is_asked_for_it(tmp_path):
    key = "secret-" + "s" * 40
    with opened(tmp_path, api_key=key) as doors:
        for path in ("/", "/static/style.css", "/a/b/c/d"):
            none = doors.ask("GET", path, headers=BROWSER)
            wrong = doors.ask("GET", path, headers={**BROWSER, **authorization("k" * 50)})
            right = doors.ask("GET", path, headers={**BROWSER, **authorization(key), "Host": "my-server"})

            assert (none.status, wrong.status) == (401, 401)
            assert none.headers["www-authenticate"].startswith('Basic realm="JADE')
            assert right.status in (200, 404)
            assert key not in right.text


def test_an_unchanged_page_is_not_sent_again(get, filler, grid):
    for path in (
        "/local/digits",
        grid,
        f"{grid}/trials.json",
        f"{grid}/curves.json",
        "/static/echarts.min.js",
    ):
        version = get(path).headers["etag"]

        again = [get(path, {"If-None-Match": version}) for _ in range(2)]

        assert [(reply.status, reply.body) for reply in again] == [(304, b"")] * 2
        assert "content-security-policy" in again[1].headers


def test_a_page_is_sent_again_once_a_run_has_logged_more(get, filler):
    name = filler.sweep(GRID)
    run, _ = filler.trial()
    filler.log(run, [{"acc": 0.25}])
    paths = [f"/local/digits/sweeps/{name}{end}" for end in ("", "/trials.json", "/curves.json")]
    versions = [get(path).headers["etag"] for path in paths]

    filler.log(run, [{"acc": 0.5}])

    again = [get(path, {"If-None-Match": version}) for path, version in zip(paths, versions, strict=True)]
    assert [reply.status for reply in again] == [200, 200, 200]
    assert "0.5000" in again[0].text


def test_what_is_vendored_is_what_its_list_says():
    static = REPOSITORY / "jade" / "server" / "web" / "static"
    listed = re.findall(
        r"^\| `([\w.]+)` .* `([0-9a-f]{64})` \|$", (static / "VENDORED.md").read_text(), re.MULTILINE
    )

    assert [name for name, _ in listed] == ["echarts.min.js"]
    for name, digest in listed:
        assert hashlib.sha256((static / name).read_bytes()).hexdigest() == digest


def test_pages_are_read_only(doors):
    assert doors.ask("POST", "/local/digits").status == 405
    assert doors.ask("DELETE", "/").status == 405
    assert doors.ask("HEAD", "/").status == 200
