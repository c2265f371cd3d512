"""`make screenshot`: the pictures of the page in docs/pictures, of a real run: ten states at three sizes."""

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect

from backends.auth import PERSON, issue_token
from tests.programs.pictured import PUBLISH, SLOWLY
from tests.support.house import SECRET
from tests.support.page import address, ask, choose, chromium, inspect, is_live, pick
from tests.support.program import ROOT, serving
from tests.support.server import world
from tests.support.world import ALICE

PICTURES = ROOT / "docs" / "pictures"
SIZES = ((390, 844), (768, 1024), (1280, 800))
QUESTIONS = ("Which shops are new?", "How are returns counted?", "What did we promise for 2027?")


def _start(page: Page) -> None:
    expect(page.locator("#start")).to_be_visible()


def _answer(page: Page) -> None:
    page.select_option("#asset", label="Revenue (metric)")
    ask(page, "How is revenue doing?")
    _end(page)


def _stream(page: Page) -> None:
    _answer(page)
    ask(page, SLOWLY)
    expect(page.locator("article").last.locator(".markdown").first).to_contain_text(re.compile(r"(\w+\W+){25}"))


def _thoughts(page: Page) -> None:
    _answer(page)
    page.locator(".thoughts").first.click()
    page.locator(".tool summary").first.click()
    page.evaluate("document.querySelector('#messages').scrollTop = 0")


def _question(page: Page) -> None:
    ask(page, PUBLISH)
    expect(page.get_by_role("button", name="Approve")).to_be_visible()


def _chats(page: Page) -> None:
    _answer(page)
    if page.locator("#sidebar-open").is_visible():
        page.click("#sidebar-open")
    page.get_by_role("button", name="More about “Revenue by region”", exact=True).first.click()


def _edit(page: Page) -> None:
    _answer(page)
    page.evaluate("document.querySelector('#messages').scrollTop = 0")
    page.locator("article .request").first.hover()
    page.get_by_role("button", name="Edit the prompt").first.click()


def _undo(page: Page) -> None:
    _answer(page)
    pick(page, "Delete")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def _sign_in(page: Page) -> None:
    choose(page, "#token-button")


def _inspector(page: Page) -> None:
    _answer(page)
    inspect(page)


def _end(page: Page) -> None:
    """Wait until the answer has ended."""
    expect(page.locator("article").last.get_by_role("button", name="A good answer")).to_be_visible()


STATES: dict[str, Callable[[Page], None]] = {
    "start": _start,
    "stream": _stream,
    "answer": _answer,
    "thoughts": _thoughts,
    "question": _question,
    "chats": _chats,
    "edit": _edit,
    "undo": _undo,
    "sign-in": _sign_in,
    "inspector": _inspector,
}
DARK = ("stream", "sign-in")  # so that both themes are seen


def _pictures(browser: Browser, url: str, width: int, height: int) -> None:
    for name, reach in STATES.items():
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=width < 768,
            color_scheme="dark" if name in DARK else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(address(url))
        is_live(page)
        reach(page)
        page.screenshot(path=PICTURES / f"{name}-{width}x{height}.png")
        context.close()
        _forget(browser, url, len(QUESTIONS))


def _forget(browser: Browser, url: str, kept: int) -> None:
    """Delete all chats but so many of the oldest, and with them what is being answered."""
    context = browser.new_context(extra_http_headers={"authorization": f"Bearer {issue_token(SECRET, ALICE, 600, PERSON)}"})
    chats = f"http://{url.split('/')[2]}/api/v1/chats"
    ids = [chat["id"] for chat in context.request.get(chats).json()]
    if ids[:-kept]:
        assert context.request.delete(chats, data=ids[:-kept]).ok
    context.close()


def main() -> None:
    """Take them all."""
    PICTURES.mkdir(exist_ok=True)
    for width, height in SIZES:  # each with chats of its own
        with (
            tempfile.TemporaryDirectory() as folder,
            chromium() as browser,
            serving(world(Path(folder)), AGENT="tests.programs.pictured:Analyst") as program,
        ):
            page = browser.new_page()
            page.goto(address(program.url))
            is_live(page)
            for question in QUESTIONS:
                ask(page, question)
                _end(page)
                page.click("#new-chat")
            pick(page, "Add to favourites", QUESTIONS[1])
            page.close()
            _pictures(browser, program.url, width, height)
    print(f"{PICTURES.relative_to(ROOT)} has {len(STATES) * len(SIZES)} new pictures")


if __name__ == "__main__":
    main()
