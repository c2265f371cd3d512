"""The console in a real browser, against a real server. `make test-page`; it needs Debian's Chromium."""

import json
import re
import signal
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from playwright.sync_api import Browser, Error, Page, expect

from backends.auth import PERSON, issue_token
from handlers.dev import demo_data
from schemas.assets import METRIC, AssetPermissionRole, IdentityType
from schemas.load import LoadFile
from tests.support.client import TIMEOUT_S
from tests.support.documents import BLOCKS
from tests.support.fake_page import CHAT, MESSAGE, NEXT, OTHER_CHAT, Fake, a_chat, a_delta, a_message, faked
from tests.support.house import SECRET
from tests.support.page import (
    SLOW,
    address,
    answer,
    ask,
    choose,
    complaints_of,
    inspect,
    is_live,
    second_tab,
    stored,
    tab,
    why,
    words,
)
from tests.support.program import ROOT, run, serving
from tests.support.proxy import Proxy
from tests.support.world import ALICE, ASSETS, BOB, PERMISSIONS, USERS, grant, metric, uuid

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202e&amp;</textarea>'\"`${alert(3)}"
STREAMED = ("generatingTitle", "generatingReasoningMessage", "generatingResponseMessage")


def test_a_prompt_streams_in_with_its_reasoning_and_its_title(browser: Browser, folder: Path) -> None:
    with serving(folder, **SLOW) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, "What is this?")
        expect(page.locator("#messages[aria-busy=true]")).to_be_visible()
        early = page.locator("#messages .markdown").first
        expect(early).to_contain_text(re.compile(r"\w+"))
        assert len(early.text_content() or "") < len(answer(page))
        assert [answer(page)] == stored(folder)
        expect(page.locator(".reasoning").first).to_contain_text("Offline")
        expect(page.locator("#title")).to_have_text("What is this?")
        expect(page.locator("#chats a[aria-current=true]")).to_contain_text("What is this?")
        assert page.title() == "What is this? · Threadcast"
        ask(page, "And why?")
        expect(page.locator("#messages article")).to_have_count(2)
        assert answer(page) == stored(folder)[1]


def test_an_asset_alone_opens_as_a_card(browser: Browser, folder: Path) -> None:
    with serving(folder) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        page.select_option("#asset", label="Revenue (metric)")
        page.click("#send")
        expect(page.locator(".card")).to_contain_text("Revenue")
        expect(page.locator("#title")).to_have_text("View Revenue")
        assert "All about Revenue." in answer(page)
        page.click("#new-chat")
        page.select_option("#asset", "other")
        page.fill("#other-asset", f"metric:{uuid(999)}")
        page.click("#send")
        expect(page.locator("article .failed")).to_have_text("This asset is not there, or it is not yours to see.")


def test_a_second_tab_shows_the_same_stream_live_and_an_earlier_chat_can_be_got(browser: Browser, folder: Path) -> None:
    with serving(folder, **SLOW) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        second = second_tab(page)
        ask(page, "Tell me")
        expect(second.locator("#messages[aria-busy=true] .markdown").first).to_contain_text(re.compile(r"\w+"))
        assert answer(second) == answer(page) == stored(folder)[0]
        ask(page, "More")
        with page.context.expect_page() as opening:
            choose(page, "#second")  # in the middle of the stream
        assert answer(page) == stored(folder)[1]
        third = opening.value
        third.locator("#chats a").first.click()
        assert answer(third) == stored(folder)[1]


def test_a_stop_keeps_what_there_is_and_it_can_be_run_again(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_WORDS="600", OFFLINE_DELAY_MS="10") as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, "Begin")
        expect(page.locator("#messages .markdown").first).to_contain_text(re.compile(r"\w+ \w+"))
        page.keyboard.press("Escape")
        expect(page.locator(".foot").last).to_contain_text("Stopped")
        assert answer(page) == stored(folder)[0]
        page.get_by_role("button", name="Run again").click()
        expect(page.locator("#stop")).to_be_visible()
        expect(page.locator("#messages article")).to_have_count(1)
        expect(page.locator("#messages .markdown").first).to_contain_text(re.compile(r"\w+ \w+"))
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator(".foot").last).to_contain_text("Stopped")


