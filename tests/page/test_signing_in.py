"""Signing in: with a token, or where the operator's own people sign in; and what becomes of what was being done here."""

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from backends.auth import PERSON, issue_token
from tests.support.fake_page import faked
from tests.support.house import SECRET
from tests.support.login import Login, login
from tests.support.page import address, ask, choose, complaints_of, is_live, tab
from tests.support.program import Program, serving
from tests.support.world import ALICE, BOB, uuid

REASON = "#token-why"
OTHER = f"metric:{uuid(999)}"


def here(program: Program) -> str:
    return f"http://{program.url.split('/')[2]}/"


@contextmanager
def signing_in(browser: Browser, folder: Path) -> Iterator[tuple[Page, Program, Login]]:
    """A page whose people sign in elsewhere, and where that is. Nobody has signed in yet."""
    with login() as site, serving(folder, LOGIN_URL=site.address, OFFLINE_DELAY_MS="1") as program, tab(browser) as page:
        page.goto(here(program))
        yield page, program, site


def expire(page: Page) -> None:
    """Have the page's token, which is Alice's, expire: an older one comes, which the page takes without a question."""
    page.evaluate(f"location.hash = '#token={issue_token(SECRET, ALICE, -5, PERSON)}'")
    expect(page.locator(REASON)).to_have_text(re.compile("Your sign-in has expired. Sign in again"))


def sign_in(page: Page) -> None:
    page.click("#sign-in")
    is_live(page)


def test_the_dialog_asks_first_and_then_goes_and_comes_back_with_a_token(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, program, site):
        expect(page.locator(REASON)).to_have_text("Sign in to ask something, and to see your chats.")
        expect(page.locator("#sign-in")).to_be_focused()
        expect(page.locator("#token")).to_have_count(0)
        page.keyboard.press("Escape")
        expect(page.locator("#token-dialog")).to_be_hidden()
        page.fill("#prompt", "typed before")
        choose(page, "#token-button")
        assert site.asked == []  # nothing was done without a click
        sign_in(page)
        assert page.url == here(program)
        expect(page.locator("#who")).to_have_text("Alice")
        expect(page.locator("#token-button")).to_have_text("Account")
        expect(page.locator("#prompt")).to_have_value("typed before")
        assert site.visits == [{"from": ["a b"], "x": [""], "return_to": [here(program)]}]
        ask(page, "What is this?")
        expect(page.locator(".foot").last).to_contain_text("Reasoned")
        assert [headers.get("referer") for _, headers in site.asked] == [None] * len(site.asked)
        page.reload()
        is_live(page)
        expect(page.locator("#prompt")).to_have_value("")  # it was given back once
        assert len(site.visits) == 1
        program.stop(signal.SIGTERM)
        assert site.tokens[0] not in program.log
        assert "#" not in program.log


def test_a_prompt_that_is_sent_before_anybody_has_signed_in_asks_for_that_and_stays(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, _, _):
        page.keyboard.press("Escape")
        ask(page, "typed before")
        expect(page.locator(REASON)).to_have_text("Sign in to ask something, and to see your chats.")
        expect(page.locator("#notice")).to_be_empty()
        sign_in(page)
        expect(page.locator("#prompt")).to_have_value("typed before")


def test_an_expired_sign_in_is_renewed_with_the_chat_and_what_was_typed(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, _, site):
        sign_in(page)
        ask(page, "The first chat")
        expect(page.locator(".foot").last).to_contain_text("Reasoned")
        page.click("#new-chat")
        ask(page, "The second chat")
        expect(page.locator("#title")).to_have_text("The second chat")
        expect(page.locator(".foot").last).to_contain_text("Reasoned")
        page.locator("#chats li").last.locator(":is(a, button)").first.click()
        expect(page.locator("#title")).to_have_text("The first chat")
        page.fill("#prompt", "half a\n  sentence")
        expire(page)
        expect(page.locator("#token-button")).to_have_text("Sign in")
        assert len(site.visits) == 1
        sign_in(page)
        expect(page.locator("#title")).to_have_text("The first chat")
        expect(page.locator(".request .text")).to_have_text("The first chat")
        expect(page.locator("#prompt")).to_have_value("half a\n  sentence")
        ask(page, "On")
        expect(page.locator("article")).to_have_count(2)


@pytest.mark.parametrize("asset", ["Revenue (metric)", "Seen (metric)", "another asset…"])
def test_the_asset_that_was_picked_is_picked_again(browser: Browser, folder: Path, asset: str) -> None:
    with signing_in(browser, folder) as (page, program, _):
        page.goto(address(program.url))
        is_live(page)
        page.evaluate(f"document.getElementById('asset').lastElementChild.before(new Option('Seen (metric)', '{OTHER}'))")
        page.select_option("#asset", label=asset)
        if asset.startswith("another"):
            page.fill("#other-asset", OTHER)
        page.fill("#prompt", "about it")
        expire(page)
        sign_in(page)
        expect(page.locator("#asset option:checked")).to_have_text(asset)
        expect(page.locator("#prompt")).to_have_value("about it")
        if asset.startswith("another"):
            expect(page.locator("#other-asset")).to_have_value(OTHER)
            expect(page.locator("#other-asset")).to_be_visible()


