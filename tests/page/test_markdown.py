"""Markdown in a real DOM, under the page's own policy. `make test-js` has what needs no browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.fake_page import CHAT, MESSAGE, a_chat, a_delta, a_message, faked
from tests.support.page import complaints_of, tab
from tests.support.program import serving

HERE = Path(__file__).parent

BEGIN = """async () => {
    const { Markdown } = await import("/markdown.js");
    const begin = () => Object.assign(document.createElement("div"), { className: "markdown" });
    globalThis.box = begin();
    document.body.style.display = "block"; // not a row of columns, which would be as narrow as their words
    document.body.replaceChildren(box);
    globalThis.view = new Markdown(box);
    globalThis.drawn = (text) => { const other = begin(); new Markdown(other).set(text); return other; };
}"""


SELECT = """([text, place]) => {
    view.set(text);
    getSelection().setBaseAndExtent(box.querySelector(place), 0, box.querySelector(place), 1);
}"""


@contextmanager
def page_with_markdown(browser: Browser, folder: Path) -> Iterator[Page]:
    """The console's page, emptied: `view` draws into `box`. The tests' own modules are there beside the server's."""
    with serving(folder) as program, tab(browser, permissions=["clipboard-read", "clipboard-write"]) as page:
        for name in ("texts.mjs", "hostile.mjs"):
            page.route(
                f"**/{name}", lambda route, _, name=name: route.fulfill(path=HERE / name, content_type="text/javascript")
            )
        page.goto(f"http://{program.url.split('/')[2]}/")
        page.evaluate(BEGIN)
        yield page


def test_generated_texts_in_pieces_become_the_same_nodes_as_whole(browser: Browser, folder: Path) -> None:
    with page_with_markdown(browser, folder) as page:
        differing = page.evaluate("""async () => {
            const { WILD, chance, madeText } = await import("/texts.mjs"), next = chance(1), differing = [];
            for (let i = 0; i < 1000; i++) {
                const text = madeText(next, WILD), step = 1 + Math.floor(next() * 8);
                for (let end = 0; end < text.length; end += step) view.set(text.slice(0, end));
                view.set(text);
                if (!box.isEqualNode(drawn(text))) differing.push(text);
            }
            return differing;
        }""")
        assert differing == []


def test_no_text_makes_a_script_run_a_request_or_a_link_to_elsewhere(browser: Browser, folder: Path) -> None:
    with page_with_markdown(browser, folder) as page:
        requests: list[str] = []
        page.evaluate("() => import('/hostile.mjs')")
        page.on("request", lambda request: requests.append(request.url))
        schemes, tags = page.evaluate("""async () => {
            const { EVIL, HTML, around } = await import("/hostile.mjs"), schemes = new Set(), tags = new Set();
            for (const evil of [...EVIL, ...HTML]) {
                for (const text of around(evil)) {
                    view.set(text);
                    for (const { protocol } of box.querySelectorAll("a")) schemes.add(protocol);
                    for (const { localName } of box.querySelectorAll("*")) tags.add(localName);
                }
            }
            return [[...schemes], [...tags]];
        }""")
        assert set(schemes) <= {"http:", "https:", "mailto:"}
        assert not set(tags) & {"script", "img", "svg", "iframe", "style", "object", "embed", "link"}
        assert requests == []


def test_a_selection_stays_while_the_text_grows(browser: Browser, folder: Path) -> None:
    with page_with_markdown(browser, folder) as page:
        for text, place in (("# a\n\n- one *two*\n", "li em"), ("one *two* three", "p em"), ("```\none\n", "code")):
            page.evaluate(SELECT, [text, place])
            before = page.evaluate("String(getSelection())")
            assert before.strip()
            page.evaluate("(text) => { for (const more of ' of the\\nrest\\n\\nx') view.set((text += more)); }", text)
            assert page.evaluate("String(getSelection())").startswith(before)


