"""The live page in a browser: Debian's Chromium (``apt install chromium``), without a window.

Where it is missing the tests are skipped, but not in CI, which installs it.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cortex.runtime.live.listener import LivePage
from cortex.runtime.training.loop import Epoch, Listener, Run

from .test_live import LABELS, ROWS, run

PATIENCE = 20_000  # milliseconds
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1300, "height": 900}

pytestmark = pytest.mark.slow


class Held(Listener):
    """Keeps training between two epochs until somebody has looked, as often as it is let go."""

    def __init__(self) -> None:
        self.turn = threading.Semaphore(0)

    def epoch(self, run: Run, epoch: Epoch) -> None:
        assert self.turn.acquire(timeout=PATIENCE / 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium."""
    path = shutil.which("chromium")
    if path is None:
        message = "chromium is not installed: apt install chromium"
        if os.environ.get("CORTEX_CI"):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def training() -> Iterator[tuple[LivePage, Held]]:
    """A training that waits after its first epoch; three more are to come."""
    page, held, began = LivePage(0, "shades", LABELS), Held(), threading.Event()

    class Begun(Listener):
        def epoch(self, run: Run, epoch: Epoch) -> None:
            began.set()

    thread = threading.Thread(target=run(page, Begun(), held, epochs=4).train)
    thread.start()
    assert began.wait(PATIENCE / 1000)
    yield page, held
    held.turn.release(4)
    thread.join()


def opened(browser: Any, page: LivePage, **options: Any) -> tuple[Any, list[str]]:
    """A tab with the page, once it shows numbers; and what goes wrong in it."""
    tab = browser.new_context(**{"viewport": DESK, **options}).new_page()
    tab.set_default_timeout(PATIENCE)
    wrong: list[str] = []

    def console(message: Any) -> None:
        wrong.append(message.text)

    def error(error: Any) -> None:
        wrong.append(str(error))

    tab.on("console", console)
    tab.on("pageerror", error)
    tab.goto(page.url)
    tab.wait_for_selector("#matrix button")
    return tab, wrong


def await_true(tab: Any, expression: str) -> None:
    """Waits; Playwright's own way to do so needs an eval, which the page's policy forbids."""
    until = time.monotonic() + PATIENCE / 1000
    while not tab.evaluate(expression):
        assert time.monotonic() < until, expression
        tab.wait_for_timeout(50)


def total(tab: Any) -> int:
    """All that is in the matrix."""
    texts = tab.locator("#matrix button").all_inner_texts()
    return sum(int(text) for text in texts if text != "·")


def test_it_follows_the_training_to_its_end(browser: Any, training: tuple[LivePage, Held]) -> None:
    page, held = training
    tab, wrong = opened(browser, page)
    assert tab.title() == "shades – training"
    assert tab.inner_text("#status") == "training"
    assert total(tab) == ROWS
    for epoch in (3, 4):
        held.turn.release()
        tab.wait_for_selector(f"[data-name=epoch]:text-is('{epoch} of 4')")
    held.turn.release(2)
    tab.wait_for_selector("#status:text-is('done')")
    await_true(tab, "document.querySelector('progress').value === 1")
    assert tab.locator(".uplot").count() == 2
    values = tab.locator("#measures .u-value").all_inner_texts()
    assert values[0] == "4"
    assert 0 <= float(values[1]) <= 1
    assert total(tab) == ROWS
    assert wrong == []
    tab.context.close()


def test_a_cell_opens_and_closes_by_the_keyboard(
    browser: Any, training: tuple[LivePage, Held]
) -> None:
    tab, wrong = opened(browser, training[0])
    tab.focus("#matrix button[tabindex='0']")
    for key in ("ArrowDown", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft", "ArrowUp"):
        tab.keyboard.press(key)
    assert tab.evaluate("document.activeElement.dataset.cell") == "0,0"
    assert tab.locator("#matrix button[tabindex='0']").count() == 1
    cell = tab.locator("#matrix button:not(:text-is('·'))").first
    count, where = int(cell.inner_text()), cell.get_attribute("data-cell")
    cell.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("dialog[open] li img")
    assert tab.locator("dialog li").count() == count
    await_true(tab, "document.querySelector('dialog img').naturalWidth === 6")
    tab.keyboard.press("Escape")
    assert tab.evaluate("document.activeElement.dataset.cell") == where
    assert wrong == []
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_it_fits_and_every_picture_is_there(
    browser: Any, training: tuple[LivePage, Held], viewport: Any, scheme: str
) -> None:
    tab, wrong = opened(browser, training[0], viewport=viewport, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    await_true(tab, "document.images.length === 48")
    await_true(tab, "[...document.images].every(each => each.naturalWidth)")
    paper = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    tab.wait_for_selector("#legend li")
    assert wrong == []
    tab.context.close()
