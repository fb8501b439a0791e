"""Chromium, without a window, on the pages of a real server that real requests have filled."""

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.server.filling import Filler

SCREENSHOTS = Path(os.environ.get("JADE_SCREENSHOTS", Path(__file__).parent / "screenshots"))
# The system's own browser: nothing is downloaded. JADE_CHROMIUM names another one.
CHROMIUM = os.environ.get("JADE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
HOW = "the pages are not tried in a browser: pip install playwright, and apt-get install chromium (or JADE_CHROMIUM=…)"


@pytest.fixture(scope="session")
def chromium():
    """The browser; the tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason=HOW)
    if not CHROMIUM:
        pytest.skip(HOW)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, server):
    """Open an address of the server; fail at the end if the browser complained of anything."""
    contexts, complaints = [], []

    def show(address, width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(20_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and complaints.append(message.text),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url + address)
        return page

    show.complaints = complaints
    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def filler(server, request):
    """What fills a project of the test's own."""
    found = Filler(server.port, project=re.sub(r"\W+", "-", request.node.name)[-60:])
    yield found
    found.close()


@pytest.fixture
def shoot():
    """Take a picture of a whole page, for people to look at."""

    def take(page, name):
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        page.evaluate("document.activeElement.blur()")
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    return take
