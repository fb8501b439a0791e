"""The page of a run as somebody uses it: zoom, smooth, compare, search, step through images, download, wait."""

import http.client
import io
import itertools
import math
import re
from contextlib import closing, contextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

pytest.importorskip("playwright", reason="pip install '.[dev]' installs playwright")
from playwright.sync_api import expect

from tests.server.browser.conftest import is_wider_than_the_window, shot
from tests.server.filling import Filler

NUMBERS = itertools.count()
PUT = """
mutation Put($entity: String, $project: String, $run: String, $name: String) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: [$name]}) { files { uploadUrl } }
}
"""
SWEEP = {
    "method": "random", "program": "train.py", "name": "learning rates", "metric": {"name": "TestAccuracy", "goal": "maximize"},
    "parameters": {"model.params.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1.0}},
}  # fmt: skip
HOSTILE = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title='taken over'\">"
MODEL = bytes(range(256)) * 500


def upload(filler, run, name, data):
    made = filler._graphql(PUT, entity=filler.entity, project=filler.project, run=run, name=name)
    address = urlsplit(made["createRunFiles"]["files"][0]["uploadUrl"])
    connection = http.client.HTTPConnection(address.netloc)
    connection.request("PUT", address.path, data)
    assert connection.getresponse().status == 200
    connection.close()


def picture(shade):
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (60, 40), (shade, 120, 255 - shade)).save(file, "PNG")
    return file.getvalue()


def training(lr, rows=40):
    """Rows like those of JADE: losses of iterations, evaluations of epochs."""
    speed = 6 * math.exp(-((math.log10(lr) + 2) ** 2))
    for row in range(rows):
        done = row / (rows - 1)
        loss = 2.3 * math.exp(-speed * done) + 0.05 * math.sin(row * 1.7)
        yield {
            "iterations": 10 * row, "epochs": row // 4, "Cross Entropy": loss, "KL Divergence": 20 * done * speed,
            "TestAccuracy": 1 - loss / 2.5, "TrainAccuracy": 1 - loss / 2.6,
        }  # fmt: skip


@contextmanager
def filling(server):
    filler = Filler(urlsplit(server.url).port, project="runs in a browser")
    with closing(filler):
        yield filler


@pytest.fixture
def filler(server):
    with filling(server) as found:
        yield found


@pytest.fixture(scope="module")
def sweep(server):
    """A sweep of six trials, the best of which has all that a run can have."""
    with filling(server) as filler:
        return filled(server, filler)


def filled(server, filler):
    name = filler.sweep(SWEEP)
    trials = []
    for lr in (0.01, 1e-4, 0.8, 0.03, 0.1, 0.001):
        run, _ = filler.trial()
        config = {
            "model.class": "VIBTrainer", "model.params.lr": lr, "model.params.layers": [256, 128], "data.test.class": "Digits",
            "eval.TestAccuracy.class": "AccuracyEvaluation", "eval.TrainAccuracy.class": "AccuracyEvaluation", "seed": 42,
            "text": HOSTILE,
        }  # fmt: skip
        filler.begin(run, config, sweep=name, notes=HOSTILE if lr == 0.01 else "")
        rows = list(training(lr))
        if lr == 0.01:
            for step, row in enumerate(rows[::8]):
                row["Reconstructions"] = {
                    "_type": "images/separated", "format": "png", "count": 2, "captions": ["first", HOSTILE],
                    "filenames": [f"media/images/{step}_{one}.png" for one in "ab"],
                }  # fmt: skip
                for number, one in enumerate("ab"):
                    upload(filler, run, f"media/images/{step}_{one}.png", picture(50 * step + 20 * number))
        filler.log(run, rows)
        upload(filler, run, "model.pt", MODEL + str(lr).encode())
        upload(filler, run, "checkpoint_200.pt", MODEL)
        upload(filler, run, "config.yml", b"epochs: 10\n")
        lines = [
            f"2026-11-22T00:36:41.587851 \x1b[32mepoch {number}/10\x1b[0m  loss {1 / number:.3f}"
            for number in range(1, 11)
        ]
        filler._stream(
            run,
            files={
                "output.log": {"offset": 0, "content": [*lines, f"ERROR 2026-11-22T00:36:42.0 {HOSTILE}"]}
            },
        )
        filler.end(run)
        trials.append(run)
    return SimpleNamespace(
        name=name, best=trials[0], worst=trials[1],
        address=f"{server.url}/local/runs%20in%20a%20browser/sweeps/{name}",
        of_best=f"{server.url}/local/runs%20in%20a%20browser/runs/{trials[0]}",
    )  # fmt: skip


