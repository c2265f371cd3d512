"""One connection to the server under test. It reads leniently: what a frame must look like is for the rules to say."""

import asyncio
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from conformance.rule import Refused, Seen, expect, quoted

Payload = dict[str, Any]
POST, GET, LIST, STOP = "/chats/post", "/chats/get", "/chats/list", "/chats/stop"
UPDATE, DELETE, COPY, RATE = "/chats/update", "/chats/delete", "/chats/duplicate", "/messages/update"
EVENTS = {
    POST: "postThread",
    GET: "getChat",
    LIST: "getChatsList",
    STOP: "stopChat",
    UPDATE: "updateChat",
    DELETE: "deleteChats",
    COPY: "duplicateChat",
    RATE: "updateMessage",
}
OFFSET = re.compile(r',\s*"offset"\s*:\s*\d+\s*}\s*$')
LONGEST_WAIT_S = 90.0  # for a rate limit: those of this protocol are a matter of a minute
GRACE_S = 3.0  # for what is on its way to another connection, perhaps by way of another node

_labels = itertools.count(1)


def label() -> str:
    """An id for a request that no other one has."""
    return f"rule-{next(_labels)}"


class Heard:
    """A frame as it came, and what it says."""

    def __init__(self, raw: str | bytes) -> None:
        self.raw = raw
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise Seen(f"a frame that is not JSON: {quoted(str(raw))}") from None
        expect(isinstance(found, dict), f"a frame that is not an object: {quoted(found)}")
        self.frame: Payload = found
        self.route, self.event = self.frame.get("route"), self.frame.get("event")
        self.payload, self.error = self.frame.get("payload"), self.frame.get("error")

    @property
    def unnumbered(self) -> str:
        """Its text without its offset."""
        return OFFSET.sub("}", str(self.raw))

    @property
    def label(self) -> Any:
        """The id of the request that it answers, if it had one."""
        return self.frame.get("request_id")

    @property
    def is_end(self) -> bool:
        """Whether nothing of its stream can follow."""
        return self.route == POST and (self.event == "complete" or self.error is not None)

    @property
    def is_heartbeat(self) -> bool:
        """Whether it comes because nothing else did."""
        return (self.route, self.event) == ("/stream", "heartbeat")

    @property
    def code(self) -> Any:
        """Of the error that it is."""
        return self.error.get("code") if isinstance(self.error, dict) else None

    @property
    def chat_id(self) -> Any:
        """The chat of a frame of a stream."""
        if self.route != POST or not isinstance(self.payload, dict):
            return None
        return self.payload.get("chat_id", self.payload.get("id"))

    def __str__(self) -> str:
        return f"{quoted(self.event)} {quoted(self.error or self.payload)}"


@dataclass
class Memory:
    """What has been asked for so far, on all connections."""

    posts: int = 0
    chats: set[str] = field(default_factory=set)
    past: set[str] = field(default_factory=set)  # those of earlier rules


class Line:
    """A connection. Frames of past chats are left out: streams of earlier rules that may still go on."""

    def __init__(self, socket: ClientConnection, memory: Memory, numbered: bool) -> None:
        self.socket = socket
        self._memory = memory
        self.leaves_out_heartbeats = numbered  # on another connection none may come
        self.waits_for_limits = True

    async def ask(self, payload: object, route: str = POST, **envelope: Any) -> None:
        """Send a request."""
        self._memory.posts += route == POST
        await self.socket.send(json.dumps({"route": route, "payload": payload, **envelope}))

    async def hear(self) -> Heard:
        """The next frame. Raises Seen when the connection is closed, and Refused at a rate limit."""
        while True:
            try:
                heard = Heard(await self.socket.recv())
            except ConnectionClosed:
                raise Seen(f"the connection was closed with {self.socket.close_code}") from None
            if heard.chat_id:
                self._memory.chats.add(str(heard.chat_id))
            if heard.code == "TOO_MANY_REQUESTS" and self.waits_for_limits:
                raise refused(heard.error)
            if heard.is_heartbeat and self.leaves_out_heartbeats:
                continue
            if not heard.chat_id or heard.chat_id not in self._memory.past:
                return heard

    async def answer(self, payload: object, route: str = POST, **envelope: Any) -> Heard:
        """The first frame after a request."""
        await self.ask(payload, route, **envelope)
        return await self.hear()

    async def until_end(self) -> list[Heard]:
        """The frames up to and with the end of a stream."""
        frames = [await self.hear()]
        while not frames[-1].is_end:
            frames.append(await self.hear())
        return frames

    async def post(self, payload: Payload, **envelope: Any) -> list[Heard]:
        """Post, and return the stream that answers. Raises Seen when it is an error."""
        await self.ask(payload, **envelope)
        frames = await self.until_end()
        expect(not frames[-1].error, f"{quoted(payload)} was answered by {frames[-1]}")
        return frames

    async def chat(self, payload: Payload) -> Payload:
        """Post, and return the chat as it is when answered."""
        end: Payload = (await self.post(payload))[-1].payload
        return end

    async def rest(self) -> list[Heard]:
        """What else has come: all up to the answer to a question of our own, which is sent now."""
        frames: list[Heard] = []
        await self.ask({"page_size": 1}, LIST)
        while (heard := await self.hear()).route != LIST:
            frames.append(heard)
        return frames

    async def rest_with_end(self) -> list[Heard]:
        """The same, but if there is no end among it, wait a little for one."""
        frames = await self.rest()
        try:
            async with asyncio.timeout(GRACE_S):
                while not any(heard.is_end for heard in frames):
                    frames.append(await self.hear())
        except TimeoutError:
            pass
        return frames

    async def expect_nothing(self) -> None:
        """Go on only if nothing else has come."""
        rest = await self.rest()
        expect(not rest, f"there also came {rest[0] if rest else ''}")

    async def close_code(self) -> int | None:
        """Read on until the server closes, and return its code."""
        try:
            while True:
                await self.socket.recv()
        except ConnectionClosed:
            return self.socket.close_code


def refused(error: Any) -> Refused:
    """When to come back from a rate limit, as the error says."""
    seconds = error.get("retry_after") if isinstance(error, dict) else None
    return Refused(min(LONGEST_WAIT_S, seconds if isinstance(seconds, int | float) else LONGEST_WAIT_S), str(error))
