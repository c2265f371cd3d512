"""The page before a server that says what a test has it say."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from playwright.sync_api import Browser, Page, Route, WebSocketRoute

from handlers.http.console import FILES
from tests.support.client import TIMEOUT_S
from tests.support.page import is_live, tab
from tests.support.world import ALICE, uuid


class Fake:
    """A server that says what a test has it say, and so can be cut between any two frames."""

    def __init__(self, page: Page) -> None:
        self.asked: list[dict[str, Any]] = []
        self.user, self.recovers, self.lists = ALICE, True, True
        self.socket: WebSocketRoute
        self.offset = 0
        self._page = page
        page.route("**/*", self._serve)
        page.route_web_socket("**/api/v1/ws*", self._open)

    def open(self) -> None:
        self._page.goto("http://console.test/#token=one")
        is_live(self._page)

    def say(self, event: str, payload: object, route: str = "/chats/post", label: str | None = None, **more: object) -> None:
        frame = {"route": route, "event": event, "payload": payload, "sent_by": {"id": str(self.user), "name": "Alice"}}
        frame |= {"error": None, "send_method": "All"} | more
        if label is not None:
            frame["request_id"] = label
        if route != "/stream":
            self.offset += 1
            frame["offset"] = self.offset
        self.socket.send(json.dumps(frame))

    def refuse(self, label: str, code: str, **more: object) -> None:
        """Refuse a post."""
        self.say("postThread", None, label=label, error={"code": code, "message": "no", **more}, send_method="SenderOnly")

    def cut(self, *, recovers: bool = True, lists: bool = True, code: int = 1012) -> None:
        """Cut, and let the page come back to a server that knows what it missed, and that answers `/chats/list`, or not."""
        self.recovers, self.lists = recovers, lists
        before = self.socket
        before.close(code=code, reason="restart")
        self.until(lambda: self.socket is not before)
        if lists:
            is_live(self._page)

    def requests(self, route: str) -> list[dict[str, Any]]:
        return [each for each in self.asked if each["route"] == route]

    def wait_for(self, route: str, count: int = 1) -> dict[str, Any]:
        """The request of this number on the route."""
        self.until(lambda: len(self.requests(route)) >= count)
        return self.requests(route)[count - 1]

    def until(self, holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + TIMEOUT_S
        while not holds():
            assert time.monotonic() < give_up, self.asked
            self._page.wait_for_timeout(10)

    def _serve(self, route: Route) -> None:
        path = route.request.url.partition("console.test/")[2] or "index.html"
        if (FILES / path).is_file():
            route.fulfill(path=FILES / path)
        else:
            route.fulfill(status=400)

    def _open(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        socket.on_message(self._hear)
        self.say("resumed", {"epoch": "e", "offset": self.offset, "recovered": self.recovers}, "/stream")

    def _hear(self, text: str | bytes) -> None:
        request = json.loads(text)
        self.asked.append(request)
        if request["route"] == "/chats/list" and self.lists:
            self.say("getChatsList", [], "/chats/list", request["id"])


NOW = "2026-01-01T00:00:{:02}Z"


def a_message(id: UUID, said: str = "", *, done: bool = False) -> dict[str, Any]:
    part = {"type": "text", "id": str(id), "message": said, "message_chunk": None, "is_final_message": done}
    asked = {"request": "Q", "sender_id": str(ALICE), "sender_name": "Alice", "sender_avatar": None}
    return {"id": str(id), "request_message": asked, "reasoning_message_ids": [], "reasoning_messages": {}} | {
        "response_message_ids": [str(id)] if said else [],
        "response_messages": {str(id): part} if said else {},
        "final_reasoning_message": "Reasoned for 1 seconds" if done else None,
        "is_completed": done,
    }


def a_chat(id: UUID, *messages: dict[str, Any], at: int = 0) -> dict[str, Any]:
    return {"id": str(id), "title": f"Chat {id}", "message_ids": [each["id"] for each in messages]} | {
        "messages": {each["id"]: each for each in messages},
        "created_at": NOW.format(at),
        "updated_at": NOW.format(at),
    }


def a_delta(chat: UUID, message: UUID, chunk: str) -> dict[str, Any]:
    part = {"type": "text", "id": str(message), "message": None, "message_chunk": chunk, "is_final_message": False}
    return {"response_message": part, "chat_id": str(chat), "message_id": str(message), "progress": "in_progress"}


CHAT, OTHER_CHAT, MESSAGE, NEXT = uuid(500), uuid(501), uuid(600), uuid(601)


@contextmanager
def faked(browser: Browser, *, has_clock: bool = False, **options: Any) -> Iterator[tuple[Page, Fake]]:
    """A live page whose server is the test, and so is its clock if it `has_clock`; `options` are those of a tab."""
    with tab(browser, **options) as page:
        fake = Fake(page)
        if has_clock:
            page.clock.install()
        fake.open()
        yield page, fake