def test_cutting_the_network_in_the_middle_of_a_stream_loses_nothing(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_WORDS="300", OFFLINE_DELAY_MS="15") as program, start_blocking_portal() as portal:
        line = Proxy(int(program.url.split("/")[2].split(":")[1]))
        with portal.wrap_async_context_manager(line.serving()) as port, tab(browser, may_complain=True) as page:
            page.goto(address(f"ws://127.0.0.1:{port}/api/v1/ws"))
            is_live(page)
            ask(page, "Begin")
            for _ in range(3):
                before = len(page.locator("#messages .markdown").first.text_content() or "")
                line.refuses = True
                portal.call(line.cut)
                why(page, "again in")
                line.refuses = False
                why(page, re.compile(r"resumed with [1-9]\d* frames"))
                assert len(page.locator("#messages .markdown").first.text_content() or "") > before
            assert answer(page) == stored(folder)[0]
            line.refuses = True
            portal.call(line.cut)
            ask(page, "While there is no network")
            expect(page.locator("article").last).to_contain_text("waits for the connection")
            line.refuses = False
            expect(page.locator("article")).to_have_count(2)
            assert answer(page) == stored(folder)[1]


def test_a_server_that_restarts_says_so_and_the_page_goes_on_at_the_next_one(browser: Browser, folder: Path) -> None:
    with tab(browser, may_complain=True) as page:
        with serving(folder, OFFLINE_WORDS="5000", OFFLINE_DELAY_MS="15") as program:
            port = program.url.split("/")[2].split(":")[1]
            page.goto(address(program.url))
            is_live(page)
            ask(page, "Begin")
            expect(page.locator("#messages .markdown").first).to_contain_text(re.compile(r"\w+"))
            program.process.send_signal(signal.SIGTERM)
            why(page, "the server restarts")
            ask(page, "Too late for this one")
            expect(page.locator("article").last).to_contain_text("waits for the connection")
            page.keyboard.press("Escape")  # until then it waits for the answer
            program.process.wait()
            program.stop(0)
        with serving(folder, "--port", port):
            why(page, "got anew")
            expect(page.locator("article")).to_have_count(2)
            assert answer(page) == stored(folder)[1]


def test_a_token_that_expires_or_is_none_is_asked_for_anew(browser: Browser, folder: Path) -> None:
    with serving(folder, **SLOW) as program, tab(browser, may_complain=True) as page:
        page.goto(address(program.url, ttl=10))  # time enough to be live before it ends
        is_live(page)
        assert "token" not in page.url
        ask(page, "Begin")
        expect(page.locator("#token-why")).to_contain_text("expired")
        expect(page.locator("#token-dialog")).to_be_visible()
        page.fill("#token", "not a token")
        page.press("#token", "Tab")
        page.click("#sign-in")
        expect(page.locator("#token-why")).to_contain_text("The server does not know this token.")
        page.fill("#token", issue_token(SECRET, ALICE, 60, PERSON))
        page.click("#sign-in")
        is_live(page)
        assert answer(page) == stored(folder)[0]


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path) -> None:
    bad = metric(uuid(90), HOSTILE)
    permission = grant(uuid(90), METRIC, IdentityType.USER, ALICE, AssetPermissionRole.CAN_VIEW)
    (tmp_path / "load.json").write_bytes(
        msgspec.json.encode(LoadFile(USERS, [*ASSETS, bad], [*PERMISSIONS, permission]), enc_hook=str)
    )
    assert run(tmp_path, "load", "load.json").returncode == 0
    with serving(tmp_path, OFFLINE_DELAY_MS="1") as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, HOSTILE)
        expect(page.locator(".request .text")).to_have_text(HOSTILE)
        assert words([HOSTILE.replace("&amp;", "&")]) in answer(page)  # as Markdown has it
        page.click("#new-chat")
        page.select_option("#asset", "other")
        page.fill("#other-asset", f"metric:{uuid(90)}")
        page.click("#send")
        expect(page.locator(".card strong")).to_have_text(HOSTILE)
        expect(page.locator("#title")).to_have_text(f"View {HOSTILE}")
        inspect(page)
        page.locator("#frames summary").last.click()
        expect(page.locator("#frames pre")).to_contain_text("onerror")
        assert [page.locator(each).count() for each in ("img", "body script", "article textarea")] == [0, 0, 0]


