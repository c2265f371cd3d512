"""A client that writes down what is said, the first of each kind of frame, for `examples.py`."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from websockets.asyncio.client import connect

from handlers.http.openapi import named
from tests.support.client import Client, Frame
from tests.support.fitting import FittingClient, name_of
from tests.support.house import House
from tests.support.over_http import request
from tests.support.world import uuid

KNOWN = str(uuid(0))[:24]  # the ids of our world begin so
STEADY = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-02T03:04:05.678901Z"),
    (r'"timestamp": \d+', '"timestamp": 1767323045'),
    (r'"epoch": "\w+"', '"epoch": "0123456789abcdef"'),
    (r"reference \w{12}", "reference 0123456789ab"),
    (r"retry in \d+ seconds\", \"retry_after\": \d+", 'retry in 42 seconds", "retry_after": 42'),
]


class Record:
    """What was said, the first of each kind."""

    def __init__(self) -> None:
        self.messages: dict[str, dict[str, Frame]] = {}
        self.requests: dict[str, list[Any]] = {}
        self.responses: dict[str, dict[str, list[Any]]] = {}

    async def http(
        self, house: House, path: str, payload: object = None, token: str | None = None, method: str = "", id: str = ""
    ) -> Any:
        """Ask over HTTP, and keep what was answered; of what was asked only what is good. `id` goes into the path."""
        method = method or ("GET" if payload is None else "POST")
        body = b"" if payload is None else json.dumps(payload).encode()
        status, answer, _ = await request(house, body, token, method=method, path=path.replace("{id}", id))
        name = named(path, method)
        self.responses.setdefault(name, {}).setdefault(str(status), [answer])
        if payload is not None and status == 200:
            self.requests.setdefault(name, []).append(payload)
        return answer

    def steady(self) -> dict[str, Any]:
        """All of it, with values that are the same after each run."""
        messages = {name: list(kinds.values()) for name, kinds in sorted(self.messages.items())}
        text = json.dumps({"messages": messages, "requests": self.requests, "responses": self.responses})
        for pattern, value in STEADY:
            text = re.sub(pattern, value, text)
        numbers = count(1001)
        new = dict.fromkeys(id for id in re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", text) if not id.startswith(KNOWN))
        for id in new:
            text = text.replace(id, str(uuid(next(numbers))))
        found: dict[str, Any] = json.loads(text)
        return found


class Tab:
    """A connection that keeps what is said on it."""

    def __init__(self, record: Record, client: Client) -> None:
        self.record = record
        self.client = client

    async def ask(self, route: str, event: str, payload: dict[str, object], **rest: object) -> None:
        """Send a request that is as it should be, and keep it."""
        frame = {"route": route, "event": event, "payload": payload, **rest}
        self.record.messages.setdefault(f"{event}Request", {}).setdefault(" ".join(payload), frame)
        await self.client.socket.send(json.dumps(frame))

    async def hear(self, event: str) -> Frame:
        """Keep what comes, up to and with the first of this event, and return that."""
        while True:
            frame = await self.client.frame()
            self.record.messages.setdefault(name_of(frame), {}).setdefault(kind_of(frame), frame)
            if frame["event"] == event:
                return frame

    async def refused(self, payload: object, route: str = "/chats/post", end: str = "postThread", **rest: object) -> None:
        """Send what is answered by an error, with this event."""
        await self.client.send(payload, route, **rest)
        await self.hear(end)


def kind_of(frame: Frame) -> str:
    """What tells it from others of its name."""
    if frame["error"]:
        return f"{frame['route']} {frame['error']['code']}"
    payload = frame["payload"] if isinstance(frame["payload"], dict) else {}
    part = payload.get("response_message") or payload.get("reasoning") or {}
    return f"{part.get('type')} {payload.get('progress')} {'offset' in frame}"


@asynccontextmanager
async def tab(record: Record, house: House, query: str = "") -> AsyncIterator[Tab]:
    """Alice's, connected with this query."""
    headers = {"Authorization": f"Bearer {house.token()}"}
    async with connect(house.url + query, additional_headers=headers, max_size=None, max_queue=None) as socket:
        yield Tab(record, FittingClient(socket))
