"""Messages in the page: copying, editing and running again, how long a prompt may be, and what survives a reload."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, Page, expect

from tests.support.busy_page import button
from tests.support.fake_page import CHAT, MESSAGE, NEXT, OTHER_CHAT, Fake, a_chat, a_message, faked
from tests.support.page import QUICK, SLOW, address, answer, answered, ask, complaints_of, is_live, second_tab, stored, tab
from tests.support.program import serving
from tests.support.world import BOB

CLIPBOARD = (
    """Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { window.copied = text; } } })"""
)


def test_an_answer_is_copied_as_its_markdown(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        page.evaluate(CLIPBOARD)
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "# Well\n\n**so** `x`", done=True)))
        page.get_by_role("button", name="Copy the answer").press("Enter")
        expect(page.get_by_role("button", name="Copy the answer")).to_have_text("Copied")
        assert page.evaluate("window.copied") == "# Well\n\n**so** `x`"
        expect(page.get_by_role("button", name="Copy the answer")).to_have_text("Copy")


def test_a_prompt_is_edited_by_keyboard_and_run_again_on_every_tab(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser, bypass_csp=True) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "One")
        ask(page, "Two")
        expect(page.locator("article .foot")).to_contain_text(["Reasoned", "Reasoned"])
        second = second_tab(page)
        second.locator("#chats a").click()
        pencils = page.get_by_role("button", name="Edit the prompt")
        box = page.get_by_role("textbox", name="The prompt", exact=True)
        pencils.last.press("Enter")
        expect(box).to_be_focused()
        expect(box).to_have_value("Two")
        expect(page.locator(".editor .state:visible")).to_have_count(0)  # nothing comes after it
        assert complaints_of(page) == []
        box.press("Escape")
        expect(box).to_be_hidden()
        expect(pencils.last).to_be_focused()
        pencils.last.press("Enter")
        box.fill("Two <b>again</b>")
        page.keyboard.press("Tab")
        expect(button(page, "Save & run")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("#messages")).to_be_focused()
        for each in (page, second):
            expect(each.locator(".request .text")).to_have_text(["One", "Two <b>again</b>"])
            assert answer(each) == stored(folder)[-1]
        assert len(stored(folder)) == 2


def test_an_earlier_prompt_is_edited_in_a_copy_so_that_nothing_is_lost(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "One")
        before = page.url
        for number, prompt in enumerate(("Two", "Three"), 2):
            ask(page, prompt)
            expect(page.locator("article .foot")).to_contain_text(["Reasoned"] * number)
        for at, prompt in ((1, "Another two"), (0, "Another one")):
            page.get_by_role("button", name="Edit the prompt").nth(at).click()
            box = page.get_by_role("textbox", name="The prompt", exact=True)
            expect(page.locator(".editor .state:visible")).to_contain_text("in a copy of this chat")
            box.fill(prompt)
            box.press("Enter")
            expect(page.locator("#notice")).to_have_text("This goes on in a copy of the chat. The other chat is as it was.")
            expect(page.locator(".request .text")).to_have_text(["One", prompt] if at else [prompt])
            assert prompt in answer(page)
            expect(page).not_to_have_url(before)
            page.go_back()
            expect(page.locator(".request .text")).to_have_text(["One", "Two", "Three"])
            expect(page).to_have_url(before)


def test_an_edited_prompt_that_is_refused_can_be_run_again(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        page.get_by_role("button", name="Edit the prompt").click()
        page.get_by_role("textbox", name="The prompt", exact=True).fill("Better")
        button(page, "Save & run").click()
        post = fake.wait_for("/chats/post")
        assert post["payload"] == {"chat_id": str(CHAT), "message_id": str(MESSAGE), "prompt": "Better"}
        expect(page.locator(".request .text")).to_have_text("Better")
        expect(page.locator(".foot")).to_contain_text("asked again…")
        fake.refuse(post["id"], "INTERNAL_SERVER_ERROR", message="internal error, reference 0123456789ab")
        expect(page.locator("article > .failed")).to_have_text("The server had a problem. Reference 0123456789ab. Try again.")
        expect(page.locator(".request .text")).to_have_text("Q")
        expect(button(page, "Run again")).to_be_visible()


# How long a prompt may be


def test_a_long_prompt_is_counted_and_one_that_is_too_long_is_neither_cut_nor_sent(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        page.fill("#prompt", "x" * 29_999)
        expect(page.locator("#length")).to_be_hidden()
        page.fill("#prompt", "x" * 31_200)
        expect(page.locator("#length")).to_have_text("31,200 of 32,000 characters")
        expect(page.locator("#send")).to_be_enabled()
        page.fill("#prompt", "😀" * 32_001)
        expect(page.locator("#length")).to_contain_text("That is too long to send. Nothing was cut: take 1 character away.")
        expect(page.locator("#send")).to_be_disabled()
        page.press("#prompt", "Enter")
        expect(page.locator("#prompt")).to_have_value("😀" * 32_001)
        page.fill("#prompt", "😀" * 32_000)
        page.press("#prompt", "Enter")
        assert fake.wait_for("/chats/post")["payload"]["prompt"] == "😀" * 32_000
        assert len(fake.requests("/chats/post")) == 1
        expect(page.locator("#length")).to_be_hidden()


def test_the_server_takes_what_the_page_lets_through(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, "😀" * 32_000)
        expect(page.locator(".foot").last).to_contain_text("Reasoned")


# What survives a reload


def test_a_reload_in_the_middle_of_a_stream_shows_the_same_chat_and_all_of_it(browser: Browser, folder: Path) -> None:
    with serving(folder, **SLOW) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, "Begin")
        expect(page.locator("#messages .markdown").first).to_contain_text(re.compile(r"\w+"))
        page.reload()
        is_live(page)
        expect(page.locator("#messages[aria-busy=true]")).to_be_visible()
        expect(page.locator("#chats .running:visible")).to_have_count(1)
        assert [answer(page)] == stored(folder)
        expect(page.locator("article")).to_have_count(1)


def posted(fake: Fake, count: int) -> list[dict[str, Any]]:
    """The payloads of so many posts, and of no more."""
    fake.wait_for("/chats/post", count)
    assert len(fake.requests("/chats/post")) == count
    return [each["payload"] for each in fake.requests("/chats/post")]


def test_a_post_of_which_nothing_was_heard_is_sent_again_after_a_reload_and_runs_once(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        ask(page, "Begin a chat")
        fake.wait_for("/chats/post")
        page.reload()
        is_live(page)
        first, again = posted(fake, 2)
        assert first == again
        assert first["once"] is True
        expect(page.locator(".request .text")).to_have_text("Begin a chat")
        expect(page.locator(".foot")).to_contain_text("sent")
        id = UUID(first["message_id"])
        fake.say("initializeChat", a_chat(CHAT, a_message(id)), label=fake.wait_for("/chats/post", 2)["id"])
        expect(page.locator(".foot")).to_contain_text("answering")
        expect(page).to_have_url(re.compile(f"#chat={CHAT}$"))
        fake.say("complete", a_chat(CHAT, a_message(id, "well", done=True)), label=fake.wait_for("/chats/post", 2)["id"])
        expect(page.locator(".foot")).to_contain_text("Reasoned")
        page.reload()
        is_live(page)
        fake.say("getChat", a_chat(CHAT, a_message(id, "well", done=True)), "/chats/get", fake.wait_for("/chats/get")["id"])
        expect(page.locator("#messages .markdown")).to_have_text("well")
        posted(fake, 2)


def answered_once(page: Page, fake: Fake) -> dict[str, Any]:
    """The chat that the page shows then."""
    chat = a_chat(CHAT, a_message(MESSAGE, "one", done=True))
    fake.say("complete", chat)
    expect(page.locator("article")).to_have_count(1)
    return chat


def offline(page: Page, fake: Fake) -> None:
    """From here on a server does not say that all that was missed has come: posts wait."""
    fake.cut(lists=False)
    expect(page.locator("#light")).to_have_attribute("data-state", "connecting")


def test_follow_ups_that_wait_for_the_network_survive_a_reload_in_their_order(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        chat = answered_once(page, fake)
        offline(page, fake)
        for prompt in ("Two?", "Three?"):
            ask(page, prompt)
        expect(page.locator("article .foot")).to_contain_text(
            ["Reasoned", "waits for the connection", "waits for the connection"]
        )
        assert not fake.requests("/chats/post")
        fake.lists = True
        page.reload()
        is_live(page)
        payloads = posted(fake, 2)
        assert [(each["prompt"], each["chat_id"], each["once"]) for each in payloads] == [
            ("Two?", str(CHAT), True),
            ("Three?", str(CHAT), True),
        ]
        fake.say("getChat", chat, "/chats/get", fake.wait_for("/chats/get")["id"])
        expect(page.locator(".request .text")).to_have_text(["Q", "Two?", "Three?"])


def test_a_replacement_is_posted_after_a_reload_only_if_it_was_not_sent_before(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        answered_once(page, fake)
        offline(page, fake)
        button(page, "Run again").click()
        fake.lists = True
        page.reload()
        is_live(page)
        (payload,) = posted(fake, 1)
        assert payload == {"chat_id": str(CHAT), "message_id": str(MESSAGE), "prompt": "Q"}
        page.reload()
        is_live(page)
        expect(page.locator("#notice")).to_contain_text("If you do not see your change, make it again.")
        page.reload()
        is_live(page)
        posted(fake, 1)


def test_of_another_user_nothing_is_sent_and_nothing_is_left(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        offline(page, fake)
        ask(page, "first user's post")
        page.fill("#prompt", "first user's draft")
        kept = page.evaluate("JSON.stringify(sessionStorage)")
        assert "user's post" in kept
        assert "user's draft" in kept
        fake.user, fake.lists, fake.recovers = BOB, True, False
        page.reload()
        is_live(page)
        expect(page.locator("#who")).to_have_text("Alice")  # as the test's server calls everybody
        expect(page.locator("#prompt")).to_have_value("")
        assert "first user" not in page.content() + page.evaluate("JSON.stringify(sessionStorage)")
        assert not fake.requests("/chats/post")


KEPT = "sessionStorage[Object.keys(sessionStorage).find((key) => key.endsWith(' posts'))]"


def test_what_is_kept_is_bounded_and_a_full_storage_is_survived(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        offline(page, fake)
        for number in range(60):
            ask(page, f"Post {number}")
        posts = json.loads(page.evaluate(KEPT))["value"]
        assert [post["text"] for post in posts] == [f"Post {number}" for number in range(10, 60)]
        for _ in range(8):
            ask(page, "x" * 30_000)
        kept = page.evaluate(KEPT)
        assert len(kept) < 201_000
        assert len(json.loads(kept)["value"]) < 8
        page.evaluate("sessionStorage.setItem('filler', 'x'.repeat(5_200_000 - JSON.stringify(sessionStorage).length))")
        ask(page, "y" * 31_000)
        page.fill("#prompt", "a draft that finds no room " * 500)
        expect(page.locator("article")).to_have_count(1)


def test_each_chat_keeps_its_own_draft_also_through_a_reload(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        for chat, message in ((CHAT, MESSAGE), (OTHER_CHAT, NEXT)):
            fake.say("complete", a_chat(chat, a_message(message, "one", done=True)))
        expect(page.locator("#chats a")).to_have_count(2)
        one, other = (page.locator(f"#chats a[href='#chat={chat}']") for chat in (CHAT, OTHER_CHAT))
        one.click()
        page.fill("#prompt", "Draft of one")
        other.click()
        expect(page.locator("#prompt")).to_have_value("")
        page.fill("#prompt", "x" * 32_001)
        one.click()
        expect(page.locator("#prompt")).to_have_value("Draft of one")
        expect(page.locator("#send")).to_be_enabled()
        page.reload()
        is_live(page)
        expect(page.locator("#prompt")).to_have_value("Draft of one")
        page.evaluate(f"location.hash = '#chat={OTHER_CHAT}'")
        expect(page.locator("#prompt")).to_have_value("x" * 32_001)
        expect(page.locator("#send")).to_be_disabled()
        page.evaluate(f"location.hash = '#chat={CHAT}'")
        ask(page, "Sent")
        fake.wait_for("/chats/post")
        page.reload()
        is_live(page)
        expect(page.locator("#prompt")).to_have_value("")


def test_a_tab_that_was_opened_from_the_page_sends_nothing_of_the_first_ones(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        page.fill("#prompt", "A draft")
        second = second_tab(page)
        expect(second.locator("#prompt")).to_have_value("")
        second.fill("#prompt", "Another draft")
        second.reload()
        is_live(second)
        expect(second.locator("#prompt")).to_have_value("Another draft")
        expect(page.locator("#prompt")).to_have_value("A draft")