def test_the_inspector_has_every_frame_in_its_order_and_copies_it(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_DELAY_MS="1") as program, tab(browser, bypass_csp=True) as page:  # to look at the clipboard
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(address(program.url))
        is_live(page)
        inspect(page)
        ask(page, "What is this?")
        answer(page)
        shown = page.locator("#frames .what").all_text_contents()
        assert shown[:4] == ["resumed", "→ /chats/list", "getChatsList", "→ /chats/post"]
        assert (shown[4], shown[-1]) == ("initializeChat", "complete")
        page.fill("#filter", "INITIALIZEchat")
        expect(page.locator("#counts")).to_have_text(re.compile(r"^1 of \d+ frames"))
        page.locator("#frames li:visible summary").click()
        expect(page.locator("#frames pre")).to_contain_text('"event": "initializeChat"')
        page.get_by_role("button", name="Copy as JSON").click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        copied = json.loads(page.evaluate("navigator.clipboard.readText()"))
        assert list(copied) == ["route", "event", "payload", "sent_by", "error", "send_method", "request_id", "offset"]
        page.fill("#filter", "")
        page.click("#copy-all")
        expect(page.locator("#copy-all")).to_have_text("Copied")
        everything = json.loads(page.evaluate("navigator.clipboard.readText()"))
        offsets = [frame["offset"] for frame in everything if "offset" in frame]
        assert len(everything) == len(shown)
        assert offsets == sorted(set(offsets))


def test_the_picture_shows_when_each_event_came_and_what_it_joined(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_WORDS="400", OFFLINE_DELAY_MS="1") as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        inspect(page)
        ask(page, "What is this?")
        answer(page)
        expect(page.locator("#timeline line.mark")).to_have_count(2)
        frames = page.locator("#frames .what").all_text_contents()
        for event in STREAMED:
            assert page.locator(f"#timeline rect.{event}").count() == frames.count(event) > 0
        summary = page.locator("#summary").text_content() or ""
        found = re.search(r"after ([\d.]+) ms; (\d+) frames of (\d+) words, at most (\d+) joined in one; ended after", summary)
        assert found
        assert int(found[2]) == sum(map(frames.count, STREAMED))
        assert int(found[3]) > 400  # the title's and the reasoning's, too
        assert int(found[4]) > 1
        assert (page.locator("#timeline").get_attribute("aria-label") or "nothing") in summary


def test_it_can_be_used_by_keyboard_alone(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_DELAY_MS="1") as program, tab(browser) as page:
        page.goto(f"http://{program.url.split('/')[2]}/")
        expect(page.locator("#token")).to_be_focused()
        page.keyboard.insert_text(issue_token(SECRET, ALICE, 60, PERSON))
        for key in ("Tab", "Tab", "Enter"):
            page.keyboard.press(key)
        is_live(page)
        page.keyboard.press("Alt+n")
        page.keyboard.type("one")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("two")
        page.keyboard.press("Enter")
        assert answer(page)
        expect(page.locator(".request .text")).to_have_text("one\ntwo")
        page.keyboard.press("Alt+n")
        expect(page.locator("article")).to_have_count(0)
        page.locator("#chats a").first.focus()
        page.keyboard.press("Enter")
        expect(page.locator("article")).to_have_count(1)


