"""`GET /api/v1/events`: what a socket is told, as Server-Sent Events, with the same frames, log, bounds and end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import pytest

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, Frame, fold, is_end, unsettled
from tests.support.house import BOTH, House, open_house
from tests.support.over_http import request
from tests.support.waiting import until

ENGINES = BOTH
EVENTS = "/api/v1/events"


class Events:
    """A client of the stream, written from the standard alone."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.headers: dict[str, str] = {}
        self.last_id = ""
        self.comments: list[str] = []
        self._body = b""

    async def begin(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert head[0].split()[1] == "200", head
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}

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

    async def stream(self) -> list[Frame]:
        """Up to and with the end of a stream."""
        frames: list[Frame] = []
        while not frames or not is_end(frames[-1]):
            frame = await self.event()
            assert frame is not None
            frames.append(frame)
        return frames


@asynccontextmanager
async def listening(house: House, last_id: str = "", query: str = "", ttl: int = 60) -> AsyncIterator[Events]:
    host, port = house.url.removeprefix("ws://").removesuffix("/api/v1/ws").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {EVENTS}{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {house.token(ttl=ttl)}\r\n"
    head += f"last-event-id: {last_id}\r\n" if last_id else ""
    writer.write(f"{head}\r\n".encode())
    events = Events(reader, writer)
    try:
        await events.begin()
        yield events
    finally:
        writer.transport.abort()


async def test_it_tells_what_a_socket_is_told(house: House) -> None:
    async with house.connect() as ours, listening(house) as events:
        first = await events.event()
        assert first
        assert (first["route"], first["event"], first["payload"]["recovered"]) == ("/stream", "resumed", True)
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (events.headers["cache-control"], events.headers["x-accel-buffering"]) == ("no-store", "no")
        said, heard = await ours.post(prompt="Größe \n 😀"), await events.stream()
        assert unsettled(fold(heard)) == unsettled(said[-1]["payload"])
        assert heard[-1]["payload"] == said[-1]["payload"]
        assert events.last_id == f"{first['payload']['epoch']}:{heard[-1]['offset']}"
        status, *_ = await request(house, b'{"prompt": "over HTTP"}', house.token())
        assert status == 200
        assert (await events.stream())[-1]["event"] == "complete"


async def test_it_goes_on_after_the_last_event_that_was_heard(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as ours:
        async with listening(house) as events:
            await events.event()
            await ours.send({"prompt": "one"})
            heard = [await events.event()]
            while heard[-1]["event"] != "generatingResponseMessage":  # type: ignore[index]
                heard.append(await events.event())
            last = events.last_id
        agent.let_go("one")
        await ours.stream()
        async with listening(house, last) as events:
            resumed = await events.event()
            assert resumed
            assert resumed["payload"]["recovered"]
            frames: list[Any] = [*heard, *await events.stream()]
        offsets = [frame["offset"] for frame in frames]
        assert offsets == sorted(set(offsets))
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        async with listening(house, query=f"?since={last}") as events:
            await events.event()
            assert await events.stream() == frames[len(heard) :]
        async with listening(house, "nonsense:7") as events:
            lost = await events.event()
            assert lost
            assert not lost["payload"]["recovered"]


async def test_a_comment_shows_that_it_lives(settings: Settings) -> None:
    async with open_house(replace(settings, ping_seconds=1)) as house, listening(house) as events:
        await events.event()
        with anyio.fail_after(TIMEOUT_S):
            assert [await events.line() for _ in range(2)] == [":", ""]


async def test_it_ends_with_its_token_and_with_the_server(settings: Settings) -> None:
    async with open_house(replace(settings, drain_seconds=0)) as house:
        async with listening(house, ttl=1) as events:
            await events.event()
            assert await events.event() is None
            assert events.comments[-1] == ": 4001 token expired"
        async with listening(house) as events:
            await events.event()
            house.server.should_exit = True
            going = await events.event()
            assert going
            assert going["event"] == "goingAway"
            assert await events.event() is None
            assert events.comments[-1] == ": 1012 the server is restarting"


async def test_a_client_that_goes_leaves_nothing(house: House) -> None:
    for _ in range(3):
        async with listening(house) as events:
            await events.event()
            assert len(house.services.connections) == 1
        await until(lambda: not len(house.services.connections))


async def test_it_counts_as_a_connection_and_is_refused_as_one(settings: Settings) -> None:
    async with open_house(replace(settings, max_connections_per_user=1)) as house, listening(house) as events:
        await events.event()
        status, error, headers = await request(house, b"", house.token(), method="GET", path=EVENTS)
        assert (status, error["code"], headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "10")
    async with open_house(settings) as house:
        status, error, headers = await request(house, b"", "x", method="GET", path=EVENTS)
        assert (status, error["code"], headers["www-authenticate"]) == (401, "UNAUTHORIZED", "Bearer")


@pytest.mark.parametrize("query", ["?messages=new", ""])
async def test_of_a_long_chat_only_what_is_new_may_be_told(house: House, query: str) -> None:
    async with house.connect() as ours, listening(house, query=query) as events:
        await events.event()
        chat = (await ours.post(prompt="one"))[-1]["payload"]["id"]
        await events.stream()
        await ours.post(prompt="two", chat_id=chat)
        end = (await events.stream())[-1]["payload"]
        assert (len(end["message_ids"]), len(end["messages"])) == (2, 1 if query else 2)
