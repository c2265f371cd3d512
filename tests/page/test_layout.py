"""How the page is laid out, by touch and by keyboard, from a small phone to a wide screen, in light and in dark."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.fake_page import CHAT, MESSAGE, NEXT, OTHER_CHAT, Fake, a_chat, a_delta, a_message, faked
from tests.support.page import choose, complaints_of, inspect, is_live

SIZES = {"phone": (390, 844), "tablet": (768, 1024), "laptop": (1280, 800), "screen": (1920, 1080)}
TOOL = {"name": "count", "call_id": "1"}
ASSETS = {"metric:m1": "Revenue", "dashboard:d1": "How we are doing"}
LONG = "\n\n".join(f"Paragraph {number} of a long answer, which has more than one line on a phone." for number in range(60))


@contextmanager
def sized(browser: Browser, size: str, **options: Any) -> Iterator[tuple[Page, Fake]]:
    """A live page of this size; a phone and a tablet are touched."""
    width, height = SIZES[size]
    is_touched = size in ("phone", "tablet")
    options = {"viewport": {"width": width, "height": height}, "has_touch": is_touched, "is_mobile": is_touched, **options}
    with faked(browser, **options) as (page, fake):
        yield page, fake


def bring_assets(page: Page) -> None:
    page.evaluate("(assets) => { location.hash = `token=one${assets}` }", "".join(f"&asset={id}:{ASSETS[id]}" for id in ASSETS))
    expect(page.locator("#asset option")).to_have_count(2 + len(ASSETS))


def a_step(id: str, title: str | None, chunk: str | None = None, **more: object) -> dict[str, Any]:
    """A step of the reasoning, as the wire tells it."""
    step = {"type": "text", "id": id, "title": title, "secondary_title": None, "message": None, "message_chunk": chunk}
    payload = {"reasoning": step | {"status": "loading"} | more, "chat_id": str(CHAT), "message_id": str(MESSAGE)}
    return payload | {"progress": "in_progress"}


def think(fake: Fake, *steps: dict[str, Any]) -> None:
    for step in steps:
        fake.say("generatingReasoningMessage", step)


def overflow(page: Page) -> int:
    """By how many pixels anything is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def left(page: Page) -> float:
    """How far the messages are from their end."""
    return float(page.locator("#messages").evaluate("(it) => it.scrollHeight - it.scrollTop - it.clientHeight"))


def box(it: Locator) -> dict[str, float]:
    found = it.bounding_box()
    assert found
    return {"x": found["x"], "y": found["y"], "width": found["width"], "height": found["height"]}


# Axe, in each state


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_a_checker_of_accessibility_has_nothing_to_say_in_any_state(browser: Browser, size: str, scheme: str) -> None:
    with sized(browser, size, color_scheme=scheme, bypass_csp=True) as (page, fake):

        def is_good(state: str) -> None:
            assert (state, complaints_of(page), max(0, overflow(page))) == (state, [], 0)

        bring_assets(page)
        is_good("start")
        fake.say("getChatsList", [a_chat(CHAT), a_chat(OTHER_CHAT)], "/chats/list")
        if size == "phone":
            page.tap("#sidebar-open")
            is_good("drawer")
            page.keyboard.press("Escape")
        choose(page, "#theme label:last-child")
        is_good("menu")
        page.locator("#theme label").first.click()
        page.keyboard.press("Escape")
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        think(
            fake,
            a_step("r", "Looking at Revenue", "One line\nand another"),
            a_step("t", "Counting", tool=TOOL),
        )
        expect(page.locator(".thoughts")).to_be_visible()
        is_good("reasoning")
        page.click(".thoughts")
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, LONG))
        expect(page.locator("#messages .markdown")).to_contain_text("Paragraph 59")
        page.locator("#messages").evaluate("(it) => it.scrollTo(0, 0)")
        expect(page.locator("#to-end")).to_be_visible()
        is_good("scrolled up")
        inspect(page)
        is_good("inspector")
        page.click("#inspector-close")
        fake.socket.close(code=4029, reason="too many connections")
        expect(page.locator("#light[data-state=connecting]")).to_be_visible()
        is_good("not connected")


# The drawers