@pytest.mark.parametrize("width", [1300, 420])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_has_nothing_to_say(browser: Browser, folder: Path, width: int, scheme: str) -> None:
    with serving(folder, OFFLINE_DELAY_MS="1") as program, tab(browser, color_scheme=scheme, bypass_csp=True) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(f"http://{program.url.split('/')[2]}/")
        expect(page.locator("#token-dialog")).to_be_visible()
        assert complaints_of(page) == []
        page.goto(address(program.url))
        page.reload()
        is_live(page)
        ask(page, "What is this?")
        answer(page)
        inspect(page)
        page.locator("#frames summary").last.click()
        assert complaints_of(page) == []
        page.click("#inspector-close")
        ask(page, "x" * 300)
        answer(page)
        assert complaints_of(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it is wider than the window"


def test_the_page_cannot_be_framed_and_runs_nothing_from_elsewhere(browser: Browser, folder: Path) -> None:
    with serving(folder) as program, tab(browser, may_complain=True) as page:
        page.goto(f"http://{program.url.split('/')[2]}/")
        with pytest.raises(Error, match=r"TrustedHTML|Content Security Policy"):
            page.evaluate("() => { document.body.innerHTML = '<b>' }")


def test_the_readmes_lines_of_javascript_talk_to_it(browser: Browser, folder: Path) -> None:
    (script,) = (text for language, text in BLOCKS if language == "js")
    with serving(folder, OFFLINE_DELAY_MS="1") as program, tab(browser, bypass_csp=True) as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://{program.url.split('/')[2]}/")
        script = script.replace("127.0.0.1:8000", program.url.split("/")[2])
        page.evaluate(f"async () => {{ const token = '{issue_token(SECRET, ALICE, 60, PERSON)}'; {script} }}")
        assert words(["".join(said)]) == stored(folder)[0]


def said(page: Page) -> str:
    return words(page.locator("#messages .markdown").all_inner_texts())


def test_a_cut_before_a_chat_that_was_asked_for_comes_asks_again(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("getChatsList", [a_chat(CHAT)], "/chats/list")
        page.locator("#chats a").click()
        fake.wait_for("/chats/get")
        fake.cut()
        fake.wait_for("/chats/get", 2)
        fake.say("getChat", a_chat(CHAT, a_message(MESSAGE, "all", done=True)), "/chats/get")
        expect(page.locator("#messages .markdown")).to_have_text("all")


def test_after_a_gap_nothing_is_shown_with_a_hole_even_if_it_is_cut_again_at_once(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        inspect(page)
        fake.say("initializeChat", a_chat(OTHER_CHAT, a_message(NEXT)))
        fake.say("generatingResponseMessage", a_delta(OTHER_CHAT, NEXT, "one "))
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE), at=1))
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "one "))
        expect(page.locator("#chats a")).to_have_count(2)  # before, the first is the other chat's
        page.locator("#chats a").first.click()
        fake.wait_for("/chats/get")
        fake.say("getChat", a_chat(CHAT, a_message(MESSAGE, "one ")), "/chats/get")
        expect(page.locator("#messages .markdown")).to_have_text("one ")
        fake.cut(recovers=False, lists=False)
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "three "))
        fake.say("generatingResponseMessage", a_delta(OTHER_CHAT, NEXT, "three "))
        expect(page.locator("#frames .what").last).to_have_text("generatingResponseMessage")
        fake.cut()
        assert said(page) == "one"
        fake.wait_for("/chats/get", 2)
        fake.say("getChat", a_chat(CHAT, a_message(MESSAGE, "one two three ")), "/chats/get")
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "four"))
        expect(page.locator("#messages .markdown")).to_have_text("one two three four")
        fake.say("getChatsList", [a_chat(CHAT, at=1), a_chat(OTHER_CHAT)], "/chats/list")
        expect(page.locator("#chats a")).to_have_count(2)
        page.locator("#chats a").last.click()
        expect(page.locator("#messages .markdown")).to_have_count(0)
        fake.wait_for("/chats/get", 3)


def test_the_chat_that_is_shown_is_not_let_go(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        for number in range(40):
            fake.say("complete", a_chat(uuid(700 + number), a_message(uuid(800 + number), "other", done=True), at=1))
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "still"))
        expect(page.locator("#messages .markdown")).to_have_text("still")


def test_an_answer_that_fails_in_the_middle_is_not_waited_for(browser: Browser, folder: Path) -> None:
    with serving(folder, OFFLINE_WORDS="5000", OFFLINE_DELAY_MS="5", RUN_SECONDS="1") as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        ask(page, "Begin")
        expect(page.locator("#notice")).to_have_text(re.compile(r"The server had a problem\. Reference \w{12}\. Try again\."))
        expect(page.locator(".foot").last).to_contain_text("Failed")
        expect(page.locator("#stop")).to_be_hidden()
        expect(page.locator("#messages")).to_have_attribute("aria-busy", "false")
        assert said(page) == stored(folder)[0]


def test_whoever_begins_a_chat_is_not_taken_back_by_another_ones_end(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        inspect(page)
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("article")).to_have_count(1)  # nobody has done anything here yet
        page.click("#new-chat")
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "done", done=True)))
        fake.say("generatingResponseMessage", a_delta(OTHER_CHAT, NEXT, "another tab's"))
        expect(page.locator("#frames .what").last).to_have_text("generatingResponseMessage")
        expect(page.locator("#title")).to_have_text("New chat")
        expect(page.locator("article")).to_have_count(0)


def test_another_user_finds_nothing_of_the_first_ones_and_sends_nothing_of_theirs(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "secret", done=True)))
        expect(page.locator("#messages")).to_contain_text("secret")
        page.click("#new-chat")
        ask(page, "first user's")
        fake.wait_for("/chats/post")
        fake.user, fake.recovers = BOB, False
        choose(page, "#token-button")
        page.fill("#token", "an\nother ")  # as a terminal breaks it
        page.click("#sign-in")
        expect(page.locator("#chats a")).to_have_count(0)
        is_live(page)
        assert "authentication=another&" in fake.socket.url
        assert "secret" not in page.content()
        assert "first user" not in page.content()
        assert len(fake.requests("/chats/post")) == 1


