"""Chats in the page: their days, titles and lamps, their menus and addresses, deleting with undo, and saving."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect

from backends.auth import PERSON, issue_token
from tests.support.busy_page import button
from tests.support.database import rows
from tests.support.fake_page import CHAT, MESSAGE, NEXT, OTHER_CHAT, Fake, a_chat, a_delta, a_message, faked
from tests.support.house import SECRET
from tests.support.page import QUICK, address, answered, complaints_of, is_live, pick, second_tab, tab
from tests.support.program import serving
from tests.support.world import BOB, uuid

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)
NO_CHAT = "There is no such chat, or it is not yours to see."


def a_row(id: UUID, title: str, at: datetime, *, favourite: bool = False) -> dict[str, Any]:
    """A chat of the list."""
    moment = at.isoformat().replace("+00:00", "Z")
    return {"id": str(id), "title": title, "created_at": moment, "updated_at": moment, "is_favorited": favourite}


def test_chats_stand_by_days_and_say_how_long_ago_they_were_without_moving_the_focus(browser: Browser) -> None:
    rows = [
        a_row(uuid(1), "Now", NOW - timedelta(minutes=5)),
        a_row(uuid(2), "Breakfast", NOW - timedelta(hours=4)),
        a_row(uuid(3), "The day before", NOW - timedelta(days=1)),
        a_row(uuid(4), "Last week", NOW - timedelta(days=6)),
        a_row(uuid(5), "Winter", NOW - timedelta(days=40)),
        a_row(uuid(6), "Long ago", NOW - timedelta(days=400)),
        a_row(uuid(7), "The best", NOW - timedelta(days=500), favourite=True),
    ]
    with faked(browser, has_clock=True) as (page, fake):
        page.clock.set_system_time(NOW)
        fake.say("heartbeat", {"seconds": 120}, "/stream")  # the page is to be patient: to connect anew would draw it, too
        fake.say("getChatsList", rows, "/chats/list")
        expect(page.locator("#chats .text")).to_have_text(["The best", *(each["title"] for each in rows[:-1])])
        headings = ["Favourites", "Today", "Yesterday", "Previous 7 days", "February 2026", "February 2025"]
        expect(page.locator("#chats h2:visible")).to_have_text(headings)
        times = page.locator("#chats time")
        expect(times).to_have_text(
            [
                re.compile("2024$"),
                "5 minutes ago",
                "4 hours ago",
                "yesterday",
                "6 days ago",
                re.compile("2026$"),
                re.compile("2025$"),
            ]
        )
        assert times.nth(1).get_attribute("datetime") == rows[0]["updated_at"]
        assert "2026" in (times.nth(1).get_attribute("title") or "")
        link = page.locator("#chats a", has_text="Now")
        link.focus()
        page.clock.run_for(121_000)  # the second drawing is a bit less than two minutes later
        expect(times.nth(1)).to_have_text("6 minutes ago")
        expect(link).to_be_focused()


def test_a_chat_without_a_title_is_called_by_its_first_words_and_shows_that_it_runs(browser: Browser) -> None:
    chats = [a_row(CHAT, "", NOW), a_row(OTHER_CHAT, "Titled", NOW - timedelta(days=1))]
    with faked(browser) as (page, fake):
        page.click("#new-chat")
        fake.say("getChatsList", chats, "/chats/list")
        expect(page.locator("#chats .text").first).to_have_text("Untitled")
        asked = fake.wait_for("/chats/get")
        assert asked["payload"] == {"id": str(CHAT), "last": 1}
        chat = a_chat(CHAT, a_message(MESSAGE)) | a_row(CHAT, "", NOW)
        fake.say("getChat", chat, "/chats/get", asked["id"], send_method="SenderOnly")
        expect(page.locator("#chats .text").first).to_have_text("Q")
        lamps = page.get_by_text("is being answered")
        expect(lamps).to_have_count(2)  # one is hidden
        expect(page.locator("#chats .running:visible")).to_have_count(1)
        fake.say("generatingResponseMessage", a_delta(OTHER_CHAT, NEXT, "another tab's"))
        expect(page.locator("#chats .running:visible")).to_have_count(2)
        fake.cut(recovers=False)  # the page holds nothing any more
        expect(page.locator("#chats li")).to_have_count(0)
        fake.say("getChatsList", chats, "/chats/list")
        expect(page.locator("#chats .text").first).to_have_text("Q")
        expect(page.locator("#chats .running:visible")).to_have_count(0)  # as far as is known
        fake.say("initializeChat", chat)
        fake.say("generatingResponseMessage", a_delta(OTHER_CHAT, NEXT, "more"))
        expect(page.locator("#chats .running:visible")).to_have_count(2)
        title = {"chat_id": str(CHAT), "message_id": str(MESSAGE), "title": "Of Q", "title_chunk": None, "progress": "complete"}
        fake.say("generatingTitle", title)
        expect(page.locator("#chats .text").first).to_have_text("Of Q")
        fake.say("complete", a_chat(OTHER_CHAT, a_message(NEXT, "done", done=True)))
        expect(page.locator("#chats .running:visible")).to_have_count(1)
        assert len(fake.requests("/chats/get")) == 1


def test_a_menu_is_used_by_keyboard_and_gives_the_focus_back(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        page.locator("#chats a").focus()
        page.keyboard.press("Tab")
        more = button(page, f"More about “Chat {CHAT}”")
        expect(more).to_be_focused()
        items = page.get_by_role("menuitem")
        for key in ("Enter", "ArrowDown"):
            page.keyboard.press(key)
            expect(items.first).to_be_focused()
            expect(more).to_have_attribute("aria-expanded", "true")
            page.keyboard.press("ArrowUp")
            expect(items.last).to_be_focused()
            page.keyboard.press("ArrowDown")
            page.keyboard.press("ArrowDown")
            expect(items.nth(1)).to_be_focused()
            page.keyboard.press("End")
            expect(items.last).to_be_focused()
            page.keyboard.press("Escape")
            expect(page.locator("#chat-menu")).to_be_hidden()
            expect(more).to_be_focused()
            expect(more).to_have_attribute("aria-expanded", "false")
        assert not fake.requests("/chats/stop")
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(page.locator("#new-title")).to_be_focused()
        page.fill("#new-title", "Another")
        page.keyboard.press("Enter")
        assert fake.wait_for("/chats/update")["payload"] == {"id": str(CHAT), "title": "Another"}
        expect(more).to_be_focused()
        more.click()
        expect(items.first).to_be_visible()
        more.click()
        expect(items.first).to_be_hidden()


def test_a_deleted_chat_can_be_had_back_and_the_server_is_not_asked_before(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        expect(page.locator("article")).to_have_count(1)
        pick(page, "Delete")
        expect(page.locator("#chats li")).to_have_count(0)
        expect(page.locator("article")).to_have_count(0)
        expect(page.get_by_role("status").filter(has_text=f"Deleted “Chat {CHAT}”.")).to_be_visible()
        expect(button(page, "Undo")).to_be_focused()
        page.clock.run_for(6000)
        page.keyboard.press("Enter")
        expect(page.locator("#chats li")).to_have_count(1)
        expect(page.locator("article")).to_have_count(1)
        expect(page.locator("#undo p")).to_have_count(0)
        page.clock.run_for(8000)
        assert not fake.requests("/chats/delete")


def test_a_chat_that_the_server_does_not_delete_comes_back_with_a_note(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        page.click("#new-chat")
        pick(page, "Delete", f"Chat {CHAT}")
        expect(page.locator("#chats li")).to_have_count(0)
        page.clock.run_for(7000)
        asked = fake.wait_for("/chats/delete")
        expect(page.locator("#new-chat")).to_be_focused()  # the button that had it is gone
        error = {"code": "NOT_FOUND", "message": "not found"}
        fake.say("deleteChats", None, "/chats/delete", asked["id"], error=error, send_method="SenderOnly")
        expect(page.locator("#notice")).to_have_text(f"“Chat {CHAT}” is still here. Only its owner may delete it.")
        expect(page.locator("#chats li")).to_have_count(1)


GOES = {
    "hidden": """
        Object.defineProperty(document, "hidden", { get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    """,
    "left": "dispatchEvent(new PageTransitionEvent('pagehide'))",
}


@pytest.mark.parametrize("way", GOES)
def test_a_chat_is_deleted_at_once_when_the_page_is_hidden_or_left_and_is_back_if_refused(browser: Browser, way: str) -> None:
    with tab(browser, may_complain=True) as page:  # of the status 400
        fake = Fake(page)
        fake.open()
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        pick(page, "Delete", f"Chat {CHAT}")
        expect(page.locator("#chats li")).to_have_count(0)
        with page.expect_request("**/api/v1/chats") as asking:
            page.evaluate(f"() => {{ {GOES[way]} }}")
        assert (asking.value.method, asking.value.post_data_json) == ("DELETE", {"ids": [str(CHAT)]})
        assert asking.value.headers["authorization"] == "Bearer one"
        expect(page.locator("#notice")).to_contain_text("is still here. Something went wrong.")
        expect(page.locator("#chats li")).to_have_count(1)


@pytest.mark.parametrize("way", ["reload", "leave"])
def test_a_page_that_is_left_deletes_at_once_what_it_was_to_delete(browser: Browser, folder: Path, way: str) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "Keep this")
        answered(page, "Delete this")
        second = second_tab(page)
        expect(second.locator("#chats li")).to_have_count(2)
        pick(page, "Delete", "Delete this")
        expect(page.locator("#chats .text")).to_have_text(["Keep this"])
        if way == "reload":
            page.reload()
            is_live(page)
            expect(page.locator("#chats .text")).to_have_text(["Keep this"])
        else:
            page.goto("about:blank")
        expect(second.locator("#chats .text")).to_have_text(["Keep this"])


def test_a_chat_that_another_tab_deletes_is_not_shown_any_more(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        expect(page.locator("article")).to_have_count(1)
        fake.say("deleteChats", {"ids": [str(CHAT)]}, "/chats/delete")
        expect(page.locator("#notice")).to_have_text("This chat was deleted.")
        expect(page.locator("#title")).to_have_text("New chat")
        assert "chat=" not in page.url


def shows(page: Page, title: str) -> None:
    expect(page.locator("#title")).to_have_text(title)
    expect(page.locator(".request .text")).to_have_text(title)


def test_each_chat_has_an_address_that_back_forward_a_reload_and_a_link_lead_to(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        for prompt in ("One", "Two"):
            answered(page, prompt)
        one, two = (str(UUID(row["id"])) for row in rows(folder / "threadcast.db", "SELECT id FROM chats ORDER BY created_at"))
        expect(page).to_have_url(re.compile(f"/#chat={two}$"))
        page.locator("#chats a", has_text="One").click()
        expect(page).to_have_url(re.compile(f"/#chat={one}$"))
        shows(page, "One")
        page.go_back()
        shows(page, "Two")
        page.go_back()
        shows(page, "One")
        page.go_forward()
        shows(page, "Two")
        page.reload()
        is_live(page)
        shows(page, "Two")
        page.go_forward()
        shows(page, "One")
        page.click("#new-chat")
        assert "chat=" not in page.url
        page.go_back()
        shows(page, "One")
        page.evaluate("open(document.querySelector('#chats a').href, '_blank')")
        opened = page.context.wait_for_event("page") if len(page.context.pages) < 2 else page.context.pages[1]
        is_live(opened)
        shows(opened, "Two")
        with tab(browser) as another:
            another.goto(f"{address(program.url)}&chat={one}")
            is_live(another)
            shows(another, "One")
            expect(another).to_have_url(re.compile(f"/#chat={one}$"))
            another.goto(f"{address(program.url)}&chat={two}")  # the same page is given another address
            shows(another, "Two")
            assert "token" not in another.url


def test_a_chat_that_is_missing_and_one_that_is_anothers_are_told_in_the_same_words(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page, tab(browser) as another:
        another.goto(address(program.url, issue_token(SECRET, BOB, 600, PERSON)))
        is_live(another)
        answered(another, "Bob's")
        (bobs,) = (UUID(row["id"]) for row in rows(folder / "threadcast.db", "SELECT id FROM chats"))
        page.goto(f"{address(program.url)}&chat={uuid(999)}")
        is_live(page)
        expect(page.locator("#notice")).to_have_text(NO_CHAT)
        for id in (bobs, "nonsense", "%3Cb%3E"):
            page.click("#new-chat")
            expect(page.locator("#notice")).to_be_hidden()
            page.evaluate(f"location.hash = '#chat={id}'")
            expect(page.locator("#notice")).to_have_text(NO_CHAT)
            expect(page.locator("#title")).to_have_text("New chat")
            expect(page.locator("#chats li")).to_have_count(0)


def test_a_chat_is_saved_as_markdown_also_one_that_is_not_open(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "Is *this*\n/it?")
        for title in (None, "Is *this* /it?"):
            with page.expect_download() as saving:
                pick(page, "Save as Markdown", title)
            assert saving.value.suggested_filename == "Is this it_.md".replace("_", "")
            text = saving.value.path().read_text()
            assert text.startswith("# Is *this* /it?\n\n")
            assert "\n\n## Alice\n\nIs *this*\n/it?\n\n## Answer\n\nYou asked:" in text
            page.click("#new-chat")
            page.reload()
            is_live(page)


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing_in_menus_notes_and_editors(browser: Browser, width: int, scheme: str) -> None:
    with tab(browser, color_scheme=scheme, bypass_csp=True) as page:
        page.set_viewport_size({"width": width, "height": 844})
        fake = Fake(page)
        fake.open()
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        fake.say("initializeChat", a_chat(OTHER_CHAT, a_message(NEXT), at=1))
        button(page, "More about this chat").click()
        expect(page.get_by_role("menuitem").first).to_be_focused()
        assert complaints_of(page) == []
        page.keyboard.press("Escape")
        button(page, "Edit the prompt").click()
        page.get_by_role("textbox", name="The prompt", exact=True).fill("x" * 32_001)
        page.fill("#prompt", "x" * 32_001)
        assert complaints_of(page) == []
        pick(page, "Delete")
        expect(button(page, "Undo")).to_be_focused()
        assert complaints_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it is wider than the window"