def test_the_code_of_a_block_is_copied(browser: Browser, folder: Path) -> None:
    with page_with_markdown(browser, folder) as page:
        page.evaluate("view.set('```js\\nconst a = 1; // b\\n```')")
        assert page.locator(".code > div span").text_content() == "js"
        page.get_by_role("button", name="Copy").click()
        page.get_by_role("button", name="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "const a = 1; // b\n"


@pytest.mark.parametrize("nested", ["> ", "- ", "*a **b ", "[![", "~~a _b "])
def test_a_text_that_nests_deeply_is_drawn_and_laid_out(browser: Browser, folder: Path, nested: str) -> None:
    with page_with_markdown(browser, folder) as page:
        text = nested * 10_000 + "a" + nested.strip()[::-1] * 10_000
        assert page.evaluate("(text) => { view.set(text); return box.offsetHeight; }", text) > 0


def test_words_that_are_written_from_the_right_begin_there(browser: Browser, folder: Path) -> None:
    with page_with_markdown(browser, folder) as page:
        text = "## مرحبا\n\n- مرحبا\n  - hello\n\n> שלום\n\n| שלום | a |\n|---|---|\n| b | c |\n\n`a` שלום\n\n```\na\n```"
        page.evaluate("(text) => view.set(text)", text)
        sides = page.evaluate("""() => [...box.querySelectorAll("h3, ul, blockquote, table, p, pre")].map((node) => {
            const { direction } = getComputedStyle(node);
            return `${node.localName} ${direction}`;
        })""")
        assert sides == [
            *("h3 rtl", "ul rtl", "p rtl", "ul rtl", "p rtl", "blockquote rtl", "p rtl", "table rtl", "p rtl", "pre ltr")
        ]
        left = """(name) => {
            const range = document.createRange();
            const node = [...box.querySelectorAll("li p")].find((each) => each.textContent === name);
            range.selectNodeContents(node);
            return range.getBoundingClientRect().left - node.getBoundingClientRect().left;
        }"""
        assert page.evaluate(left, "hello") == 0  # on the left, within a list that is on the right
        assert page.evaluate(left, "مرحبا") > 100


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_checker_of_accessibility_finds_nothing_in_it(browser: Browser, folder: Path, scheme: str) -> None:
    text = (
        "## a\n\n#### b\n\n- [ ] c\n- [x] d `e`\n\n| f | g |\n|---|---|\n| h | i |\n\n> j [k](http://l.m)\n\n---\n\n~~n~~\n\n"
    )
    with page_with_markdown(browser, folder) as page:
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.evaluate(
            """(text) => {
            const main = document.createElement("main"), other = document.createElement("div");
            main.append(document.createElement("h1"), document.createElement("h2"), box, other);
            main.children[0].textContent = main.children[1].textContent = "a";
            box.className = other.className = "markdown";
            document.body.replaceChildren(main);
            view.set(text + '```js\\nconst p = "q"; // r\\nf(1);\\n```\\n');
            other.append(...drawn(text).childNodes);
        }""",
            text,
        )
        assert complaints_of(page) == []


def test_an_answer_is_drawn_as_markdown_and_a_prompt_is_not(browser: Browser) -> None:
    with faked(browser) as (page, fake):
        fake.say("initializeChat", a_chat(CHAT, a_message(MESSAGE)))
        for delta in ("**Re", "sults**\n\n- one\n", "- [two](https://a.b)\n\n```py\nx = 1\n"):
            fake.say("generatingResponseMessage", a_delta(CHAT, MESSAGE, delta))
        expect(page.locator("#messages .markdown strong")).to_have_text("Results")
        expect(page.locator("#messages .markdown li")).to_have_text(["one", "two"])
        expect(page.locator("#messages .markdown li a")).to_have_attribute("rel", "noopener noreferrer nofollow")
        expect(page.locator("#messages .markdown pre")).to_have_text("x = 1")
        expect(page.locator("#messages .request strong")).to_have_count(0)