def test_an_address_with_another_accounts_token_is_taken_only_when_the_person_says_so(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        expect(page.locator("#who")).to_have_text("Alice")
        page.fill("#prompt", "a secret draft")
        before = fake.socket
        page.evaluate("location.hash = '#token=two'")
        expect(page.locator("#switch-why")).to_contain_text("This page is Alice’s.")
        page.get_by_role("button", name="Stay").click()
        expect(page.locator("#switch-dialog")).to_be_hidden()
        assert fake.socket is before
        page.reload()
        is_live(page)
        assert "authentication=one&" in fake.socket.url
        page.fill("#prompt", "a secret draft")
        page.evaluate("location.hash = '#token=two'")
        expect(page.locator("#switch-dialog")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator("#switch-dialog")).to_be_hidden()
        page.evaluate("location.hash = '#token=two'")
        page.get_by_role("button", name="Switch").click()
        fake.until(lambda: "authentication=two&" in fake.socket.url)
        is_live(page)
        expect(page.locator("#prompt")).to_have_value("")
        assert "two" not in page.url


def test_an_address_that_comes_in_the_moment_when_another_is_refused_is_asked_about(browser: Browser) -> None:
    again = """
        document.getElementById("switch-dialog").close();
        history.replaceState(null, "", "#token=three");
        dispatchEvent(new HashChangeEvent("hashchange"));
    """
    with faked(browser) as (page, fake):
        page.evaluate("location.hash = '#token=two'")
        expect(page.locator("#switch-dialog")).to_be_visible()
        page.evaluate(f"() => {{ {again} }}")
        page.get_by_role("button", name="Switch").click()
        fake.until(lambda: "authentication=three&" in fake.socket.url)
        is_live(page)


def test_an_address_with_another_token_of_the_same_account_is_taken_at_once(browser: Browser) -> None:
    tokens = [issue_token(SECRET, ALICE, ttl, PERSON) for ttl in (60, 120)]
    with faked(browser) as (page, fake):
        page.evaluate(f"location.hash = '#token={tokens[0]}'")
        page.get_by_role("button", name="Switch").click()
        fake.until(lambda: tokens[0] in fake.socket.url)
        is_live(page)
        page.evaluate(f"location.hash = '#token={tokens[1]}'")
        fake.until(lambda: tokens[1] in fake.socket.url)
        expect(page.locator("#switch-dialog")).to_be_hidden()


def test_an_address_is_taken_without_a_question_where_the_tabs_own_token_is_of_no_use(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        page.evaluate("location.hash = '#token=two'")
        expect(page.locator("#switch-dialog")).to_be_visible()
        fake.socket.close(code=4001, reason="token revoked")
        fake.until(lambda: "authentication=two&" in fake.socket.url)
        is_live(page)


def test_the_address_that_a_dev_server_prints_brings_its_user_and_its_assets(browser: Browser, tmp_path: Path) -> None:
    command = (str(ROOT / "server.py"), "serve", "--dev", "--port", "0")
    with serving(tmp_path, command=command) as program, tab(browser) as page:
        assert program.process.stdout
        printed = next(line.strip() for line in program.process.stdout if "#token=" in line)
        assert len(printed) < 80
        page.goto(printed)
        is_live(page)
        expect(page.locator("#who")).to_have_text("Demo")
        expect(page.locator("#asset option")).to_have_count(2 + len(demo_data().assets))
        page.select_option("#asset", index=1)
        page.click("#send")
        expect(page.locator(".card")).to_have_count(1)


def test_follow_ups_are_sent_again_after_a_gap_and_never_replace_what_is_there(browser: Browser) -> None:
    first = a_message(MESSAGE, "one", done=True)
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, first))
        expect(page.locator("article")).to_have_count(1)
        ask(page, "Two?")
        ask(page, "Three?")
        sent = [fake.wait_for("/chats/post", number) for number in (1, 2)]
        fake.cut(recovers=False)
        again = [fake.wait_for("/chats/post", number) for number in (3, 4)]
        assert [(each["id"], each["payload"]) for each in again] == [(each["id"], each["payload"]) for each in sent]
        assert {each["payload"]["once"] for each in sent} == {True}
        two, three = (UUID(each["payload"]["message_id"]) for each in sent)
        chat = a_chat(CHAT, first, a_message(two, "two", done=True))
        fake.say("getChat", chat, "/chats/get")
        fake.until(lambda: page.locator("#messages .markdown").all_text_contents() == ["one", "two"])
        expect(page.locator("article .foot")).to_contain_text(["Reasoned", "Reasoned", "sent"])
        fake.say("complete", chat, label=again[0]["id"], send_method="SenderOnly")
        whole = a_chat(CHAT, first, a_message(two, "two", done=True), a_message(three))
        fake.say("initializeChat", whole, label=again[1]["id"], send_method="SenderOnly")
        expect(page.locator("article .foot")).to_contain_text(["Reasoned", "Reasoned", "answering"])
        page.get_by_role("button", name="Run again").first.click()
        replacement = fake.wait_for("/chats/post", 5)["payload"]
        assert replacement == {"chat_id": str(CHAT), "message_id": str(MESSAGE), "prompt": "Q"}
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("article")).to_have_count(1)


