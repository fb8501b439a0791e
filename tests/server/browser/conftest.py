"""Chromium, driven by playwright, looking at the pages of a real server; screenshots are left in a folder."""

import os
import shutil
from pathlib import Path

import pytest

CHROMIUM = os.environ.get("JADE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SCREENSHOTS = Path(os.environ.get("JADE_SCREENSHOTS") or Path(__file__).parent / "screenshots")


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install '.[dev]' installs playwright")
    if CHROMIUM is None:
        pytest.skip(
            "there is no Chromium; `apt-get install chromium` installs it, JADE_CHROMIUM names another one"
        )
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def tab_of(chromium):
    """Open tabs of a browser window; what their consoles complain of fails the test."""
    complaints, windows = [], []

    def open_tab(**options):
        window = chromium.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", **options}
        )
        window.set_default_timeout(15_000)
        windows.append(window)
        tab = window.new_page()
        tab.on(
            "console",
            lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
        )
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        return tab

    yield open_tab
    for window in windows:
        window.close()
    assert complaints == []


@pytest.fixture
def tab(tab_of):
    """A tab of 1280 x 900 pixels."""
    return tab_of()


def shot(tab, name):
    """Leave a picture of a whole page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    tab.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def is_wider_than_the_window(tab):
    """Say whether a page would have to be scrolled sideways."""
    return tab.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
