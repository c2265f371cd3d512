"""`GET /api/v1/events`: what a socket is told, as Server-Sent Events, for networks that let no WebSocket through.

The same frames, numbered, with the same log, outbox and bounds; `id:` is where to go on. What a socket is asked is asked over
HTTP.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from backends.frame import Frame
from backends.http_protocol import UNSENT
from backends.logs import bind_contextvars
from backends.resume import Resumption
from handlers.authenticate import refusal, token_of
from handlers.connection import Connection
from handlers.http.asked import query_of
from handlers.let_in import go_on, keep_out, let_in, let_out
from handlers.line import PlainLine
from handlers.services import Services
from handlers.timers import Timers
from schemas.users import Sender

EVENTS = "text/event-stream"
HEADERS = [
    (b"content-type", f"{EVENTS}; charset=utf-8".encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the stream back
]
COMMENT = Frame.of_data(b"")  # shows that the connection lives, to the networks between

logger = logging.getLogger("threadcast")


class Brief(msgspec.Struct, frozen=True):
    """`messages=new`: a stream has of its chat only the message at hand."""

    messages: Literal["new"] | None = None

    @property
    def is_brief(self) -> bool:
        return self.messages == "new"


class Since(Brief, frozen=True):
    """Where to go on: empty for from now on, or `<epoch>:<offset>`."""

    since: str = ""


async def get_events(request: Request) -> Response:
    """All that the user's sockets are told, as Server-Sent Events. `since`, or `Last-Event-ID`, is where to go on."""
    services: Services = request.state.services
    try:
        query: Since = query_of(request, Since)
        connection = await let_in(services, token_of(request), Connection, numbered=True, brief=query.is_brief)
    except Exception as error:
        return refusal(keep_out(services, error))
    return EventStream(services, connection, request.headers.get("last-event-id") or query.since)


class EventStream(Response):
    """The stream, until the client goes or the server ends it. The response begins with the first thing that is sent."""

    def __init__(self, services: Services, connection: Connection, since: str = "") -> None:
        super().__init__()
        self._services = services
        self._connection = connection
        self._since = since

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services, connection = self._services, self._connection
        sender = Sender(connection.user, connection.id)
        bind_contextvars(connection=connection.id)
        timers = Timers(connection, sender, services.ping_seconds, lambda: COMMENT)
        try:
            async with services.backends.broker.subscribe(sender.user.id, connection, self._since) as resumption:
                line = EventLine(scope, send, resumption)
                self.begin(resumption)
                connection.open(line)
                timers.start()
                await line.until_ended(receive)
        finally:
            timers.stop()
            let_out(services, connection)
            logger.info("disconnected")

    def begin(self, resumption: Resumption | None) -> None:
        """The connection hears from here on. Call before anything is awaited."""
        go_on(self._services, self._connection, self._since, resumption)


class EventLine(PlainLine):
    """A line that writes each frame as one event, with the log's epoch and the frame's offset as its `id`."""

    def __init__(self, scope: Scope, send: Send, resumption: Resumption | None) -> None:
        super().__init__(self._write, self._shut)
        self._unsent: Callable[[], int] = scope.get("extensions", {}).get(UNSENT, {}).get(UNSENT, lambda: 0)
        self._when_lost: Callable[[], None] = lambda: None
        self._send_body = send
        self._epoch = resumption.epoch if resumption else ""
        self._has_begun = False
        self._has_ended = asyncio.Event()

    @property
    def unsent(self) -> int:
        return self._unsent()

    def text_of(self, frame: Frame, numbered: bool) -> str:
        if not frame.data:
            return ":\n\n"
        id = f"id: {self._epoch}:{frame.offset}\n" if frame.offset else ""
        return f"{id}data: {b''.join(frame.text(numbered)).decode()}\n\n"

    async def until_ended(self, receive: Receive) -> None:
        """Wait until the client has gone, or the server has ended the stream."""
        going = asyncio.ensure_future(_gone(receive))
        ended = asyncio.ensure_future(self._has_ended.wait())
        try:
            await asyncio.wait({going, ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in (going, ended):
                waiting.cancel()
            self._is_gone = True
            self._when_lost()

    def when_lost(self, callback: Callable[[], None]) -> None:
        self._when_lost = callback
        if self._is_gone:
            callback()

    async def _write(self, text: str, more: bool = True) -> None:
        if not self._has_begun:
            self._has_begun = True
            await self._send_body({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._send_body({"type": "http.response.body", "body": text.encode(), "more_body": more})
        if more:  # the server waits for room before it sends, and not after it: what it has taken counts until there is room
            await self._send_body({"type": "http.response.body", "body": b"", "more_body": True})

    def drop(self) -> None:
        super().drop()
        self._has_ended.set()

    async def _shut(self, code: int, reason: str) -> None:
        """A client of EventSource cannot see why a stream ends, but a person who looks can."""
        with suppress(OSError):
            await self._write(f": {code} {reason}\n\n", more=False)
        self._has_ended.set()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
