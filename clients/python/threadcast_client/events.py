"""One connection without a WebSocket: Server-Sent Events, and requests over HTTP. Needs the extra `sse`."""

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from threadcast_client.line import Ended, seconds_of
from threadcast_client.wire import Failure, Frame, decode

LAST_COMMENT = re.compile(r": ?(\d{4})\b")  # has the close code
ITEM = ("id", "title", "is_favorited", "created_at", "updated_at")
OWNER = ("created_by", "created_by_id", "created_by_name", "created_by_avatar")


class EventLine:
    """The events are read from one response. Each request is a task of its own, and its answer becomes a frame."""

    by_http = True

    def __init__(self, url: str) -> None:
        self._url = url
        timeout = httpx2.Timeout(10, read=None)  # the heartbeat is watched by whoever reads
        self._http = httpx2.AsyncClient(timeout=timeout, limits=httpx2.Limits(max_connections=None))
        self._arrived: asyncio.Queue[tuple[Frame | None, str] | Ended] = asyncio.Queue(64)
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, token: str, since: str) -> None:
        self._http.headers["Authorization"] = f"Bearer {token}"
        try:
            request = self._http.build_request("GET", f"{self._url}/api/v1/events?since={quote(since)}")
            response = await self._http.send(request, stream=True)
        except (httpx2.HTTPError, OSError, ValueError) as error:
            raise Ended(f"no connection: {type(error).__name__}") from None
        kind = response.headers.get("content-type", "")
        if response.status_code != 200 or not kind.startswith("text/event-stream"):
            await response.aclose()
            raise Ended(
                f"HTTP {response.status_code}", 0, response.status_code, seconds_of(response.headers.get("retry-after"))
            )
        self._start(self._listen(response))

    async def read(self) -> tuple[Frame | None, str]:
        arrived = await self._arrived.get()
        if isinstance(arrived, Ended):
            raise arrived
        return arrived

    def send(self, label: str, route: str, payload: Mapping[str, Any]) -> str:
        self._start(self._ask(label, route, dict(payload)))
        return json.dumps({"route": route, "id": label, "payload": payload}, default=str)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._http.aclose()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _listen(self, response: httpx2.Response) -> None:
        ended, data = Ended("the events have ended"), ""
        try:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    data += line[5:].removeprefix(" ")
                elif line.startswith(":"):
                    if found := LAST_COMMENT.match(line):
                        ended = Ended(f"closed with {found[1]}", int(found[1]))
                    await self._arrived.put((None, ""))
                elif not line and data:
                    await self._arrived.put((decode(data), data))
                    data = ""
        except (httpx2.HTTPError, OSError) as error:
            ended = Ended(f"the events have ended: {type(error).__name__}")
        except msgspec.DecodeError:
            ended = Ended("an event that is no frame", 1007)
        finally:
            with suppress(httpx2.HTTPError, OSError):
                await response.aclose()
        await self._arrived.put(ended)

    async def _ask(self, label: str, route: str, payload: dict[str, Any]) -> None:
        method, path, event, given = twin_of(route, payload)
        try:
            where = f"{self._url}/api/v1{path}"
            if method == "GET":
                response = await self._http.get(where, params=given)
            else:
                body = msgspec.json.encode(given)
                response = await self._http.request(method, where, content=body, headers={"content-type": "application/json"})
        except (httpx2.HTTPError, OSError) as error:
            return await self._arrived.put(Ended(f"no answer over HTTP: {type(error).__name__}"))
        if response.status_code == 200:
            frame = Frame(route, event, msgspec.Raw(shaped(route, payload, response.content)), request_id=label, by_http=True)
        else:
            frame = Frame(route, event, error=failure_of(response), request_id=label, by_http=True)
        await self._arrived.put((frame, response.text))


def twin_of(route: str, payload: dict[str, Any]) -> tuple[str, str, str, Any]:
    """A route's request over HTTP: its method and path, the event that a frame would have, and its query or body."""
    rest = {name: value for name, value in payload.items() if name != "id"}
    id = quote(str(payload.get("id", "")), safe="")
    match route:
        case "/chats/post":
            return "POST", "/chats", "complete", payload
        case "/chats/get":
            return "GET", f"/chats/{id}", "getChat", rest
        case "/chats/list":
            return "GET", "/chats", "getChatsList", payload
        case "/chats/stop":
            return "POST", f"/chats/{id}/stop", "stopChat", rest
        case "/chats/update":
            return "PUT", f"/chats/{id}", "updateChat", rest
        case "/chats/delete":
            return "DELETE", "/chats", "deleteChats", payload
        case "/chats/duplicate":
            return "POST", "/chats/duplicate", "duplicateChat", payload
        case "/messages/update":
            return "PUT", f"/messages/{id}", "updateMessage", rest
    return "POST", quote(route), "", payload  # the server says that there is no such path


def shaped(route: str, payload: dict[str, Any], body: bytes) -> bytes:
    """The payload that a frame would have had: two of the twins answer with the whole chat instead."""
    if route == "/chats/update":
        chat = json.loads(body)
        item = {name: chat[name] for name in ITEM + OWNER} | {"last_edited": chat["updated_at"]}
        return json.dumps(item).encode()
    if route == "/messages/update":
        feedback = {"chat_id": json.loads(body)["id"], "message_id": str(payload["id"]), "feedback": payload["feedback"]}
        return json.dumps(feedback).encode()
    return body


def failure_of(response: httpx2.Response) -> Failure:
    """The error that the body has, or one of the status where a proxy has answered."""
    try:
        return msgspec.json.decode(response.content, type=Failure)
    except msgspec.DecodeError:
        busy = response.status_code in (429, 502, 503, 504)
        after = (seconds_of(response.headers.get("retry-after")) or 1.0) if busy else None
        code = "SERVICE_UNAVAILABLE" if busy else "INTERNAL_SERVER_ERROR"
        return Failure(code, f"HTTP {response.status_code}", after)
