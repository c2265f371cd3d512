"""What an agent does besides talking, on the page in a real browser: tools, sources and files."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.support.busy import HOSTILE, SOURCES
from tests.support.busy_page import busy, button, is_done, looks, question, reach
from tests.support.fake_page import CHAT, MESSAGE, a_chat, a_message, faked
from tests.support.page import ask, complaints_of, is_live
from tests.support.world import uuid


def test_tools_are_closed_lines_that_run_beside_each_other_and_say_how_long_they_took(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "work")
        tools = page.locator("details.tool")
        expect(tools).to_have_count(2)
        one, two = tools.nth(0), tools.nth(1)
        expect(one.locator("summary")).to_have_text(re.compile("Searching the tables.*search.*running"))
        expect(two.locator("summary")).to_have_text(re.compile("Counting rows.*running"))
        expect(one.locator("pre")).to_be_hidden()
        one.locator("summary").press("Enter")  # as by keyboard
        expect(one.locator("pre")).to_have_text('{"query": "revenue"}')
        reach(folder, "tools")
        expect(one.locator("pre")).to_contain_text('{"query": "revenue"}\n\nrow 0\nrow 1\n')
        expect(one.locator("pre")).to_be_visible()  # it stays open
        expect(one.locator(".state")).to_have_text(re.compile(r"^\d+\.\d seconds$"))
        expect(two.locator(".state")).to_have_text(re.compile(r"^failed · \d+\.\d seconds$"))
        assert [one.get_attribute("data-status"), two.get_attribute("data-status")] == ["completed", "failed"]
        expect(two.locator("pre")).to_be_hidden()
        pre = one.locator("pre").evaluate("(it) => [it.clientHeight, it.scrollHeight, getComputedStyle(it).fontFamily]")
        assert pre[0] < 300 < pre[1]
        assert "monospace" in pre[2]


def test_files_grow_each_by_itself_in_the_order_of_their_step(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "work")
        reach(folder, "tools")
        files = page.locator("details.file")
        expect(files.locator("summary")).to_have_text([re.compile("revenue.yml.*writing"), re.compile("board.yml.*writing")])
        expect(files.first.locator("pre")).to_be_hidden()
        files.first.locator("summary").click()
        expect(files.locator("pre")).to_have_text(["name: revenue\n", "title: Board\n"])
        reach(folder, "files")
        is_done(page)
        expect(files.locator("pre")).to_have_text(["name: revenue\nsql: select 1\n", "title: Board\n"])
        expect(files.first.locator("pre")).to_be_visible()
        step = page.locator(".reasoning", has=files)
        expect(step.locator("> .heading")).to_have_text("Wrote 2 files")
        assert [files.nth(each).get_attribute("data-status") for each in (0, 1)] == ["completed", "completed"]
        before = looks(page)
        page.reload()
        is_live(page)
        page.locator("#chats a").first.click()
        is_done(page)
        assert looks(page) == before


def test_a_source_is_a_link_only_where_it_leads_to_the_web(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "sources")
        is_done(page)
        expect(page.locator(".pill > .text:first-child")).to_have_text([text for text, _ in SOURCES])
        links = page.locator("article a")
        assert [link.get_attribute("href") for link in links.all()] == [SOURCES[0][1], SOURCES[1][1], "http://example.com/"]
        for link in links.all():
            assert (link.get_attribute("target"), link.get_attribute("rel")) == ("_blank", "noopener noreferrer nofollow")


URLS = [
    "javascript:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "//example.com",
    "",
    None,
    7,
]


def test_the_page_itself_trusts_no_address_that_a_server_calls_a_link(browser: Browser) -> None:
    pills = [{"id": str(uuid(0)), "text": "x", "type": "url", "url": url} for url in URLS]
    pills.append({"id": str(uuid(0)), "text": "x", "type": "metric", "url": "https://example.com"})
    step = {"type": "pills", "id": "r", "title": "Found", "secondary_title": None, "status": "completed"}
    with faked(browser) as (page, fake):
        message = a_message(MESSAGE, "x", done=True) | {"reasoning_message_ids": ["r"]}
        message["reasoning_messages"] = {"r": step | {"pill_containers": [{"title": "Sources", "pills": pills}]}}
        fake.say("complete", a_chat(CHAT, message))
        expect(page.locator(".pill")).to_have_count(len(pills))
        expect(page.locator("article a")).to_have_count(0)


def test_text_of_an_agent_stays_text_wherever_it_stands(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "hostile")
        expect(button(page, "Approve")).to_be_visible()
        for summary in page.locator("article summary").all():
            summary.click()
        for where in (".tool .name", ".tool code", ".tool pre", ".file .name", ".file pre", ".pill .text", "legend"):
            expect(page.locator(f"article {where}").first).to_contain_text("<img src=x onerror=alert(1)>")
        button(page, "Approve").click()
        expect(page.locator("article")).to_have_count(2)
        is_done(page)
        assert page.locator("img").count() == 0
        assert HOSTILE.split("\x1b")[0] in (page.locator("article .markdown").last.text_content() or "")


@pytest.mark.parametrize("width", [1300, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing_in_it(browser: Browser, folder: Path, width: int, scheme: str) -> None:
    with busy(browser, folder, color_scheme=scheme, bypass_csp=True) as page:
        page.set_viewport_size({"width": width, "height": 800})
        ask(page, "work")
        expect(page.locator("details.tool")).to_have_count(2)
        page.locator("details.tool summary").first.click()
        assert complaints_of(page) == []
        reach(folder, "tools", "files")
        is_done(page)
        page.locator("details.file summary").first.click()
        ask(page, "sources")
        is_done(page)
        ask(page, "ask two with value")
        delete = question(page, "Delete the report?")
        delete.get_by_text("JSON Schema").click()
        delete.get_by_label("Value, as JSON").fill("{")
        button(delete, "Approve").click()
        assert complaints_of(page) == []
        delete.get_by_label("Value, as JSON").fill("{}")
        button(delete, "Approve").click()
        assert complaints_of(page) == []
        button(question(page, "Tell everybody?"), "Deny").click()
        expect(page.locator("article")).to_have_count(4)
        is_done(page)
        assert complaints_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it is wider than the window"


def test_the_text_of_a_file_that_comes_whole_replaces_what_there_was(browser: Browser) -> None:
    def tell(order: list[str], **texts: dict[str, str | None]) -> None:
        named = {"file_type": "metric", "version_number": 1, "version_id": "v", "status": "loading"}
        files = {
            id: {"id": id, "file_name": id} | named | {"file": {"text": None, "text_chunk": None} | text}
            for id, text in texts.items()
        }
        step = {"type": "files", "id": "r", "title": "Writing", "secondary_title": None, "status": "loading"}
        payload = {"reasoning": step | {"file_ids": order, "files": files}, "chat_id": str(CHAT), "message_id": str(MESSAGE)}
        fake.say("generatingReasoningMessage", payload | {"progress": "in_progress"})

    with faked(browser) as (page, fake):
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        tell(["a"], a={"text_chunk": "one "})
        tell(["b", "a"], b={"text_chunk": "three"})
        tell(["b", "a"], a={"text_chunk": "two"})
        expect(page.locator(".file pre")).to_have_text(["three", "one two"])
        tell(["b", "a"], a={"text": "whole"})
        expect(page.locator(".file pre")).to_have_text(["three", "whole"])