def test_a_post_that_is_refused_out_of_sight_says_so(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        page.click("#new-chat")
        ask(page, "Too many")
        post = fake.wait_for("/chats/post")
        page.locator("#chats a").click()
        fake.refuse(post["id"], "TOO_MANY_REQUESTS")
        expect(page.locator("#notice")).to_have_text("“Too many” That was a lot at once. Try again in a moment.")


def test_a_post_to_a_server_that_goes_waits_for_the_next_one_even_if_that_was_said_early(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        inspect(page)
        fake.cut(lists=False)
        fake.say("goingAway", {"retry_after": 5}, "/stream")
        barrier = fake.wait_for("/chats/list", 2)
        fake.say("getChatsList", [], "/chats/list", barrier["id"])
        expect(page.locator("#frames .what").last).to_have_text("getChatsList")
        why(page, "the server restarts")
        ask(page, "Later")
        expect(page.locator("article .foot")).to_contain_text("waits for the connection")
        assert not fake.requests("/chats/post")
        fake.cut()
        assert fake.wait_for("/chats/post")["payload"]["prompt"] == "Later"


def test_what_others_can_make_grow_is_bounded(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        for number in range(600):
            chat = a_chat(uuid(1000 + number), a_message(uuid(2000 + number), done=True))
            fake.say("initializeChat", chat, label="always the same")
            fake.say("complete", chat, label="always the same")
        expect(page.locator("#chats li")).to_have_count(500)
        inspect(page)
        expect(page.locator("#frames li")).to_have_count(1000)
        expect(page.locator("#timeline line.mark")).to_have_count(2)  # each request has a picture of its own
        fake.say("initializeChat", chat, label="another")
        expect(page.locator("#request")).to_have_value("another")
        expect(page.locator("#timeline line.mark")).to_have_count(1)
        pills = [{"id": str(uuid(3000 + number)), "text": "x", "type": "metric"} for number in range(300)]
        message = a_message(MESSAGE) | {"reasoning_message_ids": ["r"]}
        step = {"type": "pills", "id": "r", "title": "Found", "secondary_title": None, "status": "completed"}
        message["reasoning_messages"] = {"r": step | {"pill_containers": [{"title": "metric", "pills": pills}]}}
        fake.say("initializeChat", a_chat(CHAT, message, at=1))
        page.locator("#chats a").filter(has_text=a_chat(CHAT)["title"]).first.click()
        expect(page.locator(".pill")).to_have_count(300)
        assert page.locator("#asset option").count() <= 102


def test_opening_a_chat_moves_nothing_and_a_chat_that_moves_keeps_the_focus(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        earlier, later = a_chat(CHAT, at=1), a_chat(OTHER_CHAT, at=2)
        fake.say("getChatsList", [later, earlier], "/chats/list")
        page.locator("#chats a").last.focus()
        page.keyboard.press("Enter")
        fake.wait_for("/chats/get")
        fake.say("getChat", earlier, "/chats/get")
        expect(page.locator("#chats a").last).to_be_focused()
        expect(page.locator("#chats a").last).to_contain_text(earlier["title"])
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE), at=3))
        expect(page.locator("#chats a").first).to_contain_text(earlier["title"])
        expect(page.locator("#chats a").first).to_be_focused()


def test_escape_in_the_filter_stops_nothing_and_a_button_that_goes_leaves_the_focus_near(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        inspect(page)
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        page.fill("#filter", "x")
        page.press("#filter", "Escape")
        page.focus("#stop")
        page.keyboard.press("Enter")
        fake.wait_for("/chats/stop")
        assert len(fake.requests("/chats/stop")) == 1
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "one", done=True)))
        expect(page.locator("#messages")).to_be_focused()
        page.get_by_role("button", name="Run again").press("Enter")
        expect(page.locator("#messages")).to_be_focused()


def test_a_new_token_is_not_cut_off_by_what_became_of_the_one_before(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        before = fake.socket
        choose(page, "#token-button")
        page.fill("#token", "two")
        page.click("#sign-in")
        fake.until(lambda: fake.socket is not before)
        is_live(page)
        before.close(code=4401, reason="invalid token")
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "after it", done=True)))
        expect(page.locator("#messages .markdown")).to_have_text("after it")
        is_live(page)
        expect(page.locator("#token-dialog")).to_be_hidden()


