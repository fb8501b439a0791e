"""The page of a sweep in a browser: read, sorted, filtered, brushed, watched while it grows."""

import json
import re

import pytest

pytest.importorskip("playwright", reason="pip install '.[dev]' installs playwright")
from playwright.sync_api import expect

from tests.server.browser.conftest import is_wider_than_the_window, shot
from tests.server.conftest import wait_until
from tests.server.filling import CONFIG, Filler

LEFT, RIGHT, TOP = 64, 76, 52  # of the axes within the chart


@pytest.fixture
def filler(server, request):
    """What fills a project of the test's own."""
    found = Filler(server.port, project=re.sub(r"\W+", "-", request.node.name)[-60:])
    yield found
    found.close()


@pytest.fixture
def open_page(tab_of, server):
    """Open an address of the server."""

    def show(address, width=1280, height=900, **options):
        tab = tab_of(viewport={"width": width, "height": height}, **options)
        tab.goto(server.url + address)
        return tab

    return show


def address_of(filler, name=None):
    return f"/local/{filler.project}/sweeps/{name or filler.name}"


def drawn(page):
    """Wait until the charts are there."""
    page.wait_for_selector("#curves[aria-label] canvas")
    return page


def found(page, text):
    """Wait until the page says how many trials are found."""
    expect(page.locator("#found")).to_have_text(text)


def numbers(page):
    return [int(text) for text in page.locator("#table tbody tr td:first-child").all_inner_texts()]


def cells(page, column):
    place = page.locator("#table thead th").all_inner_texts().index(column)
    return [row.split("\t")[place].strip() for row in page.locator("#table tbody tr").all_inner_texts()]


def brush(page, axis, axes, start, end):
    """Drag along an axis, between two shares of its height, from above."""
    box = page.locator("#parallel").bounding_box()
    x = box["x"] + LEFT + (box["width"] - LEFT - RIGHT) * axis / (axes - 1)
    height = box["height"] - TOP - 22
    page.mouse.move(x, box["y"] + TOP + height * start)
    page.mouse.down()
    page.mouse.move(x, box["y"] + TOP + height * (start + end) / 2, steps=4)
    page.mouse.move(x, box["y"] + TOP + height * end, steps=4)
    page.mouse.up()


@pytest.fixture
def filled(filler):
    """A sweep of thirty trials."""
    filler.sweep()
    filler.fill(30)
    return filler


