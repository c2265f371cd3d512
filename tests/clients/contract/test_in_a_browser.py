"""The JavaScript client in Chromium, on a page of another origin: hidden, woken, offline, online, and without a socket."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import anyio
import pytest
from playwright.async_api import Page, async_playwright

from tests.support.client import TIMEOUT_S
from tests.support.contract import posted_once
from tests.support.crowd import ask, token_of
from tests.support.hostile import Hostile
from tests.support.paced import said
from tests.support.page import CHROMIUM
from tests.support.program import ROOT

SOURCE = ROOT / "clients/js"
BEGIN = """async ([url, token, heartbeat]) => {
    const { Threadcast } = await import("/src/threadcast.js");
    window.client = new Threadcast({ url, token, heartbeat });
    window.post = (prompt) => {
        window.answer = client.post({ prompt });
        window.read = (async () => { let all = ""; for await (const text of answer) all += text; return all; })();
    };
}"""
SLEPT = """(event) => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + 60000;
    (event === "visibilitychange" ? document : window).dispatchEvent(new Event(event));
}"""


class Files(SimpleHTTPRequestHandler):
    """The client's files, and nothing in the tests' output."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """Where the page is from: not from where the server is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=SOURCE)) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


@asynccontextmanager
async def opened(origin: str, hostile: Hostile, user: UUID, heartbeat: int = 1) -> AsyncIterator[Page]:
    """A page with a client, which begins to connect. What it writes to the console is a failure."""
    assert CHROMIUM.name, "there is no Chromium: apt-get install chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = await browser.new_page()
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.set_default_timeout(1000 * TIMEOUT_S)
            await page.goto(origin)
            await page.evaluate(BEGIN, [hostile.url, token_of(user), heartbeat])
            yield page
            await page.evaluate("client.close()")
            assert complaints == []
        finally:
            await browser.close()


async def until(page: Page, holds: str) -> None:
    await page.wait_for_function(holds)


async def is_live(page: Page) -> None:
    await until(page, 'client.state === "live"')


async def opened_anew(hostile: Hostile, than: int) -> None:
    """Wait until there is another way out."""
    with anyio.fail_after(TIMEOUT_S):
        while len(hostile.ways) <= than:
            await hostile.happened.wait()


async def ended(page: Page, port: int, user: UUID, prompt: str) -> None:
    """The answer comes whole, and the page holds what the server has."""
    assert await page.evaluate("answer.done.then(() => read)") == said(prompt)
    chat: dict[str, Any] = await page.evaluate("answer.chat")
    assert chat == await ask(port, user, "/chats/get", {"id": chat["id"]})
    await posted_once(port, user, prompt)


async def test_a_page_that_was_frozen_looks_at_once_when_it_is_woken(
    origin: str, hostile: Hostile, user: UUID, port: int, tmp_path: Path
) -> None:
    prompt = f"words=20 pause=1 wait={tmp_path / 'woken'} n=1"
    async with opened(origin, hostile, user) as page:
        await is_live(page)
        devtools = await page.context.new_cdp_session(page)
        await page.evaluate("(prompt) => post(prompt)", prompt)
        await until(page, "answer.text.length > 50")
        await devtools.send("Page.setWebLifecycleState", {"state": "frozen"})
        hostile.mute()
        (tmp_path / "woken").touch()
        await anyio.sleep(3)  # longer than a line may be silent
        await devtools.send("Page.setWebLifecycleState", {"state": "active"})
        await opened_anew(hostile, 1)
        await ended(page, port, user, prompt)


@pytest.mark.parametrize("event", ["visibilitychange", "pageshow", "online"])
async def test_after_a_sleep_each_sign_of_waking_makes_it_look(
    origin: str, hostile: Hostile, user: UUID, port: int, tmp_path: Path, event: str
) -> None:
    prompt = f"words=20 pause=1 wait={tmp_path / 'woken'} n=1"
    async with opened(origin, hostile, user, heartbeat=600) as page:
        await is_live(page)
        await page.evaluate("(prompt) => post(prompt)", prompt)
        await until(page, "answer.text.length > 50")
        hostile.mute()
        (tmp_path / "woken").touch()
        await page.evaluate(SLEPT.replace("60000", "86400000"), event)
        await opened_anew(hostile, 1)
        await ended(page, port, user, prompt)


async def test_a_short_look_away_does_not_cut(origin: str, hostile: Hostile, user: UUID, port: int) -> None:
    async with opened(origin, hostile, user, heartbeat=600) as page:
        await is_live(page)
        for _ in range(3):
            await page.evaluate('document.dispatchEvent(new Event("visibilitychange"))')
        await page.evaluate('window.dispatchEvent(new Event("offline"))')
        await page.evaluate('post("words=5 n=1")')
        await ended(page, port, user, "words=5 n=1")
        assert len(hostile.ways) == 1


async def test_what_is_posted_offline_is_sent_when_the_network_is_back(
    origin: str, hostile: Hostile, user: UUID, port: int, tmp_path: Path
) -> None:
    running, waiting = f"words=20 pause=1 wait={tmp_path / 'online'} n=1", "words=5 n=2"
    async with opened(origin, hostile, user) as page:
        await is_live(page)
        devtools = await page.context.new_cdp_session(page)
        await page.evaluate("(prompt) => post(prompt)", running)
        await until(page, "answer.text.length > 50")
        network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        await devtools.send("Network.emulateNetworkConditions", {"offline": True, **network})
        hostile.absent = True
        hostile.cut()
        (tmp_path / "online").touch()
        await page.evaluate("[window.first, window.firstRead] = [answer, read]")
        await page.evaluate("(prompt) => post(prompt)", waiting)
        await until(page, 'client.state !== "live"')
        hostile.absent = False
        await devtools.send("Network.emulateNetworkConditions", {"offline": False, **network})
        assert await page.evaluate("first.done.then(() => firstRead)") == said(running)
        assert await page.evaluate("answer.done.then(() => read)") == said(waiting)
        await posted_once(port, user, running, waiting)


async def test_a_page_of_another_origin_goes_over_events_where_no_socket_comes_through(
    origin: str, hostile: Hostile, user: UUID, port: int
) -> None:
    hostile.blocked = 403
    async with opened(origin, hostile, user) as page:
        await is_live(page)
        await page.evaluate('post("words=30 pause=5 steps=1 n=1")')
        await ended(page, port, user, "words=30 pause=5 steps=1 n=1")
        chat = await page.evaluate("answer.chat.id")
        assert (await page.evaluate("(id) => client.chats.update(id, { title: 'Renamed' })", chat))["title"] == "Renamed"
        assert [item["id"] for item in await page.evaluate("client.chats.list({})")] == [chat]
        assert any(way.startswith("/api/v1/events") for way in hostile.ways)
        assert any(each.startswith("OPTIONS ") for each in hostile.http)


async def test_a_token_that_has_expired_is_replaced_though_a_browser_shows_no_status(
    origin: str, hostile: Hostile, user: UUID, port: int
) -> None:
    async with opened(origin, hostile, user) as page:
        await is_live(page)
        await page.evaluate("client.close()")
        await page.evaluate(
            """([url, ...tokens]) => {
                window.client = new client.constructor({ url, token: () => tokens.length > 1 ? tokens.shift() : tokens[0] });
            }""",
            [hostile.url, "bad", token_of(user)],
        )
        await is_live(page)
        assert "refuse=close" in hostile.ways[-1]