@pytest.fixture
def page(tab, sweep):
    """The page of the best trial, its charts drawn."""
    tab.goto(sweep.of_best)
    chart(tab, "TestAccuracy")
    return tab


def chart(tab, key):
    """Give a chart, once it is drawn."""
    found = tab.locator(f'.run-panel[data-key="{key}"] .run-chart[role=img][aria-label^="Chart of"]')
    found.wait_for()
    return found


def shown_range(found):
    """Give the ends of the x axis, as the chart tells them."""
    ends = re.search(r" from (\S+) to ([\d.]+)", found.get_attribute("aria-label"))
    return float(ends[1]), float(ends[2])


def until(found, words):
    """Wait until a chart tells some words of itself."""
    expect(found).to_have_attribute("aria-label", re.compile(re.escape(words)), timeout=15_000)


def until_zoomed(found):
    """Wait until a chart shows a part; give the ends of its x axis."""
    expect(found).not_to_have_attribute("aria-label", re.compile("from 0 to 390"), timeout=15_000)
    return shown_range(found)


def drag(tab, found, begin, end):
    found.scroll_into_view_if_needed()
    box = found.bounding_box()
    left, right = box["x"] + 58, box["x"] + box["width"] - 16
    height = box["y"] + box["height"] / 2
    tab.mouse.move(left + begin * (right - left), height)
    tab.mouse.down()
    tab.mouse.move(left + end * (right - left), height, steps=4)
    tab.mouse.up()


def test_from_the_sweep_to_the_best_trial_beside_the_worst_to_its_checkpoint(tab, sweep):
    tab.goto(sweep.address)

    tab.get_by_role("link", name="trial-1", exact=True).first.click()
    tab.get_by_role("link", name="Compare with the worst").click()
    drawn = chart(tab, "TestAccuracy")
    until(drawn, "trial-1, trial-2")
    with tab.expect_download() as download:
        tab.get_by_role("link", name="Download model.pt").click()

    assert "best of 6 by TestAccuracy" in tab.locator("#head").inner_text()
    assert tab.locator(".run-params").inner_text().split()[0] == "lr"
    assert tab.locator(".run-legend").inner_text().split() == ["trial-1", "trial-2", "×"]
    assert ["model.params.lr", "0.01", "0.0001"] in [
        row.inner_text().split() for row in tab.locator(".run-differences tr").all()
    ]
    assert download.value.suggested_filename == "model.pt"
    assert download.value.path().read_bytes() == MODEL + b"0.01"
    shot(tab, "run-beside-the-worst")


def test_trials_that_are_ticked_in_the_sweep_are_drawn_together(tab, sweep):
    tab.goto(sweep.address)

    for name in ("trial-2", "trial-3", "trial-5"):
        tab.get_by_label(f"Compare {name}", exact=True).check()
    tab.get_by_label("Filter").fill("lr<1")
    expect(tab.locator("thead a").first).to_have_attribute("href", re.compile("q=lr"))
    tab.get_by_role("button", name="Compare the ticked trials").click()

    until(chart(tab, "TestAccuracy"), "trial-5, trial-3, trial-2")


def test_a_chart_is_zoomed_by_dragging_and_shown_whole_again(page):
    found = chart(page, "Cross Entropy")
    whole = shown_range(found)

    drag(page, found, 0.25, 0.5)
    near = until_zoomed(found)
    shot(page, "run-zoomed")
    found.dblclick()
    until(found, "from 0 to 390")

    assert (whole, near) == ((0, 390), (pytest.approx(97.5, abs=2), pytest.approx(195, abs=2)))