def test_the_best_trial_and_its_values_are_read_at_a_glance(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    best = page.get_by_role("region", name="Best trial")
    name = best.get_by_role("link").inner_text()
    first = page.locator("#table tbody tr.marked")
    assert first.locator("th").inner_text().split() == [name, "best"]
    assert best.locator("dt").all_inner_texts() == ["lr", "beta", "width", "activation", "augment"]
    best.get_by_role("link").click()
    page.wait_for_url(re.compile("/runs/"))


def test_clicking_a_header_sorts_and_again_turns_around(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    page.get_by_role("link", name="#", exact=True).click()
    page.wait_for_selector("th[aria-sort=ascending] >> text=#")
    assert numbers(page) == list(range(1, 31))

    page.get_by_role("link", name="#", exact=True).click()
    page.wait_for_selector("th[aria-sort=descending] >> text=#")
    assert numbers(page) == list(range(30, 0, -1))
    assert "sort=number&order=desc" in page.url

    page.go_back()
    page.wait_for_selector("th[aria-sort=ascending] >> text=#")


def test_a_filter_that_is_typed_leaves_rows_out(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    page.get_by_label("Filter").fill("state=failed")
    found(page, "3 of 30 trials")
    assert all("failed" in cell for cell in cells(page, "State"))

    page.get_by_label("Filter").fill("stat=failed")
    page.wait_for_selector("[role=alert] >> text=did you mean: state")

    page.get_by_role("link", name="Clear").click()
    found(page, "30 trials")
    assert page.get_by_label("Filter").input_value() == ""


def test_brushing_an_axis_leaves_rows_out_and_fills_the_fields(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    brush(page, axis=0, axes=6, start=0.3, end=0.7)
    page.wait_for_url(re.compile(r"least\.model\.params\.lr="))
    expect(page.locator("#found")).to_contain_text(" of 30 trials")

    page.get_by_text("Ranges of parameters").click()
    fields = page.get_by_role("group", name="lr")
    least, most = (float(fields.get_by_label(label).input_value()) for label in ("from", "to"))
    assert 1e-4 < least < most < 1e-1
    values = [float(cell) for cell in cells(page, "lr")]
    assert values
    assert all(least <= value * 1.001 and value * 0.999 <= most for value in values)
    shot(page, "sweep-30-brushed")


def test_brushing_an_axis_of_categories_chooses_among_them(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    brush(page, axis=3, axes=6, start=0.02, end=0.3)
    page.wait_for_url(re.compile(r"only\.model\.params\.activation=gelu$"))
    expect(page.locator("#found")).to_contain_text(" of 30 trials")

    assert set(cells(page, "activation")) == {"gelu"}


def test_the_fields_choose_without_a_mouse_and_the_axis_shows_it(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    page.get_by_text("Ranges of parameters").focus()
    page.keyboard.press("Enter")
    page.get_by_role("group", name="beta").get_by_label("from").focus()
    page.keyboard.type("0.5")
    page.get_by_label("relu").focus()
    page.keyboard.press("Space")
    page.wait_for_url(re.compile("least.model.params.beta=0.5&only.model.params.activation=relu"))
    expect(page.locator("#found")).to_contain_text(" of 30 trials")

    assert set(cells(page, "activation")) == {"relu"}
    assert all(float(cell) >= 0.5 for cell in cells(page, "beta"))


def test_another_metric_changes_table_and_charts(open_page, filled):
    page = drawn(open_page(address_of(filled)))
    assert page.locator("#curves-title").inner_text() == "val.loss over time"

    page.get_by_role("combobox", name="Metric").select_option("val.accuracy")
    page.get_by_role("combobox", name="Better is").select_option("higher")
    page.wait_for_selector("#curves-title >> text=val.accuracy over time")
    page.wait_for_selector("thead >> text=val.accuracy, last")

    assert "metric=val.accuracy&goal=maximize" in page.url
    values = [float(cell) for cell in cells(page, "val.accuracy, last")]
    assert values == sorted(values, reverse=True)


def test_new_rows_and_trials_arrive_by_themselves(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    run, _ = filled.trial()
    filled.log(run, [{"val.loss": 0.0001, "epochs": 0, "iterations": 0}])
    found(page, "31 trials")
    page.wait_for_selector("#table tbody tr:first-child >> text=running")

    filled.end(run)
    page.wait_for_selector("#table tbody tr.marked >> text=trial-31")
    assert page.get_by_role("region", name="Best trial").get_by_role("link").inner_text() == "trial-31"


def test_a_curve_under_the_pointer_is_named_with_its_row(open_page, filler):
    filler.sweep()
    filler.fill(1)
    page = drawn(open_page(address_of(filler), height=1600))

    box = page.locator("#curves").bounding_box()
    for share in range(5, 95):  # somewhere on the way down is the curve
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] * share / 100)
        if page.locator("#readout").inner_text():
            break

    assert page.locator("#readout").inner_text().startswith("trial-1 · lr ")
    assert page.locator("#table tr.pointed").count() == 1
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url(re.compile("/runs/"))


def test_the_page_is_whole_without_a_script(open_page, filled):
    page = open_page(address_of(filled), java_script_enabled=False)

    assert not page.locator("#charts").is_visible()
    page.get_by_role("link", name="#", exact=True).click()
    assert numbers(page) == list(range(1, 31))
    page.get_by_label("Filter").fill("state=failed")
    page.get_by_role("button", name="Apply").click()
    assert page.locator("#found").inner_text() == "3 of 30 trials"
    assert numbers(page) == [8, 18, 28]
    shot(page, "sweep-without-script")


def test_charts_have_a_text_and_everything_a_name(open_page, filled):
    page = drawn(open_page(address_of(filled)))

    charts = page.get_by_role("img").all()
    names = [chart.get_attribute("aria-label") for chart in charts]
    assert names[0].startswith(
        "Parallel coordinates of 30 trials over lr, beta, width, activation, augment, val.loss."
    )
    assert names[1].startswith("val.loss over time of 30 trials.")
    unnamed = page.evaluate(
        """[...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary")]
        .filter((one) => !(one.textContent.trim() || one.labels?.length || one.ariaLabel)).length"""
    )
    assert unnamed == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def test_the_link_to_the_content_leads_there_and_loads_nothing_anew(open_page, filled):
    page = drawn(open_page(address_of(filled)))
    page.evaluate("window.isThisOne = true")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    assert page.evaluate("document.activeElement.closest('main') !== null && window.isThisOne")
    page.get_by_role("link", name="beta", exact=True).click()
    page.wait_for_url("**sort=*")
    page.go_back()
    page.wait_for_function("!window.isThisOne && !location.search")


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("lr", 60, "lr"),
        ("quite_long_name_1", 60, r"q\w*…\w+_1"),
        ("quite_long_name_12", 60, r"q\w*…\w*_12"),
        ("long", 0, "…ng"),
    ],
)
def test_names_of_axes_that_begin_alike_are_told_apart_by_their_ends(open_page, filled, text, room, shown):
    page = drawn(open_page(address_of(filled)))

    found = page.evaluate(f"import('/static/charts.js').then((charts) => charts.fitted({text!r}, {room}))")

    assert re.fullmatch(shown, found)


@pytest.mark.parametrize("trials", [3, 30, 300])
def test_sweeps_of_every_size_are_drawn_in_light_and_in_dark(open_page, filler, trials):
    filler.sweep({**CONFIG, "name": f"Digits, {trials} trials"})
    filler.fill(trials)

    for scheme, paper in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(19, 24, 22)")):
        page = drawn(open_page(address_of(filler), color_scheme=scheme))

        found(page, f"{trials} trials")
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == paper
        assert not is_wider_than_the_window(page)
        shot(page, f"sweep-{trials}-{scheme}")


def test_a_change_from_light_to_dark_is_followed(open_page, filled):
    page = drawn(open_page(address_of(filled), color_scheme="light"))
    light = page.locator("#curves").screenshot()

    page.emulate_media(color_scheme="dark")

    wait_until(lambda: page.locator("#curves").screenshot() != light)


@pytest.mark.parametrize("path", ["sweep", "project", "projects"])
def test_a_narrow_screen_is_not_scrolled_sideways(open_page, filled, path):
    address = {"sweep": address_of(filled), "project": f"/local/{filled.project}", "projects": "/"}[path]

    page = open_page(address, width=390, height=844)

    if path == "sweep":
        drawn(page)
    assert not is_wider_than_the_window(page)
    shot(page, f"{path}-narrow")


def test_a_thousand_trials_are_there_at_once(open_page, filler):
    filler.sweep({**CONFIG, "name": "A thousand trials"})
    filler.fill(1000, rows=10)

    page = drawn(open_page(address_of(filler)))

    found(page, "1000 trials")
    assert page.locator("#table tbody tr").count() == 100
    page.get_by_role("link", name="Next").click()
    page.wait_for_selector("text=Page 2 of 10")
    sizes = json.loads(
        page.evaluate(
            "JSON.stringify(performance.getEntriesByType('resource').filter((one) => one.name.includes('.json'))"
            ".map((one) => one.decodedBodySize))"
        )
    )
    assert max(sizes) < 2_000_000
    shot(page, "sweep-1000")


def test_a_project_is_sorted_and_filtered_in_place(open_page, filled):
    page = open_page(f"/local/{filled.project}")
    shot(page, "project")

    page.get_by_role("link", name="val.loss").last.click()
    page.wait_for_selector("th[aria-sort=ascending] >> text=val.loss")
    page.get_by_label("Filter").fill("lr<0.001")
    expect(page.locator("#found")).to_contain_text(" of 30 runs")

    page.get_by_role("region", name="Sweeps").get_by_role("link").click()
    drawn(page)


def test_names_that_somebody_made_up_to_do_harm_are_shown_as_they_are(open_page, filler):
    harm = "<img src=x onerror=\"document.title='taken'\"> & ' {a|b} __proto__"
    filler.sweep(
        {
            "method": "grid",
            "name": harm,
            "metric": {"name": harm},
            "parameters": {harm: {"values": [harm, "constructor"]}, "__proto__": {"values": [1.5, 2.5]}},
        }  # fmt: skip
    )
    run, _ = filler.trial()
    filler.log(run, [{harm: 1.0}, {harm: 0.5}])

    page = drawn(open_page(address_of(filler)))
    page.get_by_text("Ranges of parameters").click()
    page.get_by_label("constructor").check()
    found(page, "0 of 1 trial")
    page.get_by_label("constructor").uncheck()
    found(page, "1 trial")

    assert page.get_by_role("heading", level=1).inner_text() == harm
    assert page.locator("#curves-title").inner_text() == f"{harm} over time"
    assert page.title() == f"{harm} – JADE"
    assert page.locator("img").count() == 0


def test_what_was_deleted_under_the_reader_is_told_to_be_gone(chromium, server, filler):
    filler.begin("short-lived")
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/local/{filler.project}/runs/short-lived")

    filler.delete("short-lived")

    expect(page.locator("#news")).to_have_text(
        "This is not on the server any more. What you see is the last of it.", timeout=20_000
    )
    context.close()


def test_a_server_that_is_away_is_told_and_found_again(chromium, own_server):
    running = own_server()
    filler = Filler(running.port)
    filler.begin("one")
    filler.close()
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{running.url}/local/digits")

    running.kill()
    expect(page.locator("#news")).to_contain_text("The server does not answer.", timeout=20_000)
    running.start()
    expect(page.locator("#news")).to_be_empty(timeout=40_000)

    context.close()
