"""The page of a run and what lies beside it, as a browser without scripts gets them."""

import itertools
import json
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from tests.server.doors import opened

NUMBERS = itertools.count()
HISTORY, CONSOLE, SUMMARY = "wandb-history.jsonl", "output.log", "wandb-summary.json"
PUT = """
mutation Put($project: String, $run: String, $name: String) {
  createRunFiles(input: {entityName: "e", projectName: $project, runName: $run, files: [$name]}) { files { uploadUrl } }
}
"""
SWEEP = """
mutation Sweep($config: String!) {
  upsertSweep(input: {config: $config, entityName: "e", projectName: "p"}) { sweep { name } }
}
"""
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    with opened(tmp_path_factory.mktemp("data")) as found:
        yield found


@pytest.fixture
def run(doors):
    """A run of the test's own."""
    return begin(doors)


def begin(doors, config=None, **fields):
    name = f"run{next(NUMBERS)}"
    wrapped = {key: {"value": value} for key, value in (config or {}).items()}
    doors.begin(name, config=json.dumps(wrapped), **fields)
    return name


def log(doors, run, rows, printed=(), summary=None):
    lines = [json.dumps({"_step": number, "_runtime": number, **row}) for number, row in enumerate(rows)]
    last = summary or {key: value for row in rows for key, value in row.items()}
    files = {
        HISTORY: {"offset": 0, "content": lines},
        CONSOLE: {"offset": 0, "content": list(printed)},
        SUMMARY: {"offset": 0, "content": [json.dumps(last)]},
    }
    assert doors.stream(run, {"files": files}).status == 200


def upload(doors, run, name, data):
    reply = doors.graphql(PUT, project="p", run=run, name=name)
    url = reply.data["createRunFiles"]["files"][0]["uploadUrl"]
    assert doors.ask("PUT", "/" + url.partition("//")[2].partition("/")[2], data).status == 200


def get(doors, path, **headers):
    return doors.ask("GET", path, headers={"Accept": "text/html", "Authorization": "", **headers})


def page(doors, run, query=""):
    reply = get(doors, f"/e/p/runs/{quote(run, safe='')}{query}")
    assert reply.status == 200, reply.text
    return Parsed(reply.text)