def test_the_chats_are_a_drawer_on_a_phone(browser: Browser) -> None:
    with sized(browser, "phone") as (page, fake):
        fake.say("getChatsList", [a_chat(CHAT), a_chat(OTHER_CHAT)], "/chats/list")
        drawer, opener = page.locator("#sidebar"), page.locator("#sidebar-open")
        expect(drawer).to_be_hidden()
        opener.tap()
        expect(drawer).to_be_visible()
        expect(opener).to_have_attribute("aria-expanded", "true")
        expect(page.locator("#sidebar-close")).to_be_focused()
        assert page.locator("#middle").evaluate("(it) => it.inert")
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        expect(opener).to_be_focused()
        assert not page.locator("#middle").evaluate("(it) => it.inert")
        opener.tap()
        page.touchscreen.tap(370, 600)  # what is behind it
        expect(drawer).to_be_hidden()
        opener.tap()
        page.locator("#chats [aria-current]").last.tap()
        expect(drawer).to_be_hidden()
        fake.wait_for("/chats/get")
        expect(page.locator("#messages")).to_be_focused()
        opener.tap()
        page.tap("#new-chat")
        expect(drawer).to_be_hidden()
        expect(page.locator("#prompt")).to_be_focused()


def test_an_escape_that_closes_something_stops_no_answer(browser: Browser) -> None:
    with sized(browser, "phone") as (page, fake):
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("#stop")).to_be_visible()
        page.tap("#sidebar-open")
        page.keyboard.press("Escape")
        page.tap("#menu-button")
        page.keyboard.press("Escape")
        expect(page.locator("#menu")).to_be_hidden()
        expect(page.locator("#menu-button")).to_be_focused()
        inspect(page)
        expect(page.locator("#inspector-close")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#inspector")).to_be_hidden()
        expect(page.locator("#menu-button")).to_be_focused()
        assert not fake.requests("/chats/stop")
        page.keyboard.press("Escape")
        fake.wait_for("/chats/stop")


def test_a_list_that_somebody_has_put_away_stays_away(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, _):
        expect(page.locator("#sidebar")).to_be_visible()
        expect(page.locator("#sidebar-open")).to_be_hidden()
        page.click("#sidebar-close")
        expect(page.locator("#sidebar")).to_be_hidden()
        expect(page.locator("#sidebar-open")).to_be_focused()
        page.reload()
        is_live(page)
        expect(page.locator("#sidebar")).to_be_hidden()
        page.locator("#sidebar-open").press("Enter")
        expect(page.locator("#sidebar-close")).to_be_focused()
        page.reload()
        is_live(page)
        expect(page.locator("#sidebar")).to_be_visible()


def test_a_window_that_becomes_wide_has_no_drawer_any_more(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, _):
        page.set_viewport_size({"width": 390, "height": 844})
        expect(page.locator("#sidebar")).to_be_hidden()
        page.click("#sidebar-open")
        page.set_viewport_size({"width": 1280, "height": 800})
        expect(page.locator("#backdrop")).to_be_hidden()
        expect(page.locator("#sidebar")).to_be_visible()
        page.fill("#prompt", "It can be used.")


# The inspector


def test_the_inspector_is_closed_until_it_is_asked_for_and_stays_as_it_was_left(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, _):
        divider = page.locator("#divider")
        expect(page.locator("#inspector")).to_be_hidden()
        inspect(page)
        expect(page.locator("#frames li").first).to_be_visible()
        before = box(page.locator("#inspector"))["width"]
        divider.focus()
        page.keyboard.press("ArrowLeft")
        wider = box(page.locator("#inspector"))["width"]
        assert wider > before
        expect(divider).to_have_attribute("aria-valuenow", f"{wider:.0f}")
        page.keyboard.press("ArrowRight")
        assert box(page.locator("#inspector"))["width"] == before
        for key, limit in (("Home", "aria-valuemin"), ("End", "aria-valuemax")):
            page.keyboard.press(key)
            assert divider.get_attribute("aria-valuenow") == divider.get_attribute(limit)
        at = box(divider)
        page.mouse.move(at["x"] + 3, 300)
        page.mouse.down()
        page.mouse.move(800, 320, steps=4)
        page.mouse.up()
        page.mouse.move(600, 320)
        assert box(page.locator("#inspector"))["width"] == pytest.approx(480, abs=2)
        page.reload()
        is_live(page)
        expect(page.locator("#inspector")).to_be_visible()
        assert box(page.locator("#inspector"))["width"] == pytest.approx(480, abs=2)
        inspect(page)
        expect(page.locator("#inspector")).to_be_hidden()
        page.reload()
        is_live(page)
        expect(page.locator("#inspector")).to_be_hidden()


def test_the_inspector_is_over_the_chat_on_a_phone(browser: Browser) -> None:
    with sized(browser, "phone") as (page, _):
        inspect(page)
        assert box(page.locator("#inspector")) == {"x": 0, "y": 0, "width": 390, "height": 844}
        assert page.locator("#middle").evaluate("(it) => it.inert")
        page.tap("#inspector-close")
        expect(page.locator("#inspector")).to_be_hidden()
        page.tap("#prompt")
        expect(page.locator("#prompt")).to_be_focused()


def test_a_browser_that_keeps_nothing_can_be_used(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, fake):
        page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })")
        fake.open()
        page.reload()
        is_live(page)
        choose(page, "#theme label:last-child")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        page.click("#inspector-button")
        page.locator("#divider").press("ArrowLeft")
        page.click("#sidebar-close")
        expect(page.locator("#sidebar")).to_be_hidden()