def test_a_chart_is_zoomed_with_keys_buttons_and_the_wheel(page):
    found = chart(page, "Cross Entropy")

    found.focus()
    page.keyboard.press("+")
    until(found, "from 78 to 312")
    page.keyboard.press("ArrowRight")
    until(found, "from 124.8 to 358.8")
    page.keyboard.press("0")
    until(found, "from 0 to 390")
    page.get_by_role("button", name="Zoom in on Cross Entropy").click()
    until(found, "from 78 to 312")
    page.get_by_role("button", name="All of Cross Entropy").click()
    until(found, "from 0 to 390")
    found.focus()
    found.hover()
    page.mouse.wheel(0, -100)

    low, high = until_zoomed(found)
    assert 0 < low < 195 < high < 390


def test_a_wheel_that_passes_by_scrolls_the_page(page):
    found = chart(page, "Cross Entropy")
    found.hover()

    page.mouse.wheel(0, 300)
    page.wait_for_function("scrollY > 0")

    assert shown_range(found) == (0, 390)


def test_curves_are_smoothed_and_drawn_on_a_logarithmic_axis(page):
    found, accuracy = chart(page, "Cross Entropy"), chart(page, "TestAccuracy")

    page.get_by_label("Smoothing").fill("0.8")
    until(found, "smoothed by 0.8")
    page.get_by_label("logarithmic").check()
    until(found, ", logarithmic, smoothed")
    shot(page, "run-smoothed-logarithmic")

    note = page.locator('.run-panel[data-key="KL Divergence"] .run-note')
    assert note.inner_text() == "1 point is not above 0, and not on the logarithmic axis."
    assert ", logarithmic" in accuracy.get_attribute("aria-label")


def test_what_is_chosen_for_the_charts_stays_when_a_run_is_added(page):
    page.get_by_label("Smoothing").fill("0.5")
    page.get_by_role("combobox", name="over").select_option("epochs")
    until(chart(page, "Cross Entropy"), "over epochs from 0 to 9, smoothed by 0.5")

    page.get_by_role("link", name="+ worst of the sweep").click()

    until(chart(page, "Cross Entropy"), "over epochs from 0 to 9, smoothed by 0.5: trial-1, trial-2")


def test_the_pointer_tells_the_values_of_all_runs(tab, sweep):
    tab.goto(f"{sweep.of_best}?with={sweep.worst}")
    found = chart(tab, "TestAccuracy")
    until(found, "trial-1, trial-2")

    found.hover()
    tip = found.locator(".chart-tip")
    tip.wait_for()

    lines = tip.inner_text().split("\n")
    assert (lines[0][:11], lines[1], lines[3]) == ("iterations ", "trial-1", "trial-2")
    assert float(lines[2]) > float(lines[4])


def test_another_run_is_found_by_its_name_and_taken_away_again(page):
    page.get_by_label("Name of a run to draw as well").fill("trial-3")
    page.locator("#run-names option").first.wait_for(state="attached")
    page.get_by_role("button", name="Add").click()
    until(chart(page, "TestAccuracy"), "trial-1, trial-3")

    page.get_by_role("link", name="Take trial-3 away").click()
    until(chart(page, "TestAccuracy"), ": trial-1;")

    assert page.locator(".run-legend li").count() == 1


def test_a_spike_between_the_points_that_are_kept_is_seen(tab, server, filler):
    run = f"spike{next(NUMBERS)}"
    filler.begin(run)
    filler.log(run, [{"iterations": i, "loss": 50.0 if i == 4321 else 1.0} for i in range(6000)])

    tab.goto(f"{server.url}/local/runs%20in%20a%20browser/runs/{run}")
    found = chart(tab, "loss")
    until(found, "values from 1 to 50")
    drag(tab, found, 0.2, 0.4)
    until(found, "values from 1 to 1.")

    assert shown_range(found)[1] < 2500


