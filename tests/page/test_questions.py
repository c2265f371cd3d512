"""What an agent asks before it goes on, on the page in a real browser."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, expect

from tests.support.busy import SCHEMA
from tests.support.busy_page import another, busy, button, is_done, looks, question
from tests.support.fake_page import CHAT, MESSAGE, NEXT, a_chat, a_message, faked
from tests.support.page import ask, inspect, is_live


def test_an_approval_on_one_tab_takes_the_other_ones_buttons_away(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "ask")
        is_done(page, "Waits for your approval")
        other = another(page)
        for each in (page, other):
            expect(question(each, "Delete the report?").get_by_role("button")).to_have_text(["Approve", "Deny"])
            expect(each.locator("details.tool .state")).to_have_text("waits for your approval")
        button(other, "Deny").focus()
        button(page, "Approve").press("Enter")
        for each in (page, other):
            expect(each.locator("#messages")).to_be_focused()
            expect(each.locator("article")).to_have_count(2)
            is_done(each)
            expect(question(each, "Delete the report?").get_by_role("button")).to_have_count(0)
            expect(question(each, "Delete the report?").locator(".said")).to_have_text("Approved")
            expect(each.locator("details.tool .state")).to_have_text("Approved")
            expect(each.locator("article").last.locator(".request")).to_be_hidden()
            expect(button(each.locator("article").last, "Run again")).to_be_hidden()
            expect(each.locator("article").first.locator(".foot")).to_contain_text("Asked for your approval")
            expect(each.locator("article").last.locator(".markdown")).to_have_text("delete: True, None. ")
        before = looks(page)
        assert looks(other) == before
        page.reload()
        is_live(page)
        page.locator("#chats a").first.click()
        is_done(page)
        assert looks(page) == before


def test_a_denial_says_so_and_the_agent_goes_on(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "ask")
        button(page, "Deny").click()
        expect(page.locator(".said")).to_have_text("Denied")
        expect(page.locator("article .markdown")).to_have_text("delete: False, None. ")
        expect(page.locator("details.tool .state")).to_have_text("Denied")
        expect(page.locator("details.tool")).to_have_attribute("data-status", "failed")


def test_two_questions_are_answered_in_one_post_with_their_values(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "ask two with value")
        delete, tell = question(page, "Delete the report?"), question(page, "Tell everybody?")
        delete.get_by_text("JSON Schema").click()
        expect(delete.locator("pre")).to_have_text(json.dumps(SCHEMA, indent=2))
        delete.get_by_label("Value, as JSON").fill("{limit: 3}")
        button(delete, "Approve").click()
        expect(delete.get_by_role("alert")).to_contain_text("This is no JSON")
        expect(delete.get_by_label("Value, as JSON")).to_be_focused()
        expect(button(delete, "Approve")).to_have_attribute("aria-pressed", "false")
        delete.get_by_label("Value, as JSON").fill('{"limit": 3}')
        expect(delete.get_by_role("alert")).to_be_hidden()
        button(delete, "Deny").click()
        button(delete, "Approve").click()  # until it is sent it may be changed
        expect(page.locator(".questions .state:visible")).to_have_text("1 of 2 answered. All are sent together.")
        expect(button(delete, "Approve")).to_have_attribute("aria-pressed", "true")
        button(tell, "Deny").click()
        is_done(page)
        expect(page.locator(".said")).to_have_text(['Approved, with {"limit":3}', "Denied"])
        expect(page.locator("article .markdown")).to_have_text("delete: True, {'limit': 3}. tell: False, None. ")
        inspect(page)
        page.fill("#filter", '"approvals"')
        assert len([each for each in page.locator("#frames .what:visible").all_text_contents() if each.startswith("→")]) == 1


def test_a_chat_that_goes_on_without_an_answer_cannot_be_answered_any_more(browser: Browser, folder: Path) -> None:
    with busy(browser, folder) as page:
        ask(page, "ask")
        expect(button(page, "Approve")).to_be_visible()
        ask(page, "sources")
        expect(page.locator("article")).to_have_count(2)
        is_done(page)
        expect(button(page, "Approve")).to_be_hidden()
        expect(page.locator(".said:visible")).to_have_text("Not answered")
        expect(page.locator("details.tool .state")).to_have_text("not answered")


def asking(*titles: str, said: dict[str, bool] | None = None) -> dict[str, Any]:
    """A message that asks these, with what was said."""
    approvals = [
        {"id": each, "title": each, "schema": None, "approved": (said or {}).get(each), "value": None} for each in titles
    ]
    return a_message(MESSAGE, "well", done=True) | {
        "approvals": approvals,
        "final_reasoning_message": "Waits for your approval",
    }


def test_what_was_answered_elsewhere_meanwhile_is_shown_as_it_was(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, asking("One?")))
        button(page, "Approve").click()
        post = fake.wait_for("/chats/post")
        expect(button(page, "Approve")).to_be_disabled()
        expect(button(page, "Deny")).to_be_disabled()
        expect(page.locator(".questions > .state")).to_have_text("sent…")
        expect(page.locator("article")).to_have_count(1)
        error = {"code": "BAD_REQUEST", "message": "approvals[0].id: already answered"}
        fake.say("postThread", None, label=post["id"], error=error, send_method="SenderOnly")
        expect(page.locator("#notice")).to_contain_text("already answered")
        assert fake.wait_for("/chats/get")["payload"] == {"id": str(CHAT)}
        answer = a_message(NEXT, "no", done=True) | {"request_message": None}
        fake.say("getChat", a_chat(CHAT, asking("One?", said={"One?": False}), answer), "/chats/get")
        expect(page.locator(".said:visible")).to_have_text("Denied")
        expect(button(page, "Approve")).to_be_hidden()


def test_an_answer_is_sent_again_after_a_cut_under_its_own_id(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, asking("One?", "Two?")))
        button(question(page, "One?"), "Approve").click()
        button(question(page, "Two?"), "Deny").click()
        post = fake.wait_for("/chats/post")
        id = post["payload"].pop("message_id")
        assert UUID(id).version == 4
        approvals = [{"id": "One?", "approved": True}, {"id": "Two?", "approved": False}]
        assert post["payload"] == {"chat_id": str(CHAT), "approvals": approvals, "once": True}
        fake.cut()
        assert fake.wait_for("/chats/post", 2)["payload"] == post["payload"] | {"message_id": id}
        answer = a_message(UUID(id)) | {"request_message": None}
        said = asking("One?", "Two?", said={"One?": True, "Two?": False})
        fake.say("initializeChat", a_chat(CHAT, said, answer), label=post["id"])
        expect(page.locator("article")).to_have_count(2)
        expect(page.locator(".said:visible")).to_have_text(["Approved", "Denied"])
        expect(page.locator(".foot").last).to_contain_text("answering")
        expect(page.locator(".questions > .state:visible")).to_have_count(0)


def test_an_answer_that_is_refused_can_be_given_again(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        fake.say("complete", a_chat(CHAT, asking("One?")))
        button(page, "Approve").click()
        first = fake.wait_for("/chats/post")
        fake.refuse(first["id"], "TOO_MANY_REQUESTS", retry_after=25)
        expect(page.locator(".questions > .state")).to_have_text("That was a lot at once. It goes on in 25 seconds.")
        expect(button(page, "Approve")).to_be_disabled()
        page.clock.run_for(26_000)
        second = fake.wait_for("/chats/post", 2)
        assert second["payload"] == first["payload"]
        fake.refuse(second["id"], "INTERNAL_SERVER_ERROR")
        expect(page.locator("#notice")).to_have_text("“Approved: One?” The server had a problem. Try again.")
        button(page, "Deny").click()
        third = fake.wait_for("/chats/post", 3)["payload"]
        assert third["approvals"] == [{"id": "One?", "approved": False}]
        assert third["message_id"] != first["payload"]["message_id"]
        expect(page.locator("#notice")).to_be_hidden()


def test_a_message_without_a_request_that_fails_offers_no_other_run(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, asking("One?")))
        button(page, "Approve").click()
        post = fake.wait_for("/chats/post")
        answer = a_message(UUID(post["payload"]["message_id"])) | {"request_message": None}
        fake.say("initializeChat", a_chat(CHAT, asking("One?", said={"One?": True}), answer), label=post["id"])
        expect(page.locator("article")).to_have_count(2)
        chat = a_chat(
            CHAT, asking("One?", said={"One?": True}), answer | {"final_reasoning_message": "Failed", "is_completed": True}
        )
        fake.say("complete", chat, label=post["id"])
        expect(page.locator(".foot").last).to_contain_text("Failed")
        expect(button(page, "Run again")).to_have_count(1)
