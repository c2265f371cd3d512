"""The page in a frame of another site: only of those that are named, and also where the browser keeps nothing for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.support.login import Site
from tests.support.page import address, choose, tab
from tests.support.program import serving

NOTHING_KEPT = """
    for (const name of ["sessionStorage", "localStorage"]) {
        Object.defineProperty(window, name, { get() { throw new DOMException("not here", "SecurityError"); } });
    }
"""


@contextmanager
def framed(browser: Browser, folder: Path, named: str, before: str = "") -> Iterator[tuple[Page, FrameLocator]]:
    """A page of another site that has ours in a frame. `named`: whom the setting names, "{}" for that site."""
    site = Site(
        lambda path: (200, {"content-type": "text/html"}, f'<!doctype html><iframe src="{url}" width="1200" height="700">')
    )
    url = ""
    with (
        site.open(),
        serving(folder, FRAME_ANCESTORS=named.format(site.origin), OFFLINE_DELAY_MS="1") as program,
        tab(browser, may_complain=True) as page,
    ):
        url = address(program.url)
        page.add_init_script(before)
        page.goto(site.origin)
        yield page, page.frame_locator("iframe")


@pytest.mark.parametrize("before", ["", NOTHING_KEPT], ids=["kept", "nothing kept"])
def test_a_site_that_is_named_has_the_page_in_a_frame(browser: Browser, folder: Path, before: str) -> None:
    with framed(browser, folder, "https://app.example,{}", before) as (page, frame):
        expect(frame.locator("#light[data-state=live]")).to_be_visible()
        frame.locator("#prompt").fill("What is this?")
        frame.locator("#prompt").press("Enter")
        expect(frame.locator(".foot").last).to_contain_text("Reasoned")
        frame.locator("#menu-button").click()
        frame.locator("#token-button").click()
        expect(frame.locator("#token-dialog")).to_be_visible()
        assert "token" not in page.frames[1].evaluate("location.hash")


@pytest.mark.parametrize("named", ["", "https://app.example"])
def test_any_other_site_has_not(browser: Browser, folder: Path, named: str) -> None:
    with framed(browser, folder, named) as (page, frame):
        expect(frame.locator("html")).to_be_attached()
        assert page.frames[1].url == "chrome-error://chromewebdata/"
        assert frame.locator("#prompt").count() == 0


def test_the_page_works_where_the_browser_keeps_nothing(browser: Browser, folder: Path) -> None:
    with serving(folder) as program, tab(browser) as page:
        page.add_init_script(NOTHING_KEPT)
        page.goto(address(program.url))
        expect(page.locator("#light[data-state=live]")).to_be_visible()
        token = page.evaluate("location.hash")
        assert token == ""
        expect(page.locator("#asset option")).to_have_count(3)
        choose(page, "#token-button")
        page.keyboard.press("Escape")
        page.reload()
        expect(page.locator("#token-dialog")).to_be_visible()  # nobody is known any more


def test_what_is_kept_and_cannot_be_read_is_let_go(browser: Browser, folder: Path) -> None:
    with serving(folder) as program, tab(browser) as page:
        page.goto(address(program.url))
        expect(page.locator("#light[data-state=live]")).to_be_visible()
        for name in ("assets", "left", "drafts", "posts"):
            page.evaluate("(name) => sessionStorage.setItem(`threadcast / ${name}`, '[1, {')", name)
        page.reload()
        expect(page.locator("#light[data-state=live]")).to_be_visible()