def test_the_config_is_searched_as_one_types(page):
    box = page.get_by_label("Search in the config")

    box.press_sequentially("LR 0.0")
    found = [entry.inner_text().split() for entry in page.locator("#config-entries dl > div:visible").all()]
    count = page.locator('[data-counts="#config-entries"]').inner_text()
    heading = page.locator("#config-entries h3:visible").bounding_box()
    entry = page.locator("#config-entries dl > div:visible").bounding_box()
    box.fill("")

    assert (heading["x"], heading["y"] < entry["y"]) == (entry["x"], True)
    assert (found, count) == ([["params.lr", "swept", "0.01"]], "1 found")
    assert page.locator("#config-entries dl > div:visible").count() == 8


def test_images_are_stepped_through_with_keys_and_by_number(page):
    section = page.locator('.run-images[data-key="Reconstructions"]')
    slider = section.get_by_label("Step of Reconstructions")
    slider.wait_for()
    sources = [slider.get_attribute("aria-valuetext")]

    slider.focus()
    page.keyboard.press("ArrowLeft")
    sources.append(slider.get_attribute("aria-valuetext"))
    page.keyboard.press("Home")
    sources.append(slider.get_attribute("aria-valuetext"))
    section.get_by_label("iteration").fill("170")
    page.keyboard.press("Tab")
    sources.append(slider.get_attribute("aria-valuetext"))

    assert sources == ["iteration 320", "iteration 240", "iteration 0", "iteration 160"]
    pictures = section.locator("img").all()
    assert [one.get_attribute("alt") for one in pictures] == [
        "Reconstructions at iteration 160, image 1 of 2: first",
        f"Reconstructions at iteration 160, image 2 of 2: {HOSTILE}",
    ]
    assert pictures[0].evaluate("image => image.decode().then(() => image.naturalWidth)") == 60
    assert pictures[0].get_attribute("src").endswith("/image/media/images/2_a.png")


def test_files_are_searched_and_downloaded_as_they_were_uploaded(page):
    page.get_by_label("Search in the names of files").fill("checkpoint")
    rows = page.locator("#file-list tbody tr:visible")
    with page.expect_download() as download:
        rows.get_by_role("link", name="checkpoint_200.pt").click()

    assert [row.split()[0] for row in rows.all_inner_texts()] == ["checkpoint_200.pt"]
    assert download.value.path().read_bytes() == MODEL


def test_what_a_run_says_is_text(page):
    printed = page.locator(".run-console").inner_text()

    assert HOSTILE in printed
    assert "epoch 10/10 loss 0.100" in " ".join(printed.split())
    assert page.locator(".run-console .ansi-green").count() == 10
    assert HOSTILE in page.locator(".run-notes").inner_text()
    assert page.title() == "trial-1 – JADE"


def test_a_run_that_runs_is_followed_in_place(tab, server, filler):
    run = f"live{next(NUMBERS)}"
    filler.begin(run)
    rows = list(training(0.01))
    filler.log(run, rows[:20])
    filler._stream(run, files={"output.log": {"offset": 0, "content": ["first line"]}})
    tab.goto(f"{server.url}/local/runs%20in%20a%20browser/runs/{run}")
    found = chart(tab, "Cross Entropy")
    drag(tab, found, 0.0, 0.5)
    expect(found).not_to_have_attribute("aria-label", re.compile("from 0 to 190"))
    before = shown_range(found)
    tab.evaluate("window.isTheSamePage = true")

    filler.log(run, rows[20:])
    filler._stream(run, files={"output.log": {"offset": 1, "content": ["second line"]}})
    upload(filler, run, "model.pt", MODEL)
    tab.get_by_text("second line").wait_for()
    tab.get_by_role("link", name="Download model.pt").wait_for()
    zoomed = shown_range(found)
    found.dblclick()
    until(found, "from 0 to 390")
    filler.end(run)
    tab.locator("#head .state-finished").wait_for()

    assert zoomed == before
    assert tab.evaluate("window.isTheSamePage")


