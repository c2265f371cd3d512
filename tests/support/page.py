"""The page in a browser."""

import json
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, Page, expect, sync_playwright

from backends.auth import PERSON, issue_token
from tests.support.database import rows
from tests.support.house import SECRET
from tests.support.world import ALICE, REVENUE

QUICK = {"OFFLINE_DELAY_MS": "1"}
SLOW = {"OFFLINE_WORDS": "150", "OFFLINE_DELAY_MS": "15"}
CHROMIUM = Path(shutil.which("chromium") or shutil.which("chromium-browser") or "")


@contextmanager
def chromium() -> Iterator[Browser]:
    assert CHROMIUM.name, "there is no Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def address(url: str, token: str | None = None, user: UUID = ALICE, ttl: int = 600) -> str:
    """Where the console is, with a token that it is to take; `url` is the WebSocket's."""
    assets = f"&asset=metric:{REVENUE}:Revenue"
    return f"http://{url.split('/')[2]}/#token={token or issue_token(SECRET, user, ttl, PERSON)}{assets}"


def is_live(page: Page) -> None:
    expect(page.locator("#light[data-state=live]")).to_be_visible()


def choose(page: Page, selector: str) -> None:
    """Choose this in the page's menu."""
    page.click("#menu-button")
    page.click(selector)


def inspect(page: Page) -> None:
    """Open the inspector, or close it."""
    choose(page, "#inspector-button")


def why(page: Page, said: str | re.Pattern[str]) -> None:
    """The page has this to say to experts about the state of its connection."""
    pattern = said if isinstance(said, re.Pattern) else re.compile(re.escape(said))
    expect(page.locator("#light")).to_have_attribute("title", pattern)


def pick(page: Page, what: str, title: str | None = None) -> None:
    """Choose this from the menu of the chat with the title in the list, or of the one that is shown."""
    opener = page.get_by_role("button", name=f"More about “{title}”" if title else "More about this chat", exact=True)
    opener.click()
    page.get_by_role("menuitem", name=what, exact=True).click()


def second_tab(page: Page) -> Page:
    """A live tab beside this one, of the same person, who takes the token along."""
    with page.context.expect_page() as opening:
        choose(page, "#second")
    is_live(opening.value)
    return opening.value


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.press("#prompt", "Enter")


def answered(page: Page, prompt: str) -> None:
    """Ask in a chat of its own, and wait for the answer's end."""
    page.click("#new-chat")
    ask(page, prompt)
    expect(page.locator("#title")).to_have_text(prompt)
    expect(page.locator(".foot").last).to_contain_text("Reasoned")


def answer(page: Page) -> str:
    """All of the last message's answer, once it is done."""
    last = page.locator("#messages article").last
    expect(last.locator(".foot")).to_contain_text(re.compile("Reasoned|Stopped|Interrupted|answered"))
    return words(last.locator(".markdown").all_inner_texts())


def words(texts: Iterable[str]) -> str:
    """Texts without what is not seen of their Markdown: how code and items are marked, and how much white space there is."""
    return " ".join(re.sub(r"`|^- ", "", " ".join(texts), flags=re.MULTILINE).split())


def stored(folder: Path) -> list[str]:
    """The words of the answers in the database, the oldest first."""
    parts = [
        json.loads(row["response_messages"])
        for row in rows(folder / "threadcast.db", "SELECT * FROM messages ORDER BY created_at")
    ]
    return [words(part["message"] for part in each if part["type"] == "text") for each in parts]


@contextmanager
def tab(browser: Browser, *, may_complain: bool = False, **options: object) -> Iterator[Page]:
    """A page of a browser of its own. What the console has to complain about fails the test."""
    context = browser.new_context(**{"viewport": {"width": 1300, "height": 800}, **options})  # type: ignore[arg-type]
    complaints: list[str] = []
    try:
        page = context.new_page()
        context.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("dialog", lambda dialog: complaints.append(dialog.message))
        yield page
        assert complaints == [] or may_complain, complaints
    finally:
        context.close()


def complaints_of(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
