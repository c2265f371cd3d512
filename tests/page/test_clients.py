"""docs/clients.md: each of its blocks in a browser, on a page of another origin than the server's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from playwright.sync_api import Browser, Page, expect

from backends.auth import PERSON, issue_token
from tests.support.house import SECRET
from tests.support.page import tab
from tests.support.program import ROOT, serving
from tests.support.world import ALICE

BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "docs/clients.md").read_text(), re.MULTILINE | re.DOTALL)
IMPORT = 'import { Threadcast } from "URL/threadcast.js"; const url = "URL";'
REACT = """
const React = { useEffect: (begin) => { React.end = begin(); }, useSyncExternalStore: (subscribe, get) => {
  subscribe(() => { React.seen = get(); });
  return get();
} };
const { useEffect, useSyncExternalStore } = React;
"""


def blocks(language: str) -> list[str]:
    return [text for each, text in BLOCKS if each == language]


@contextmanager
def elsewhere(browser: Browser, folder: Path, html: str, *, cors: bool = False) -> Iterator[Page]:
    """A page of another origin, with this text, in which URL is where the server is."""
    token = issue_token(SECRET, ALICE, 60, PERSON)
    answers = {"/token": token.encode()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(answers.get(self.path, b""))

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        try:
            settings = {"CORS_ORIGINS": origin} if cors else {}
            with serving(folder, OFFLINE_DELAY_MS="1", **settings) as program, tab(browser) as page:
                answers["/chat.html"] = html.replace("URL", f"http://{program.url.split('/')[2]}").encode()
                page.goto(f"{origin}/chat.html#{token}")
                yield page
        finally:
            server.shutdown()


def script(*parts: str) -> str:
    """A page that runs this, and says so in its title."""
    return f"<!doctype html><script type=module>{IMPORT}\n{''.join(parts)}\ndocument.title = 'done';</script>"


def test_the_pages_languages_are_those_that_are_run_here() -> None:
    assert [language for language, _ in BLOCKS] == ["html", "js", "jsx", "js"]


def test_15_lines_are_a_chat_that_goes_on(browser: Browser, folder: Path) -> None:
    (html,) = blocks("html")
    assert len(html.splitlines()) <= 15
    with elsewhere(browser, folder, html.replace("http://127.0.0.1:8000", "URL")) as page:
        for prompt in ("What is this?", "And that?"):
            page.fill("input", prompt)
            page.press("input", "Enter")
            expect(page.locator("#answer")).to_contain_text(f"You asked: “{prompt}”")


def test_a_token_that_a_function_fetches(browser: Browser, folder: Path) -> None:
    with elsewhere(browser, folder, script(blocks("js")[0])) as page:
        expect(page).to_have_title("done")


def test_events_from_another_origin_need_its_leave(browser: Browser, folder: Path) -> None:
    text = script("const token = location.hash.slice(1);", blocks("js")[1])
    with elsewhere(browser, folder, text, cors=True) as page:
        expect(page).to_have_title("done")


def test_the_hooks_of_react_show_a_chat_and_the_connection(browser: Browser, folder: Path) -> None:
    (hooks,) = blocks("jsx")
    hooks = re.sub(r"^import .*\n", "", hooks).replace("export ", "")
    use = """
    const client = new Threadcast({ url, token: location.hash.slice(1) }), answer = client.post({ prompt: "hi" });
    await answer.done;
    const chat = useChat(client, answer.chatId);
    if (useConnection(client) !== "live" || chat !== client.chats.get(answer.chatId)) throw Error("stale");
    await client.post({ prompt: "again", chatId: answer.chatId }).done;
    if (React.seen !== client.chats.get(answer.chatId) || React.seen.message_ids.length !== 2) throw Error("not seen");
    React.end();
    client.close();
    """
    with elsewhere(browser, folder, script(REACT, hooks, use)) as page:
        expect(page).to_have_title("done")
