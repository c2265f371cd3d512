"""Clients of Server-Sent Events, written from the standard alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from tests.support.client import TIMEOUT_S, Frame, is_end
from tests.support.house import House

EVENTS = "/api/v1/events"
CHATS = "/api/v1/chats"


class Events:
    """A client of one stream. `last_id` and `comments` are of what was read so far."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id = ""
        self.comments: list[str] = []
        self._body = b""

    async def begin(self) -> None:
        """Read the response's head."""
        with anyio.fail_after(TIMEOUT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self.status = int(head[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}

    async def refusal(self) -> Any:
        """The body of a response that is no stream."""
        return json.loads(await self.reader.readexactly(int(self.headers["content-length"])))

    async def line(self) -> str | None:
        """The next line of the body, which comes in chunks; None at its end."""
        while b"\n" not in self._body:
            size = int(await self.reader.readline(), 16)
            if not size:
                return None
            self._body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        line, _, self._body = self._body.partition(b"\n")
        return line.decode()

    async def event(self) -> Frame | None:
        """The next event's data, which is a frame; None at the stream's end. Comments on the way are kept."""
        data = None
        with anyio.fail_after(TIMEOUT_S):
            while (line := await self.line()) is not None:
                if line.startswith(":"):
                    self.comments.append(line)
                elif line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    data = json.loads(line.removeprefix("data: "))
                elif not line and data is not None:
                    return dict(data)
        return None

    async def until(self, event: str) -> list[Frame]:
        """The frames up to and with the first of this event."""
        frames: list[Frame] = []
        while not frames or frames[-1]["event"] != event:
            frame = await self.event()
            assert frame is not None, self.comments
            frames.append(frame)
        return frames

    async def stream(self) -> list[Frame]:
        """Up to and with the end of a stream."""
        frames: list[Frame] = []
        while not frames or not is_end(frames[-1]):
            frame = await self.event()
            assert frame is not None, self.comments
            frames.append(frame)
        return frames


@asynccontextmanager
async def asked(url: str, head: str, body: bytes = b"") -> AsyncIterator[Events]:
    """Ask what listens at a socket's URL; `head` is the request's, without its host and length."""
    host, port = url.removeprefix("ws://").removesuffix("/api/v1/ws").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
    line, _, headers = head.partition("\r\n")
    length = f"content-length: {len(body)}\r\n" if body else ""
    writer.write(f"{line}\r\nhost: x\r\n{length}{headers}\r\n\r\n".encode() + body)
    try:
        yield Events(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def listening(house: House, last_id: str = "", query: str = "", ttl: int = 60, url: str = "") -> AsyncIterator[Events]:
    """Listen to all that Alice is told."""
    head = f"GET {EVENTS}{query} HTTP/1.1\r\nauthorization: Bearer {house.token(ttl=ttl)}"
    async with asked(url or house.url, f"{head}\r\nlast-event-id: {last_id}" if last_id else head) as events:
        await events.begin()
        assert events.status == 200
        yield events


@asynccontextmanager
async def posting(
    house: House, payload: object, query: str = "", accept: str = "text/event-stream", url: str = "", begins: bool = True
) -> AsyncIterator[Events]:
    """Post as Alice. With `begins` the response has begun."""
    head = f"POST {CHATS}{query} HTTP/1.1\r\nauthorization: Bearer {house.token()}\r\naccept: {accept}"
    async with asked(url or house.url, head, json.dumps(payload).encode()) as events:
        if begins:
            await events.begin()
        yield events
