"""The page before a server with the busy agent."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.busy import AGENT
from tests.support.page import address, is_live, second_tab, tab
from tests.support.program import serving


@contextmanager
def busy(browser: Browser, folder: Path, **options: Any) -> Iterator[Page]:
    """A live page of a server with the busy agent."""
    with serving(folder, AGENT=AGENT) as program, tab(browser, **options) as page:
        page.goto(address(program.url))
        is_live(page)
        yield page


def another(page: Page) -> Page:
    """A second tab, in which the newest chat is opened."""
    second = second_tab(page)
    second.locator("#chats a").first.click()
    return second


def reach(folder: Path, *points: str) -> None:
    for point in points:
        (folder / point).touch()


def is_done(page: Page, how: str = "Reasoned") -> None:
    expect(page.locator("article").last.locator(".foot")).to_contain_text(how)


def looks(page: Page) -> list[str]:
    """All that the messages say, opened or not. How long it was thought is measured by each page for itself."""
    texts = page.locator("article").all_text_contents()
    return [re.sub(r"Thought for (a moment|\d+ seconds?)", "Thought", " ".join(text.split())) for text in texts]


def button(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def question(page: Page, title: str) -> Locator:
    return page.get_by_role("group", name=title)