def test_the_light_says_once_that_the_connection_is_lost_however_often_it_is_tried(browser: Browser, folder: Path) -> None:
    with serving(folder) as program, tab(browser, may_complain=True) as page:
        page.goto(address(program.url))
        is_live(page)
        inspect(page)
        page.evaluate("""() => {
            window.states = [];
            const light = document.getElementById("light");
            const note = () => states.push(`${light.dataset.state} ${light.ariaLive}`);
            new MutationObserver(note).observe(light, { subtree: true, childList: true, characterData: true });
        }""")
        program.stop()
        expect(page.locator("#frames .note")).to_have_count(4)
        states = page.evaluate("states.filter((each) => !each.startsWith('draining'))")
        assert states.count("connecting polite") == 1
        assert set(states) <= {"connecting polite", "connecting off"}  # the text may stay as it is


def test_another_chat_is_shown_from_its_end(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        long = "\n".join("x" * 200)
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, long, done=True)))
        fake.say("complete", a_chat(OTHER_CHAT, a_message(NEXT, long, done=True), at=1))
        expect(page.locator("#messages .markdown")).to_have_text(re.compile("x"))
        page.evaluate("document.getElementById('messages').scrollTop = 0")
        page.locator("#chats a").first.click()
        expect(page.locator("#chats a").first).to_have_attribute("aria-current", "true")
        left = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight"
        assert page.locator("#messages").evaluate(left) < 40


def test_a_hidden_inspector_holds_no_more_than_one_that_is_shown(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        for _ in range(300):
            fake.say("something", "x" * 100_000)
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("article")).to_have_count(1, timeout=4000 * TIMEOUT_S)  # it hears 30 MB
        session = page.context.new_cdp_session(page)
        session.send("HeapProfiler.collectGarbage")
        assert session.send("Runtime.getHeapUsage")["backingStorageSize"] < 20_000_000  # long texts are there


# The link


def test_a_line_that_swallows_bytes_is_noticed_and_given_up(browser: Browser, folder: Path) -> None:
    quick = {"PING_SECONDS": "1", "OFFLINE_WORDS": "300", "OFFLINE_DELAY_MS": "15"}
    with serving(folder, **quick) as program, start_blocking_portal() as portal:
        line = Proxy(int(program.url.split("/")[2].split(":")[1]))
        with portal.wrap_async_context_manager(line.serving()) as port, tab(browser, may_complain=True) as page:
            page.goto(address(f"ws://127.0.0.1:{port}/api/v1/ws"))
            is_live(page)
            inspect(page)
            expect(page.locator("#frames .what", has_text="heartbeat").first).to_be_visible()
            ask(page, "Begin")
            expect(page.locator("#messages .markdown").first).to_contain_text(re.compile(r"\w+"))
            portal.call(line.hold)
            why(page, "nothing came for")
            portal.call(line.let_go)
            is_live(page)
            assert answer(page) == stored(folder)[0]


def test_a_line_on_which_only_heartbeats_come_stays(browser: Browser, folder: Path) -> None:
    with serving(folder, PING_SECONDS="1") as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        inspect(page)
        expect(page.locator("#frames .what", has_text="heartbeat")).to_have_count(5)
        expect(page.locator("#frames .what", has_text="resumed")).to_have_count(1)
        ask(page, "Begin")
        assert answer(page) == stored(folder)[0]


def queries(fake: Fake) -> dict[str, list[str]]:
    """What the last connection was asked for with."""
    return parse_qs(urlsplit(fake.socket.url).query, keep_blank_values=True)


def test_after_a_silence_the_page_goes_on_from_its_place_and_is_more_patient(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        inspect(page)
        fake.say("heartbeat", {"seconds": 15}, "/stream")
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        fake.say("somethingNew", {}, "/stream")
        expect(page.locator("article")).to_have_count(1)
        for seconds in (30, 60, 120):
            before, place = fake.socket, fake.offset
            page.clock.run_for(1000 * (seconds - 20))  # the clock also goes by itself
            assert fake.socket is before
            page.clock.run_for(22_000)
            fake.until(lambda: fake.socket is not before)  # noqa: B023
            assert queries(fake)["since"] == [f"e:{place}"]
            is_live(page)
        fake.say("heartbeat", {"seconds": 15}, "/stream")
        expect(page.locator("#frames .what").last).to_have_text("heartbeat")
        before = fake.socket
        page.clock.run_for(32_000)
        fake.until(lambda: fake.socket is not before)


WAKES = {
    "online": "dispatchEvent(new Event('online'))",
    "pageshow": "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))",
    "visibilitychange": "document.dispatchEvent(new Event('visibilitychange'))",
}


@pytest.mark.parametrize("wake", WAKES)
def test_a_page_that_was_away_looks_at_its_link_at_once(browser: Browser, wake: str) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)  # from here on no timer of the page comes
        before = fake.socket
        page.clock.set_system_time(page.evaluate("Date.now() / 1000") + 3600)  # the machine has slept for an hour
        page.evaluate(WAKES[wake])
        fake.until(lambda: fake.socket is not before)
        is_live(page)