# The composer


@pytest.mark.parametrize(("size", "is_focused"), [("phone", False), ("laptop", True)])
def test_one_can_type_at_once_but_no_keyboard_hides_the_start_of_a_phone(browser: Browser, size: str, is_focused: bool) -> None:
    with sized(browser, size) as (page, _):
        expect(page.locator("#prompt:focus")).to_have_count(int(is_focused))


@pytest.mark.parametrize("by_itself", [True, False])
@pytest.mark.parametrize("size", ["phone", "laptop"])
def test_the_prompt_grows_with_its_text_and_leaves_room(browser: Browser, size: str, by_itself: bool) -> None:
    with sized(browser, size, bypass_csp=True) as (page, fake):
        if not by_itself:  # as in a browser without it
            page.add_init_script("CSS.supports = () => false")
            page.reload()
            is_live(page)
            page.add_style_tag(content="#prompt { field-sizing: fixed !important }")
        prompt = page.locator("#prompt")
        before, bottom = box(prompt)["height"], box(page.locator("#composer"))
        page.fill("#prompt", "one\ntwo\nthree")
        assert box(prompt)["height"] > before + 40
        page.fill("#prompt", "line\n" * 200)
        assert box(prompt)["height"] == pytest.approx(SIZES[size][1] * 0.4, abs=2)
        after = box(page.locator("#composer"))
        assert after["y"] + after["height"] == pytest.approx(bottom["y"] + bottom["height"], abs=1)
        page.press("#prompt", "Enter")
        fake.wait_for("/chats/post")
        page.wait_for_function("(before) => document.getElementById('prompt').offsetHeight <= before + 1", arg=before)


def test_send_and_stop_have_one_place(browser: Browser) -> None:
    with sized(browser, "phone") as (page, fake):
        place = box(page.locator("#send"))
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        expect(page.locator("#stop")).to_be_visible()
        expect(page.locator("#send")).to_be_hidden()
        assert box(page.locator("#stop")) == place
        page.fill("#prompt", "A follow-up")  # which waits its turn
        expect(page.locator("#send")).to_be_visible()
        expect(page.locator("#stop")).to_be_visible()
        page.tap("#send")
        fake.wait_for("/chats/post")
        expect(page.locator("#send")).to_be_hidden()


# Scrolling


def stream(fake: Fake, *, done: bool = False) -> None:
    """A chat with a long answer, that goes on unless it is done."""
    fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE, LONG, done=done)))