def test_whoever_comes_back_as_somebody_else_finds_nothing_of_the_first_one(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, _, site):
        sign_in(page)
        ask(page, "Alice's chat")
        expect(page.locator(".foot").last).to_contain_text("Reasoned")
        page.fill("#prompt", "Alice's secret")
        expire(page)
        site.user = BOB
        page.click("#sign-in")
        expect(page.locator("#who")).to_have_text("Bob")
        is_live(page)
        expect(page.locator("#prompt")).to_have_value("")
        expect(page.locator("#chats li")).to_have_count(0)
        assert "Alice's" not in page.content() + page.evaluate("JSON.stringify(sessionStorage)")


def test_whoever_is_signed_in_is_asked_before_somebody_elses_token_is_taken(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, _, site):
        sign_in(page)
        page.fill("#prompt", "Alice's secret")
        choose(page, "#token-button")
        expect(page.locator(REASON)).to_have_text("You are signed in as Alice. You can sign in again, or as somebody else.")
        site.user = BOB
        page.click("#sign-in")
        expect(page.locator("#switch-dialog")).to_be_visible()
        page.get_by_role("button", name="Stay").click()
        is_live(page)
        expect(page.locator("#who")).to_have_text("Alice")
        expect(page.locator("#prompt")).to_have_value("Alice's secret")


def test_whoever_comes_back_without_a_token_is_asked_and_not_sent_again(browser: Browser, folder: Path) -> None:
    with signing_in(browser, folder) as (page, _, site):
        sign_in(page)
        page.fill("#prompt", "half")
        expire(page)
        site.gives = False
        with page.expect_navigation():
            page.click("#sign-in")
        expect(page.locator(REASON)).to_have_text(re.compile("expired"))
        expect(page.locator("#prompt")).to_have_value("half")
        assert len(site.visits) == 2
        site.gives = True
        sign_in(page)
        expect(page.locator("#prompt")).to_have_value("half")


def test_the_dialog_for_a_token_says_what_that_is_once_and_lets_go_of_what_was_not_used(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        before = fake.socket
        choose(page, "#token-button")
        said = page.locator("#token-dialog").inner_text()
        assert said.count("A token is") == said.count("You are signed in as Alice.") == said.count("make run") == 1
        expect(page.get_by_label("Token")).to_be_focused()
        for key in ("Escape", "#token-cancel"):
            page.fill("#token", "secret")
            page.press("#token", key) if key == "Escape" else page.click(key)
            expect(page.locator("#token-dialog")).to_be_hidden()
            expect(page.locator("#token")).to_have_value("")
            choose(page, "#token-button")
        assert fake.socket is before


EXPIRED, GOOD = (issue_token(SECRET, ALICE, ttl, PERSON) for ttl in (-5, 600))


@pytest.mark.parametrize(
    ("token", "code", "reason", "said"),
    [
        (GOOD, 4401, "invalid token", "The server does not know this token."),
        (EXPIRED, 4401, "invalid token", "Your token has expired."),
        (GOOD, 4001, "token expired", "Your token has expired."),
        (GOOD, 4001, "token revoked", "The server does not take this token any more."),
        ("bnVsbA.bnVsbA", 4401, "invalid token", "The server does not know this token."),
    ],
)
def test_the_dialog_says_what_is_wrong_with_a_token_and_what_to_do(
    browser: Browser, token: str, code: int, reason: str, said: str
) -> None:
    with faked(browser) as (page, fake):
        choose(page, "#token-button")
        page.fill("#token", token)
        page.click("#sign-in")
        fake.until(lambda: token in fake.socket.url)
        is_live(page)
        fake.socket.close(code=code, reason=reason)
        expect(page.locator(REASON)).to_contain_text(said)
        expect(page.locator("#light[data-state=closed]")).to_be_visible()
        expect(page.locator("#token-button")).to_have_text("Sign in")
        page.keyboard.press("Escape")
        choose(page, "#token-button")
        expect(page.locator(REASON)).to_contain_text(said)  # as long as nothing else is known


def test_a_server_that_is_away_is_told_from_one_that_refuses(browser: Browser, folder: Path) -> None:
    with tab(browser, may_complain=True) as page:
        with serving(folder) as program:
            page.goto(address(program.url))
            is_live(page)
            port = program.url.split("/")[2].split(":")[1]
            program.stop()
        expect(page.locator("#light[data-state=connecting]")).to_be_visible()
        expect(page.locator("#token-dialog")).to_be_hidden()
        choose(page, "#token-button")
        expect(page.locator(REASON)).to_have_text("There is no connection to the server now. The page tries again by itself.")
        page.click("#token-cancel")
        with serving(folder, "--port", port, JWT_SECRET="another secret, which has at least 32 characters"):
            expect(page.locator(REASON)).to_contain_text("The server does not know this token.")
            expect(page.locator("#light[data-state=closed]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_has_nothing_to_say_about_the_dialog(browser: Browser, folder: Path, scheme: str) -> None:
    with (
        serving(folder, LOGIN_URL="http://127.0.0.1:1/") as program,
        tab(browser, color_scheme=scheme, bypass_csp=True) as page,
    ):
        page.goto(here(program))
        expect(page.locator("#token-dialog")).to_be_visible()
        assert complaints_of(page) == []