@pytest.mark.parametrize(
    ("name", "width", "scheme"), [("light", 1280, "light"), ("dark", 1280, "dark"), ("narrow", 390, "dark")]
)
def test_the_page_fits_windows_light_and_dark(tab_of, sweep, name, width, scheme):
    tab = tab_of(viewport={"width": width, "height": 900}, color_scheme=scheme)

    tab.goto(f"{sweep.of_best}?with={sweep.worst}")
    until(chart(tab, "TestAccuracy"), "trial-1, trial-2")
    tab.locator(".run-images input[type=range]").wait_for()

    assert not is_wider_than_the_window(tab)
    shot(tab, f"run-{name}")


def test_the_colors_follow_the_system(page):
    line = chart(page, "Cross Entropy")

    def colors():
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return line.locator("canvas").evaluate("canvas => canvas.toDataURL()")

    light = colors()
    page.emulate_media(color_scheme="dark")

    assert colors() != light


def test_the_page_is_complete_without_scripts(tab_of, sweep):
    tab = tab_of(java_script_enabled=False)
    tab.goto(sweep.of_best)

    pictures = tab.locator(".run-chart svg").count()
    tab.get_by_label("Search in the config").fill("lr")
    tab.get_by_role("button", name="Search").first.click()

    assert pictures == 4
    assert [name.get_attribute("title") for name in tab.locator("#config-entries dt").all()] == [
        "model.params.lr"
    ]
    assert tab.get_by_label("Smoothing").count() == 0 or not tab.get_by_label("Smoothing").is_visible()
    shot(tab, "run-without-scripts")


def computed(page, expression):
    """Give what an expression over the module of points is."""
    return page.evaluate(f"import('/static/points.js').then((points) => {expression})")


def test_smoothing_is_debiased_as_tensorboard_does_it(page):
    values = [1.0, 3.0, 2.0, 8.0]
    wanted, mean = [], 0.0
    for number, value in enumerate(values, 1):
        mean = 0.6 * mean + 0.4 * value
        wanted.append(mean / (1 - 0.6**number))

    assert computed(page, f"points.smoothed({values}, 0.6)") == pytest.approx(wanted)
    assert computed(page, f"points.smoothed({values}, 0)") == values


def test_a_line_is_cut_at_the_edges_of_a_range(page):
    cut = computed(page, "points.visible([0, 10, 20, 30], [0, 1, 2, 3], [5, 25], false)")
    between = computed(page, "points.visible([0, 10], [0, 1], [4, 6], false)")
    logarithmic = computed(page, "points.visible([0, 10, 20], [1, 0, 100], [5, 15], true)")

    assert cut == {"points": [[5, 0.5], [10, 1], [20, 2], [25, 2.5]], "inside": [[10, 1], [20, 2]], "left": 0}
    assert between == {"points": [[4, 0.4], [6, 0.6]], "inside": [], "left": 0}
    assert logarithmic["points"] == [[5, pytest.approx(10**0.5)], [15, pytest.approx(10**1.5)]]
    assert (logarithmic["inside"], logarithmic["left"]) == ([], 1)


def test_points_that_were_read_in_full_take_the_place_of_the_others(page):
    found = computed(page, "points.refined({x: [0, 10, 20], y: [0, 1, 2]}, {x: [9, 10, 11], y: [5, 6, 7]})")

    assert found == {"x": [0, 9, 10, 11, 20], "y": [0, 5, 6, 7, 2]}


@pytest.mark.parametrize(
    ("number", "text"),
    [("0.1 + 0.2", "0.3"), ("12345.678", "12350"), ("1e-7", "1e-7"), ("1.234e9", "1.23e9"), ("0", "0"), ("-3", "-3"), ("NaN", "NaN")],
)  # fmt: skip
def test_numbers_are_short(page, number, text):
    assert computed(page, f"points.shown({number})") == text
