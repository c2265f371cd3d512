"""What a person does to chats and answers in the page: names, favours, copies, deletes, rates and finds them."""

import re
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.busy_page import button
from tests.support.page import QUICK, address, answered, complaints_of, is_live, pick, second_tab, tab
from tests.support.program import serving


def test_a_chat_is_named_and_favoured_on_every_tab(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "What is this?")
        second = second_tab(page)
        second.locator("#chats a").click()
        pick(page, "Rename")
        expect(page.locator("#new-title")).to_have_value("What is this?")
        page.fill("#new-title", "Of <b>revenue</b>")
        page.press("#new-title", "Enter")
        pick(page, "Add to favourites")
        for each in (page, second):
            expect(each.locator("#title")).to_have_text("Of <b>revenue</b>")
            expect(each.locator("#chats li")).to_contain_text(["Of <b>revenue</b>"])
            expect(each.locator("#chats small")).to_contain_text("★")
            expect(each.locator("#chats h2")).to_have_text("Favourites")
        pick(second, "Remove from favourites", "Of <b>revenue</b>")
        expect(page.locator("#chats small")).not_to_contain_text("★")
        expect(page.locator("#chats h2")).to_have_text("Today")


def test_a_title_is_kept_when_the_person_thinks_better_of_it(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "What is this?")
        pick(page, "Rename")
        page.fill("#new-title", "Another")
        button(page.locator("#rename-dialog"), "Cancel").click()
        button(page, "More about this chat").click()
        page.get_by_role("menuitem", name="Delete").focus()
        page.keyboard.press("Escape")
        pick(page, "Add to favourites")
        expect(page.locator("#chats small")).to_contain_text("★")  # whatever was asked before is done by now
        expect(page.locator("#title")).to_have_text("What is this?")


def test_a_copy_is_a_chat_of_its_own_and_a_deleted_chat_is_gone_on_every_tab(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.clock.install()
        page.goto(address(program.url))
        is_live(page)
        answered(page, "What is this?")
        second = second_tab(page)
        pick(page, "Make a copy")
        for each in (page, second):
            expect(each.locator("#chats li")).to_have_count(2)
        expect(page.locator("article")).to_have_count(1)
        pick(page, "Rename")
        page.fill("#new-title", "The copy")
        page.press("#new-title", "Enter")
        expect(page.locator("#chats a[aria-current=true]")).to_contain_text("The copy")
        pick(page, "Delete")
        expect(page.locator("#undo")).to_contain_text("Deleted “The copy”.")
        expect(page.locator("#chats li")).to_have_count(1)
        expect(second.locator("#chats li")).to_have_count(2)
        page.clock.run_for(7000)
        for each in (page, second):
            expect(each.locator("#chats li")).to_have_count(1)
            expect(each.locator("#chats")).to_contain_text("What is this?")
        expect(page.locator("#undo")).to_have_text("")
        expect(page.locator("#title")).to_have_text("New chat")
        expect(page.locator("article")).to_have_count(0)


def test_an_answer_is_rated_and_the_rating_taken_back(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser) as page:
        page.goto(address(program.url))
        is_live(page)
        answered(page, "What is this?")
        good, bad = button(page, "A good answer"), button(page, "A bad answer")
        bad.click()
        expect(bad).to_have_attribute("aria-pressed", "true")
        good.click()
        expect(bad).to_have_attribute("aria-pressed", "false")
        page.reload()
        is_live(page)
        page.locator("#chats a").click()
        expect(good).to_have_attribute("aria-pressed", "true")
        good.click()
        expect(good).to_have_attribute("aria-pressed", "false")


def test_chats_are_found_by_their_words_and_opened(browser: Browser, folder: Path) -> None:
    with serving(folder, **QUICK) as program, tab(browser, bypass_csp=True) as page:
        page.goto(address(program.url))
        is_live(page)
        for prompt in ("Of revenue in Norway", "Of costs in Norway", "Of revenue in Chile"):
            answered(page, prompt)
        items = page.locator("#chats .text")
        page.fill("#search", "norway REV")
        expect(items).to_have_text(["Of revenue in Norway"])
        expect(items.locator("mark")).to_have_text(["rev", "Norway"])
        page.locator("#chats a").click()
        expect(page.locator("#title")).to_have_text("Of revenue in Norway")
        page.fill("#search", "norway")
        expect(items).to_have_text(["Of costs in Norway", "Of revenue in Norway"])
        page.fill("#search", "nobody said this")
        expect(page.locator("#found")).to_have_text("No chat has all of these words.")
        expect(items).to_have_count(0)
        assert complaints_of(page) == []
        page.fill("#search", "")
        expect(items.locator("mark")).to_have_count(0)
        expect(items).to_have_text([re.compile("Chile"), re.compile("costs"), re.compile("revenue in Norway")])