def test_it_stays_at_the_end_until_somebody_scrolls_up_and_then_offers_to_go_there(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, fake):
        jump = page.locator("#to-end")
        stream(fake)
        expect(page.locator("#messages .markdown")).to_be_visible()
        for number in range(5):
            fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, f"\n\nMore {number}"))
            expect(page.locator("#messages .markdown")).to_contain_text(f"More {number}")
            assert left(page) < 2
        expect(jump).to_be_hidden()
        page.mouse.move(700, 300)
        page.mouse.wheel(0, -30)  # not even far
        page.mouse.wheel(0, -600)
        expect(jump).to_be_visible()
        page.wait_for_function(STILL)
        place = page.locator("#messages").evaluate("(it) => it.scrollTop")
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "\n\nStill more"))
        expect(page.locator("#messages .markdown")).to_contain_text("Still more")
        assert page.locator("#messages").evaluate("(it) => it.scrollTop") == place
        expect(jump).to_have_attribute("data-new", "true")
        expect(jump).to_have_attribute("aria-label", re.compile("New text below"))
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, LONG, done=True)))
        expect(jump).to_have_attribute("data-new", "false")
        jump.click()
        expect(jump).to_be_hidden()
        assert left(page) < 2
        expect(page.locator("#messages")).to_be_focused()


# Nothing has been scrolled for some pictures.
STILL = """() => new Promise((resolve) => {
  const box = document.getElementById("messages");
  let top = -1, count = 0;
  const look = () => {
    count = box.scrollTop === top ? count + 1 : 0;
    top = box.scrollTop;
    if (count > 10) resolve(true); else requestAnimationFrame(look);
  };
  look();
})"""


def test_a_small_turn_of_the_wheel_is_enough_to_read_while_text_comes(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, fake):
        stream(fake)
        expect(page.locator("#messages .markdown")).to_be_visible()
        page.mouse.move(700, 300)
        for number in range(8):
            page.mouse.wheel(0, -15)
            fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, f" word{number}"))
            expect(page.locator("#messages .markdown")).to_contain_text(f"word{number}")
        page.wait_for_function(STILL)
        assert left(page) > 60


def test_what_is_opened_at_the_end_is_not_scrolled_away(browser: Browser) -> None:
    with sized(browser, "phone") as (page, fake):
        stream(fake)
        steps = [a_step(f"r{number}", f"Step {number}", "A thought.\n" * 10) for number in range(3)]
        think(fake, *steps)
        expect(page.locator(".thoughts")).to_have_count(1)
        page.locator("#messages").evaluate("(it) => it.scrollTo(0, 0)")
        page.tap(".thoughts")
        before = box(page.locator(".thoughts"))
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, " more"))
        expect(page.locator("#messages .markdown")).to_contain_text(" more")
        assert box(page.locator(".thoughts")) == before


@pytest.mark.parametrize("by", ["button", "keyboard"])
def test_the_answer_is_in_view_after_send_on_a_phone(browser: Browser, by: str) -> None:
    with sized(browser, "phone") as (page, fake):
        stream(fake, done=True)
        expect(page.locator("#messages .markdown")).to_be_visible()
        page.locator("#messages").evaluate("(it) => it.scrollTo(0, 0)")
        page.tap("#prompt")
        page.set_viewport_size({"width": 390, "height": 480})  # the keyboard comes
        expect(page.locator("#send")).to_be_in_viewport(ratio=1)
        page.fill("#prompt", "And then?")
        page.tap("#send") if by == "button" else page.press("#prompt", "Enter")
        post = fake.wait_for("/chats/post")
        expect(page.locator("#prompt")).not_to_be_focused()  # so it goes
        page.set_viewport_size({"width": 390, "height": 844})
        answer = a_message(MESSAGE, LONG, done=True), a_message(NEXT, "This is the answer.")
        fake.say("initializeChat", a_chat(CHAT, *answer), label=post["id"])
        said = page.locator("#messages .markdown").last
        expect(said).to_have_text("This is the answer.")
        expect(said).to_be_in_viewport(ratio=1)
        expect(page.locator(".request").last).to_be_in_viewport(ratio=1)
        assert box(said)["y"] + box(said)["height"] < box(page.locator("#composer"))["y"]


SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) shifts.push([value, ...sources.map((each) => each.node?.className)]);
  }).observe({ type: "layout-shift", buffered: false });
}"""


@pytest.mark.parametrize("size", ["phone", "laptop"])
def test_nothing_jumps_while_an_answer_comes(browser: Browser, size: str) -> None:
    with sized(browser, size) as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "Short.", done=True)))
        expect(page.locator("#messages .markdown")).to_be_visible()
        page.evaluate(SHIFTS)
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        for number in range(6):
            think(fake, a_step(f"r{number}", f"Step {number}", "A thought.\n" * 5))
            expect(page.locator(".thoughts")).to_have_text(f"Step {number}…")
        for number in range(60):
            fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, f"Sentence {number} of the answer, which grows. "))
            expect(page.locator("#messages .markdown")).to_contain_text(f"Sentence {number} ")
        said = page.locator("#messages .markdown").text_content() or ""
        steps = {f"r{number}": a_step(f"r{number}", f"Step {number}", "A thought.\n" * 5)["reasoning"] for number in range(6)}
        thoughts = {"reasoning_message_ids": list(steps), "reasoning_messages": steps}
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, said, done=True) | thoughts))
        expect(page.locator(".foot")).to_contain_text("Reasoned")
        page.evaluate("() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
        shifts = page.evaluate("shifts")
        assert sum(each[0] for each in shifts) < 0.05, shifts


# Reasoning


def test_reasoning_is_one_line_that_opens_to_all_of_its_steps(browser: Browser) -> None:
    with faked(browser, has_clock=True) as (page, fake):
        line, steps = page.locator(".thoughts"), page.locator(".reasoning")
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        think(fake, a_step("a", "Looking at Revenue", "It grows."))
        expect(line).to_have_text("Looking at Revenue…")
        think(fake, a_step("b", None, "Let me see.\nWhat of the south?"))
        expect(line).to_have_text("What of the south?…")
        think(fake, a_step("t", "Counting rows", tool=TOOL))
        think(fake, a_step("f", "Trying", status="failed"))
        expect(steps).to_have_count(4)
        expect(steps.nth(0)).to_be_hidden()
        expect(steps.nth(1)).to_be_hidden()
        expect(steps.nth(2)).to_be_visible()  # a tool
        expect(steps.nth(3)).to_be_visible()  # what has failed
        page.clock.run_for(3000)
        fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, "It is flat."))
        expect(line).to_have_text(re.compile(r"^Thought for [34] seconds$"))  # the clock also goes by itself
        line.press("Enter")
        expect(line).to_have_attribute("aria-expanded", "true")
        for number in range(4):
            expect(steps.nth(number)).to_be_visible()
        line.click()
        expect(steps.first).to_be_hidden()


@pytest.mark.parametrize(("said", "shown"), [("Reasoned for 12 seconds", "Thought for 12 seconds"), ("Stopped", "Thoughts")])
def test_reasoning_that_the_page_has_not_seen_says_what_the_message_says(browser: Browser, said: str, shown: str) -> None:
    with faked(browser) as (page, fake):
        step = a_step("a", "Looking")["reasoning"] | {"message": "Well.", "status": "completed"}
        message = a_message(MESSAGE, "Done.", done=True) | {"final_reasoning_message": said}
        message |= {"reasoning_message_ids": ["a"], "reasoning_messages": {"a": step}}
        fake.say("complete", a_chat(CHAT, message))
        expect(page.locator(".thoughts")).to_have_text(shown)
        expect(page.locator(".foot span")).to_have_text(said)


# The start


@pytest.mark.parametrize("size", ["phone", "laptop"])
def test_the_start_offers_prompts_and_assets_and_sends_them_at_once(browser: Browser, size: str) -> None:
    with sized(browser, size) as (page, fake):
        bring_assets(page)
        start = page.locator("#start")
        expect(start.get_by_role("list", name="Examples").get_by_role("button")).to_have_count(4)
        expect(start.locator("section p")).to_have_text(re.compile("a metric is .* a dashboard is "))
        cards = start.locator("section li button")
        expect(cards.locator(".text")).to_have_text(list(ASSETS.values()))
        expect(cards.locator("small")).to_have_text(["Metric", "Dashboard"])
        page.fill("#prompt", "half typed")
        start.get_by_role("button").first.click()
        assert fake.wait_for("/chats/post")["payload"]["prompt"] == "What can you help me with?"
        expect(start).to_be_hidden()
        expect(page.locator("#prompt")).to_have_value("half typed")
        page.fill("#prompt", "")
        if size == "phone":
            page.tap("#sidebar-open")
        page.click("#new-chat")
        expect(start).to_be_visible()
        cards.last.click()
        payload = fake.wait_for("/chats/post", 2)["payload"]
        assert (payload["asset_type"], payload["asset_id"]) == ("dashboard", "d1")


def test_a_start_without_assets_says_nothing_of_them(browser: Browser) -> None:
    with faked(browser) as (page, _):
        expect(page.locator("#start h2")).to_be_visible()
        expect(page.locator("#start section")).to_be_hidden()


# The theme


DARK, LIGHT = "rgb(23, 25, 30)", "rgb(255, 255, 255)"


def test_the_theme_is_chosen_by_keyboard_and_is_there_before_the_first_picture(browser: Browser) -> None:
    with faked(browser, color_scheme="light") as (page, _):
        body = page.locator("body")
        expect(body).to_have_css("background-color", LIGHT)
        page.locator("#menu-button").press("Enter")
        radios = page.get_by_role("group", name="Theme").get_by_role("radio")
        radios.first.focus()
        page.keyboard.press("ArrowLeft")  # it goes round
        expect(radios.last).to_be_checked()
        expect(body).to_have_css("background-color", DARK)
        assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
        page.add_init_script("""new MutationObserver((_, observer) => {
          if (!document.body) return;
          window.first = document.documentElement.dataset.theme;
          observer.disconnect();
        }).observe(document, { childList: true, subtree: true });""")
        page.reload()
        is_live(page)
        assert page.evaluate("first") == "dark"
        expect(body).to_have_css("background-color", DARK)
        other = page.context.new_page()
        Fake(other).open()
        choose(other, "#theme label:nth-of-type(2)")
        expect(other.locator("body")).to_have_css("background-color", LIGHT)
        expect(body).to_have_css("background-color", LIGHT)  # on each tab
        other.locator("#theme label").first.click()
        page.emulate_media(color_scheme="dark")
        expect(body).to_have_css("background-color", DARK)


def test_a_person_who_wants_no_motion_has_none(browser: Browser) -> None:
    for wants, names in (("reduce", {"none"}), ("no-preference", {"pulse"})):
        with faked(browser, reduced_motion=wants) as (page, fake):
            fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
            think(fake, a_step("a", "Looking"), a_step("t", "Counting", tool=TOOL))
            name = "(it) => getComputedStyle(it, it.matches('.thoughts') ? '::before' : null).animationName"
            for selector in (".thoughts", ".tool .lamp"):
                assert page.locator(selector).evaluate(name) in names


def test_forced_colours_leave_the_state_to_be_seen(browser: Browser) -> None:
    with faked(browser, forced_colors="active") as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "Well.", done=True) | {"feedback": "positive"}))
        chosen, lamp = page.locator("#chats [aria-current=true]"), page.locator("#light .lamp")
        expect(chosen).to_have_css("outline-style", "solid")
        expect(page.locator(".foot [aria-pressed=true]")).to_have_css("outline-style", "solid")
        expect(lamp).to_have_css("background-color", "rgb(26, 127, 55)")


# Every script


ARABIC, HEBREW = "كيف حال الإيرادات هذا الأسبوع؟", "איך ההכנסות השבוע?"
CHINESE, FAMILY = "本周的收入情况如何请给我一个简短的总结" * 20, "👩‍👩‍👧‍👦"

# Where the first line of an element's text is, within the element.
EDGES = """(it) => {
  const range = document.createRange();
  range.selectNodeContents(it);
  const line = [...range.getClientRects()].find((rect) => rect.width > 5), whole = it.getBoundingClientRect();
  return [line.left - whole.left, whole.right - line.right];
}"""


LAST = """(it) => {
  const range = document.createRange();
  range.selectNodeContents(it);
  return [...range.getClientRects()].at(-1).left - it.getBoundingClientRect().left;
}"""


@pytest.mark.parametrize("size", ["phone", "laptop"])
def test_arabic_and_hebrew_stand_at_the_right(browser: Browser, size: str) -> None:
    with sized(browser, size) as (page, fake):
        both = f"{ARABIC}\nEnglish again"
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, both, done=True)) | {"title": HEBREW})
        answer = page.locator("#messages .markdown p")
        expect(answer).to_have_text(both)
        far = 30
        at_left, at_right = answer.evaluate(EDGES)
        assert at_right < 2 < far < at_left
        assert answer.evaluate(LAST) < 2  # each line has its own direction
        expect(page.locator("#title")).to_have_css("direction", "rtl")
        page.fill("#prompt", ARABIC)
        expect(page.locator("#prompt")).to_have_css("direction", "rtl")
        if size == "laptop":
            at_left, at_right = page.locator("#chats .text").evaluate(EDGES)
            assert at_right < 2 < far < at_left


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_the_window_in_any_script(browser: Browser, width: int) -> None:
    said = f"{'x' * 400}\n{CHINESE}\n{FAMILY * 60}\n{ARABIC * 8}\nhttps://example.com/{'path/' * 60}"
    with faked(browser, viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True) as (page, fake):
        bring_assets(page)
        assert overflow(page) <= 0
        message = a_message(MESSAGE, said, done=True)
        message["request_message"]["request"] = said
        step = a_step("t", "x" * 300, tool={"name": "y" * 300, "call_id": "1"})["reasoning"]
        message |= {
            "reasoning_message_ids": ["t"],
            "reasoning_messages": {"t": step | {"message": "z" * 500, "status": "completed"}},
        }
        fake.say("complete", a_chat(CHAT, message) | {"title": "w" * 300})
        expect(page.locator("#messages .markdown")).to_have_text(said)
        page.locator(".tool summary").click()
        page.fill("#prompt", said)
        for name in ("#messages", "#composer", "header", "html"):
            assert page.locator(name).evaluate("(it) => it.scrollWidth - it.clientWidth") <= 0, name
        bubble, column = box(page.locator(".request")), box(page.locator("article"))
        assert bubble["width"] <= column["width"] * 0.85 + 1
        assert bubble["x"] + bubble["width"] == pytest.approx(column["x"] + column["width"], abs=1)
        families = page.locator("#messages .markdown p").evaluate("""(it) => {
          const range = document.createRange(), data = it.firstChild.data, at = data.indexOf("👩"), size = "👩‍👩‍👧‍👦".length;
          range.setStart(it.firstChild, at);
          range.setEnd(it.firstChild, at + size);
          return range.getClientRects().length;
        }""")
        assert families == 1  # it is whole, on one line
        if width < 768:
            page.tap("#sidebar-open")
            expect(page.locator("#sidebar")).to_be_visible()
            assert page.locator("#sidebar").evaluate("(it) => it.scrollWidth - it.clientWidth") <= 0


def test_the_column_is_no_wider_than_can_be_read(browser: Browser) -> None:
    with sized(browser, "screen") as (page, fake):
        fake.say("complete", a_chat(CHAT, a_message(MESSAGE, "word " * 200, done=True)))
        article, room = box(page.locator("article")), box(page.locator("#messages"))
        assert article["width"] <= 45 * 16
        assert article["x"] - room["x"] == pytest.approx(room["x"] + room["width"] - article["x"] - article["width"], abs=1)
        composer = box(page.locator("#composer"))
        assert (composer["x"], composer["width"]) == pytest.approx((article["x"], article["width"]), abs=1)


def test_the_foot_of_an_earlier_answer_is_seen_when_it_is_wanted(browser: Browser) -> None:
    with sized(browser, "laptop") as (page, fake):
        chat = a_chat(CHAT, a_message(MESSAGE, "One.", done=True), a_message(NEXT, "Two.", done=True))
        fake.say("complete", chat)
        first, last = (page.locator("article").nth(each).get_by_role("button", name="Run again") for each in (0, 1))
        page.mouse.move(5, 5)
        expect(first).to_have_css("opacity", "0")
        expect(last).to_have_css("opacity", "1")
        page.locator("article").first.hover()
        expect(first).to_have_css("opacity", "1")
        page.mouse.move(5, 5)
        first.focus()
        expect(first).to_have_css("opacity", "1")
    with sized(browser, "phone") as (page, fake):
        fake.say("complete", chat)
        expect(page.locator("article").first.get_by_role("button", name="Run again")).to_have_css("opacity", "1")