@pytest.mark.parametrize("wake", WAKES)
def test_a_page_that_was_away_waits_no_longer_for_its_next_try(browser: Browser, wake: str) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        before = fake.socket
        page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)
        before.close(code=4029, reason="too many connections")
        why(page, "again in")
        assert fake.socket is before
        page.evaluate(WAKES[wake])
        fake.until(lambda: fake.socket is not before)
        is_live(page)


def test_another_look_at_a_page_whose_line_is_good_changes_nothing(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        before = fake.socket
        page.evaluate(WAKES["visibilitychange"])
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow'))")
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("article")).to_have_count(1)
        assert fake.socket is before


def test_a_page_without_a_good_token_is_not_woken(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        before = fake.socket
        before.close(code=4401, reason="invalid token")
        expect(page.locator("#token-why")).to_contain_text("The server does not know this token.")
        for wake in WAKES.values():
            page.evaluate(wake)
        expect(page.locator("#light[data-state=closed]")).to_be_visible()
        assert fake.socket is before


@pytest.mark.parametrize("code", [4029, 4503])
def test_a_server_that_has_no_room_is_asked_again_after_a_pause(browser: Browser, code: int) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        assert queries(fake)["refuse"] == ["close"]
        page.clock.pause_at(page.evaluate("Date.now() / 1000") + 1)
        before = fake.socket
        before.close(code=code, reason="no room")
        why(page, f"closed with {code}: no room; again in")
        expect(page.locator("#light")).not_to_have_attribute("title", re.compile("again in 0.0 s"))
        page.clock.run_for(200)
        assert fake.socket is before
        page.clock.run_for(1000)
        fake.until(lambda: fake.socket is not before)
        assert queries(fake).get("refuse") == (["close"] if code == 4029 else None)  # a proxy may know another server
        is_live(page)
        page.clock.resume()
        fake.cut()
        assert queries(fake)["refuse"] == ["close"]


def test_a_post_that_is_refused_for_a_while_is_sent_again_when_that_is_over(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        ask(page, "Too many")
        post = fake.wait_for("/chats/post")
        fake.refuse(post["id"], "TOO_MANY_REQUESTS", retry_after=25)
        expect(page.locator("article .foot")).to_contain_text("That was a lot at once. It goes on in 25 seconds.")
        page.clock.run_for(5000)
        assert len(fake.requests("/chats/post")) == 1
        page.clock.run_for(21_000)
        assert fake.wait_for("/chats/post", 2)["payload"] == post["payload"]
        expect(page.locator("article .foot")).to_contain_text("sent")


def test_a_post_that_waits_for_its_time_waits_through_a_cut_and_is_sent_once(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        ask(page, "Too many")
        fake.refuse(fake.wait_for("/chats/post")["id"], "TOO_MANY_REQUESTS", retry_after=25)
        expect(page.locator("article .foot")).to_contain_text("That was a lot at once. It goes on in 25 seconds.")
        fake.cut()
        page.clock.run_for(13_000)
        assert len(fake.requests("/chats/post")) == 1
        page.clock.run_for(13_000)
        fake.wait_for("/chats/post", 2)
        ask(page, "Another")
        fake.until(lambda: fake.asked[-1]["payload"].get("prompt") == "Another")
        assert len(fake.requests("/chats/post")) == 3


def test_a_chat_that_is_refused_for_a_while_is_asked_for_again(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        fake.say("getChatsList", [a_chat(CHAT)], "/chats/list")
        page.locator("#chats a").click()
        asked = fake.wait_for("/chats/get")
        error = {"code": "TOO_MANY_REQUESTS", "message": "no", "retry_after": 5}
        fake.say("getChat", None, "/chats/get", asked["id"], error=error, send_method="SenderOnly")
        expect(page.locator("#notice")).to_have_text("That was a lot at once. It goes on in 5 seconds.")
        page.clock.run_for(6000)
        fake.wait_for("/chats/get", 2)