class Parsed(HTMLParser):
    """A page: its text, the rows of its tables, its links by their texts, and the tags that it uses."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.tags, self.rows, self.links, self.attributes = set(), [], {}, []
        self._row, self._link = None, None
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [name for name, _ in attrs]
        if tag == "tr":
            self._row = []
        if tag in ("td", "th") and self._row is not None:
            self._row.append("")
        if tag == "a":
            self._link = (dict(attrs).get("href", ""), "")

    def handle_endtag(self, tag):
        if tag == "tr":
            self.rows.append([" ".join(cell.split()) for cell in self._row])
            self._row = None
        if tag == "a" and self._link:
            self.links.setdefault(" ".join(self._link[1].split()), self._link[0])
            self._link = None

    def handle_data(self, data):
        self.text += data
        if self._row:
            self._row[-1] += data
        if self._link:
            self._link = (self._link[0], self._link[1] + data)


def swept(doors, values, goal="maximize"):
    """Make a sweep, and runs of it that end with these values of its metric; give their names."""
    config = {
        "method": "random", "program": "train.py", "name": "my sweep", "metric": {"name": "accuracy", "goal": goal},
        "parameters": {"model.params.lr": {"min": 0.0, "max": 1.0}},
    }  # fmt: skip
    sweep = doors.graphql(SWEEP, config=json.dumps(config)).data["upsertSweep"]["sweep"]["name"]
    names = []
    for value in values:
        names.append(
            begin(doors, {"model.params.lr": value / 10}, sweep=sweep, displayName=f"trial of {value}")
        )
        log(doors, names[-1], [{"iterations": 0, "accuracy": 0.0}, {"iterations": 10, "accuracy": value}])
        doors.stream(names[-1], {"complete": True, "exitcode": 0})
    return sweep, names


def test_a_run_tells_what_it_is_and_how_it_stands(doors):
    run = begin(
        doors, displayName="my run", notes="two\nlines", tags=["first", "second"], jobProgram="train.py", commit="c0ffee" * 6
    )  # fmt: skip
    log(doors, run, [{"loss": 2.0}, {"loss": 0.5}, {"loss": 1.0}], summary={"loss": 1.0, "loss/best": 0.5})
    doors.stream(run, {"complete": True, "exitcode": 3})

    shown = page(doors, run)

    assert "<h1>my run</h1>" in shown.html
    assert ["loss", "1", "0.5", "0.5", "2"] in shown.rows
    for text in ("failed", "exit code 3", "two\nlines", "first", "second", "train.py", "c0ffeec0ff", run):
        assert text in shown.text


def test_whatever_a_run_says_is_text_and_never_markup(doors):
    run = begin(
        doors, {HOSTILE: HOSTILE, "model.x": HOSTILE * 5}, displayName=HOSTILE, notes=HOSTILE, tags=[HOSTILE],
        jobProgram=HOSTILE, groupName=HOSTILE, jobType=HOSTILE, commit=HOSTILE,
    )  # fmt: skip
    image = {"_type": "image-file", "path": "media/images/a.png", "caption": HOSTILE}
    log(
        doors, run, [{HOSTILE: 1.0, f"{HOSTILE}/image": image, "text": HOSTILE}],
        [HOSTILE, f"\x1b[31m{HOSTILE}", json.dumps({"content": HOSTILE})],
    )  # fmt: skip
    for name in (f"{HOSTILE.replace('/', '_')}.png", "media/images/a.png"):
        upload(doors, run, name, PNG)

    shown = page(doors, run, f"?q={quote(HOSTILE)}&files={quote(HOSTILE)}&add={quote(HOSTILE)}")

    assert shown.text.count(HOSTILE) > 10
    assert shown.html.count("<script") == 2  # those of the page itself, which are files
    assert not [name for name in shown.attributes if name.startswith("on") or name == "style"]
    assert "<img src=x" not in shown.html


def test_a_page_may_run_the_scripts_of_this_package_only(doors, run):
    headers = get(doors, f"/e/p/runs/{run}").headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_run_that_is_unknown_has_no_page(doors):
    for path in ("/e/p/runs/none", "/e/p/runs/none/curve.json", "/e/none/runs/none", "/e/p/runs/none/file/a"):
        reply = get(doors, path)

        assert (reply.status, "<h1>Nothing here</h1>" in reply.text) == (404, True)


def test_names_with_spaces_and_quotes_have_pages(doors):
    name = f"a 'run' & \"more\", 100% {next(NUMBERS)}"
    doors.begin(name)

    assert f"<h1>{name}</h1>" in unescape(page(doors, name).html)


def test_a_page_that_has_not_changed_is_not_sent_again(doors, run):
    version = get(doors, f"/e/p/runs/{run}").headers["etag"]

    same = get(doors, f"/e/p/runs/{run}", **{"If-None-Match": version})
    log(doors, run, [{"loss": 1.0}])
    other = get(doors, f"/e/p/runs/{run}", **{"If-None-Match": version})

    assert (same.status, same.body) == (304, b"")
    assert (other.status, other.headers["etag"] != version) == (200, True)


def test_the_addresses_of_wb_lead_to_the_same_thing_here(doors, run):
    wanted = {
        "overview": "",
        "logs": "#console",
        "files": "#files",
        "files/media/images": "#files",
        "nonsense": "",
    }

    found = {name: get(doors, f"/e/p/runs/{run}/{name}").headers["location"] for name in wanted}

    assert found == {name: f"/e/p/runs/{run}{place}" for name, place in wanted.items()}


def test_the_config_is_in_groups_and_can_be_searched(doors):
    run = begin(
        doors,
        {
            "model.params.lr": 0.01,
            "data": {"train": {"split": "valid"}},
            "seed": 1,
            "model.layers": list(range(60)),
        },
    )

    whole, found, nothing = (page(doors, run, query).html for query in ("", "?q=LR+0.01", "?q=nonsense"))

    names = re.findall(r'<dt title="([^"]*)"', whole)
    assert names == ["model.layers", "model.params.lr", "data.train.split", "seed"]
    assert re.findall(r"<h3>(\w+)</h3>\n<dl>", whole) == ["model", "data", "run"]
    assert "… (60 items)</summary>" in whole
    assert re.findall(r'<dt title="([^"]*)"', found) == ["model.params.lr"]
    assert "Nothing in the config holds “nonsense”." in nothing


def test_metrics_are_in_the_order_in_which_one_looks_at_them(doors):
    run = begin(doors, {"eval.Accuracy.class": "A", "eval.Parts.class": "B"})
    log(
        doors,
        run,
        [{"iterations": 1, "epochs": 1, "Accuracy": 1.0, "Rec Loss": 2.0, "Parts/Loss": 3.0, "KL": 4.0}],
    )

    shown = page(doors, run)

    assert re.findall(r'data-key="([^"]*)"', shown.html) == ["KL", "Rec Loss", "Accuracy", "Parts/Loss"]


def test_a_last_value_that_is_not_finite_is_not_hidden_by_the_one_before(doors):
    run = begin(doors)
    log(doors, run, [{"loss": 2.0}, {"loss": 1.0}, {"loss": "NaN"}])

    shown = page(doors, run)

    assert ["loss", "NaN", "–", "1", "2"] in shown.rows


@pytest.mark.parametrize(("code", "is_there"), [(0, False), (1, True)])
def test_a_run_that_failed_leads_to_what_it_printed_last(doors, code, is_there):
    run = begin(doors)
    log(doors, run, [{"loss": 2.0}], printed=["ERROR no loss"])
    doors.stream(run, {"complete": True, "exitcode": code})

    assert (page(doors, run).links.get("what it printed last") == "#console") is is_there


def test_more_metrics_than_can_be_drawn_at_once_are_folded(doors, run):
    log(doors, run, [{f"m{number:03}": 1.0 for number in range(120)}])

    shown = page(doors, run)

    assert "<summary>88 more</summary>" in shown.html
    assert shown.html.count("<polyline") == 12
    assert "20 more metrics are not shown." in shown.text


def test_a_trial_tells_its_sweep_its_parameters_and_its_place(doors):
    sweep, names = swept(doors, [3, 1, 2])

    shown = page(doors, names[0])

    assert "best of 3 by accuracy" in " ".join(shown.text.split())
    assert shown.links["Sweep my sweep"] == f"/e/p/sweeps/{sweep}"
    assert "the sweep’s" in shown.text
    assert shown.links["Compare with the worst"] == f"/e/p/runs/{names[0]}?with={names[1]}#curves"
    assert "Compare with the best trial" not in shown.links


@pytest.mark.parametrize(("goal", "best", "worst"), [("maximize", 0, 1), ("minimize", 1, 0)])
def test_the_best_and_the_worst_of_a_sweep_are_by_its_goal(doors, goal, best, worst):
    _, names = swept(doors, [3, 1, 2], goal)

    links = page(doors, names[2]).links

    assert links["Compare with the best trial"] == f"/e/p/runs/{names[2]}?with={names[best]}#curves"
    assert links["Compare with the worst"] == f"/e/p/runs/{names[2]}?with={names[worst]}#curves"


def test_runs_beside_each_other_tell_in_what_they_differ(doors):
    _, names = swept(doors, [3, 1])

    shown = page(doors, names[0], f"?with={names[1]}")

    assert ["", "trial of 3", "trial of 1"] in shown.rows
    assert ["accuracy", "3", "1"] in shown.rows
    assert ["model.params.lr", "0.3", "0.1"] in shown.rows
    assert shown.html.count('class="series-2" points=') == 1
    assert shown.links["×"] == f"/e/p/runs/{names[0]}#curves"


def test_as_many_runs_are_drawn_as_there_are_colors_and_unknown_ones_are_passed_over(doors, run):
    others = [begin(doors) for _ in range(9)]

    shown = page(
        doors, run, f"?with={','.join(others[:5])},none&with={others[5]}&with={','.join(others[6:])},{run}"
    )

    assert re.findall(r'data-run="([^"]*)"', shown.html) == [run, *others[:7]]
    assert "2 more runs are not drawn: there are colors for 8." in shown.text


def test_runs_that_are_ticked_are_compared(doors):
    names = [begin(doors) for _ in range(3)]

    reply = get(doors, "/e/p/compare?" + "&".join(f"run={name}" for name in names))
    none = get(doors, "/e/p/compare")

    assert reply.headers["location"] == f"/e/p/runs/{names[0]}?with={names[1]}&with={names[2]}#curves"
    assert (none.status, "No run is ticked" in none.text) == (404, True)
    assert Parsed(none.text).links["e / p"] == "/e/p"


def test_a_run_is_added_by_its_name(doors, run):
    unique = f"unique name {next(NUMBERS)}"
    other, alike = begin(doors, displayName=unique), [begin(doors, displayName=f"alike {i}") for i in "ab"]

    added = get(doors, f"/e/p/runs/{run}?add={quote(unique[:8])}&with={alike[0]}")
    several = page(doors, run, "?add=alike")
    none = page(doors, run, "?add=nonsense")

    assert (added.status, added.headers["location"]) == (
        303,
        f"/e/p/runs/{run}?with={alike[0]}&with={other}#curves",
    )
    assert several.links["alike a"] == f"/e/p/runs/{run}?with={alike[0]}#curves"
    assert "No run of this project is called “nonsense”." in none.text


def test_runs_are_found_by_a_part_of_their_name(doors, run):
    other = begin(doors, displayName="100%_of it")

    found = json.loads(get(doors, f"/e/p/runs/{run}/runs.json?text=%25_").body)

    assert found == [{"name": other, "shown": "100%_of it"}]


def test_curves_are_sent_of_all_runs_that_are_drawn(doors):
    _, names = swept(doors, [3, 1])

    reply = get(doors, f"/e/p/runs/{names[0]}/curve.json?key=accuracy&key=none&with={names[1]}")

    assert json.loads(reply.body) == {
        "axis": "iterations",
        "curves": {
            "accuracy": {names[0]: {"x": [0, 10], "y": [0, 3]}, names[1]: {"x": [0, 10], "y": [0, 1]}},
            "none": {},
        },
    }


def test_a_range_of_a_curve_is_sent_in_full(doors, run):
    log(doors, run, [{"iterations": i, "loss": i % 7} for i in range(2000)])

    whole = json.loads(get(doors, f"/e/p/runs/{run}/curve.json?key=loss").body)["curves"]["loss"][run]
    part = json.loads(get(doors, f"/e/p/runs/{run}/curve.json?key=loss&from=500&to=520").body)["curves"][
        "loss"
    ][run]

    assert len(whole["x"]) <= 256
    assert part == {"x": list(range(500, 521)), "y": [i % 7 for i in range(500, 521)]}


@pytest.mark.parametrize("query", ["from=nan&to=1", "from=x&to=1", "from=1", "from=-inf&to=inf", ""])
def test_what_is_no_range_is_the_whole_curve(doors, run, query):
    log(doors, run, [{"loss": 1.0}, {"loss": 2.0}])

    reply = get(doors, f"/e/p/runs/{run}/curve.json?key=loss&{query}")

    assert json.loads(reply.body)["curves"]["loss"][run] == {"x": [0, 1], "y": [1, 2]}


def test_an_axis_that_is_none_is_refused(doors, run):
    reply = get(doors, f"/e/p/runs/{run}/curve.json?axis=moons")

    assert (reply.status, reply.text) == (400, "Curves are drawn over iterations, epochs, time, not 'moons'.")


def test_images_are_shown_by_key_and_step_once_they_are_uploaded(doors, run):
    one = {"_type": "image-file", "path": "media/images/one.png"}
    two = {
        "_type": "images/separated",
        "filenames": ["media/images/a.png", "media/images/b.png"],
        "captions": ["A", "B"],
    }
    log(
        doors,
        run,
        [{"iterations": 0, "x": one}, {"iterations": 5, "x": two}, {"iterations": 9, "deep": {"y": one}}],
    )

    before = json.loads(get(doors, f"/e/p/runs/{run}/images.json").body)
    for name in ("one", "a", "b"):
        upload(doors, run, f"media/images/{name}.png", PNG)

    steps = {
        shown["key"]: shown["steps"] for shown in json.loads(get(doors, f"/e/p/runs/{run}/images.json").body)
    }
    last, earlier = page(doors, run), page(doors, run, "?at=4")

    assert before == []
    assert [(step["at"], len(step["images"])) for step in steps["x"]] == [(0, 1), (5, 2)]
    assert steps["x"][1]["images"][1] == {"src": f"/e/p/runs/{run}/image/media/images/b.png", "caption": "B"}
    assert [step["at"] for step in steps["deep.y"]] == [9]
    assert 'alt="x at iteration 5, image 2 of 2: B"' in last.html
    assert 'alt="x at iteration 0"' in earlier.html


@pytest.mark.parametrize(
    "value",
    [{"_type": "image-file"}, {"_type": "image-file", "path": 7}, {"_type": "images/separated", "filenames": "x"},
     {"_type": "images/separated", "filenames": [None, {}], "captions": 3}, {"_type": ["image-file"]}],
)  # fmt: skip
def test_a_broken_image_is_none(doors, run, value):
    log(doors, run, [{"x": value, "note": '"image-file"'}])

    assert get(doors, f"/e/p/runs/{run}/images.json").body == b"[]"
    assert page(doors, run).text


def test_checkpoints_are_the_first_of_the_files_and_say_what_they_are(doors, run):
    for name in (
        "z.txt",
        "checkpoint_90.pt",
        "checkpoint_1000.pt",
        "model.pt",
        "media/images/a.png",
        "code/a.py",
    ):
        upload(doors, run, name, b"1234")

    shown = page(doors, run)
    found = page(doors, run, "?files=IMAGES")

    rows = [row[0] for row in shown.rows if row[1:2] == ["4 B"]]
    assert rows == [
        "model.pt newest backup", "checkpoint_1000.pt checkpoint at iteration 1000", "checkpoint_90.pt checkpoint at iteration 90",
        "z.txt", "code/a.py", "media/images/a.png show",
    ]  # fmt: skip
    assert shown.links["Download model.pt 4 B"] == f"/e/p/runs/{run}/file/model.pt"
    assert [row[0] for row in found.rows if row[1:2] == ["4 B"]] == [*rows[:3], rows[-1]]


def test_a_file_is_downloaded_under_its_name_and_never_shown(doors, run):
    upload(doors, run, "folder/a 'file' é.html", b"<script>alert(1)</script>")

    reply = get(doors, f"/e/p/runs/{run}/file/{quote('folder/a ' + chr(39) + 'file' + chr(39) + ' é.html')}")

    assert (reply.status, reply.body) == (200, b"<script>alert(1)</script>")
    assert reply.headers["content-disposition"] == "attachment; filename*=utf-8''a%20%27file%27%20%C3%A9.html"
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_an_image_is_shown_and_no_other_file(doors, run):
    for name in ("a.png", "b.svg", "c.html"):
        upload(doors, run, name, PNG)

    replies = [
        get(doors, f"/e/p/runs/{run}/image/{name}") for name in ("a.png", "b.svg", "c.html", "none.png")
    ]

    assert [reply.status for reply in replies] == [200, 404, 404, 404]
    assert (replies[0].headers["content-type"], replies[0].body) == ("image/png", PNG)
    assert replies[0].headers["content-security-policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize(
    "name", ["../../server.sqlite", "%2e%2e/%2e%2e/server.sqlite", "/etc/passwd", "none", ""]
)
def test_what_is_no_file_of_the_run_is_not_found(doors, run, name):
    assert get(doors, f"/e/p/runs/{run}/file/{name}").status == 404


def test_the_last_lines_that_were_printed_are_shown_and_all_can_be_downloaded(doors):
    run = begin(doors, displayName="a/run: 1")
    lines = [f"2026-11-22T00:36:41.5 line {number} \x1b[31mred\x1b[0m" for number in range(1200)]
    log(doors, run, [], lines)

    shown = page(doors, run)
    whole = get(doors, f"/e/p/runs/{run}/log.txt")

    assert "The last 1000 of 1200 lines." in shown.text
    assert ("line 199 " in shown.text, "line 200 " in shown.text) == (False, True)
    assert '<span class="ansi-red">red</span>' in shown.html
    assert whole.text.splitlines() == [f"line {number} red" for number in range(1200)]
    assert whole.headers["content-disposition"] == 'attachment; filename="a-run-1.log"'


def test_a_run_that_has_said_nothing_has_a_page(doors, run):
    shown = page(doors, run)

    for text in (
        "No numbers have been logged yet.",
        "No files have been uploaded yet.",
        "Nothing has been printed yet.",
    ):
        assert text in shown.text
    assert "The config is empty." in shown.text


def test_a_host_of_another_name_reads_nothing(doors, run):
    upload(doors, run, "model.pt", b"secret")

    for path in ("", "/curve.json", "/file/model.pt", "/log.txt", "/images.json"):
        assert get(doors, f"/e/p/runs/{run}{path}", Host="evil.example").status == 403


def test_where_a_key_is_set_a_browser_is_asked_for_it(tmp_path):
    with opened(tmp_path, api_key="k" * 40) as locked:
        run = begin(locked)
        upload(locked, run, "model.pt", b"secret")

        closed = [get(locked, f"/e/p/runs/{run}{path}") for path in ("", "/file/model.pt", "/curve.json")]
        open_one = locked.ask("GET", f"/e/p/runs/{run}/file/model.pt")

    assert [(reply.status, "www-authenticate" in reply.headers) for reply in closed] == [(401, True)] * 3
    assert (open_one.status, open_one.body) == (200, b"secret")
