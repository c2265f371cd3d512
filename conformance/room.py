"""What the rules are given: the server, who they may be, and the streams that many of them look at and one has asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from conformance.assets import ALICE, BOB, DASHBOARD, METRIC
from conformance.rule import NotChecked, Refused, Seen, expect
from conformance.wire import GRACE_S, LIST, Heard, Line, Memory, Payload, label, refused

REST_PATH = "/api/v1/chats"
ATTEMPTS = 4  # to be in time for the middle of a stream
TOO_FAST = "an agent that takes longer: each answer was over before it could be met in the middle"
LONG_PROMPT = "Please explain, in a few paragraphs, what a week of ticket sales can tell about the next one."
STREAMS: dict[str, Payload] = {
    "a prompt": {"prompt": "What can you tell me? Please answer briefly.\nThanks, “Alice”."},
    "a metric": {"asset_id": METRIC, "asset_type": "metric"},
    "a dashboard": {"asset_id": DASHBOARD, "asset_type": "dashboard"},
    "a prompt about a metric": {"prompt": "What does it count? Please answer briefly.", "metric_id": METRIC},
    "a prompt about a dashboard": {"prompt": "What is on it? Please answer briefly.", "dashboard_id": DASHBOARD},
}
OPENED = ("a metric", "a dashboard")  # those without a prompt


@dataclass(frozen=True)
class Answer:
    """An HTTP response; `body` is its JSON, or None."""

    status: int
    body: Any
    retry_after: str | None = None  # the header


@dataclass(frozen=True)
class FollowUp:
    """A chat before its second message, and that one's stream as two connections got it, the second with `messages=new`."""

    before: Payload
    stream: list[Heard]
    brief: list[Heard]


@dataclass(frozen=True)
class Recording:
    """One stream as three connections of the user got it: the one that posted, one beside it, and one with `since`."""

    id: str
    sender: list[Heard]
    after: list[Heard]  # what the sender still got after the end
    other: list[Heard]
    numbered: list[Heard]  # the first of it is not of the stream

    @property
    def chat(self) -> Payload:
        """The chat as its end has it."""
        chat: Payload = self.sender[-1].payload
        return chat

    @property
    def message(self) -> Payload:
        """The one message of the chat."""
        message: Payload = self.chat["messages"][self.chat["message_ids"][0]]
        return message


@dataclass
class Room:
    """Where a check is made."""

    url: str
    token: str
    other_token: str
    expiring: str | None = None
    api_key: str | None = None
    limits: bool = False
    rule_seconds: float = 60.0  # for one rule
    memory: Memory = field(default_factory=Memory)
    _recordings: dict[str, Recording | Exception] = field(default_factory=dict)
    _follow_up: FollowUp | None = None

    def begin(self) -> None:
        """Another rule begins: what the one before it has asked for is none of its business."""
        self.memory.past |= self.memory.chats

    async def leave_out_others(self) -> None:
        """What there is already may be streaming still, for somebody else or for one who checked before: it is past."""
        for user in (ALICE, BOB):
            with suppress(Exception):  # the rules will say what is wrong
                async with asyncio.timeout(GRACE_S), self.open(user) as line:
                    await line.ask({"page_size": 100}, LIST)
                    while (heard := await line.hear()).route != LIST:
                        pass
                    self.memory.past |= {item["id"] for item in heard.payload}

    def has(self, option: str) -> bool:
        """Whether an option such as `--api-key TOKEN` was given."""
        return bool(getattr(self, option.split()[0].lstrip("-").replace("-", "_")))

    def secret(self, user: str) -> str:
        """The token of a user."""
        return {ALICE: self.token, BOB: self.other_token}[user]

    @asynccontextmanager
    async def open(
        self,
        user: str = ALICE,
        since: str | None = None,
        token: str | None = None,
        in_query: bool = False,
        refuse: str | None = None,
        messages: str | None = None,
        path: str = "",
        **options: Any,
    ) -> AsyncIterator[Line]:
        """A connection of the user; with `since` one that can resume. Raises Seen when the upgrade is refused.

        `path` is appended to the server's, and `options` are those of websockets.
        """
        token = self.secret(user) if token is None else token
        asked = {"since": since, "refuse": refuse, "messages": messages, "authentication": token if in_query else None}
        query = {name: value for name, value in asked.items() if value is not None}
        headers = {} if in_query else {"Authorization": f"Bearer {token}"}
        url = f"{self.url}{path}?{urlencode(query, safe=':')}"
        try:
            opened = await connect(url, additional_headers=headers, max_size=None, **{"max_queue": None, **options})
        except InvalidStatus as error:
            raise Seen(f"the upgrade was refused with HTTP {error.response.status_code}") from None
        async with opened:
            yield Line(opened, self.memory, numbered=since is not None)

    async def refusal(
        self, query: dict[str, str] | None = None, headers: dict[str, str] | None = None, path: str = ""
    ) -> Answer:
        """How an upgrade is refused, of the server's path and what is appended to it. Raises Seen when it is not."""
        url = f"{self.url}{path}?{urlencode(query or {})}"
        try:
            async with connect(url, additional_headers=headers):
                raise Seen("the connection was opened")
        except InvalidStatus as error:
            response = error.response
            return Answer(response.status_code, _json(response.body or b""), response.headers.get("Retry-After"))

    async def rest(
        self, body: object, user: str | None = ALICE, token: str | None = None, query: str = "", waits: bool = True
    ) -> Answer:
        """`POST /api/v1/chats`; `body` is sent as JSON, or as it is when it is bytes. Raises Refused at a rate limit."""
        self.memory.posts += 1
        headers = {"content-type": "application/json"}
        if token or user:
            headers["authorization"] = f"Bearer {token or self.secret(str(user))}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = await asyncio.to_thread(self._ask, "POST", f"{REST_PATH}{query}", data, headers)
        if answer.status == 429 and waits:
            raise refused(answer.body)
        return answer

    async def events(self, user: str, until: str) -> list[Any]:
        """The data of `/api/v1/events` of this user, up to and with the first of this event."""
        headers = {"authorization": f"Bearer {self.secret(user)}"}
        told: list[Any] = (await asyncio.to_thread(self._events, "GET", "/api/v1/events", b"", headers, until)).body
        return told

    async def streamed(self, body: object, user: str) -> Answer:
        """`POST /api/v1/chats`, streamed: the body is the data of all events up to its end, or that of a refusal."""
        self.memory.posts += 1
        headers = {"authorization": f"Bearer {self.secret(user)}", "accept": "text/event-stream"}
        data = json.dumps(body).encode()
        answer = await asyncio.to_thread(self._events, "POST", REST_PATH, data, headers)
        if answer.status == 429:
            raise refused(answer.body)
        return answer

    def _events(self, method: str, path: str, body: bytes, headers: dict[str, str], until: str | None = None) -> Answer:
        connection = self._opened()
        try:
            connection.request(method, path, body, headers)
            response, found = connection.getresponse(), []
            if response.getheader("Content-Type", "").partition(";")[0] != "text/event-stream":
                return Answer(response.status, _json(response.read()), response.getheader("Retry-After"))
            for line in response:
                if line.startswith(b"data: "):
                    found.append(_json(line.removeprefix(b"data: ")))
                    if found[-1].get("event") == until:
                        break
            return Answer(response.status, found)
        finally:
            connection.close()

    async def twin(self, method: str, path: str, body: object = None) -> Answer:
        """Another request over HTTP, of Alice's. `path` follows `/api/v1`."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.secret(ALICE)}"}
        data = b"" if body is None else json.dumps(body).encode()
        answer = await asyncio.to_thread(self._ask, method, f"/api/v1{path}", data, headers)
        if answer.status == 429:
            raise refused(answer.body)
        return answer

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = self._opened()
        try:
            connection.request(method, path, body, headers)
            response: HTTPResponse = connection.getresponse()
            return Answer(response.status, _json(response.read()), response.getheader("Retry-After"))
        finally:
            connection.close()

    def _opened(self) -> HTTPConnection:
        parts = urlsplit(self.url)
        kind: Callable[..., HTTPConnection] = HTTPSConnection if parts.scheme == "wss" else HTTPConnection
        return kind(parts.hostname, parts.port, timeout=60)

    async def recorded(self, name: str) -> Recording:
        """The stream of STREAMS with this name. It is asked for once; when that failed it has failed for all."""
        if name not in self._recordings:
            try:
                self._recordings[name] = await self._record(STREAMS[name])
            except Refused:
                raise
            except Exception as error:
                self._recordings[name] = Seen(f"{name} got no good stream: {error}")
            except asyncio.CancelledError:  # the rule's time is over
                self._recordings[name] = Seen(f"{name} got no end")
                raise
        found = self._recordings[name]
        if isinstance(found, Exception):
            raise found
        return found

    async def recordings(self) -> list[tuple[str, Recording]]:
        """All of them, by name."""
        return [(name, await self.recorded(name)) for name in STREAMS]

    async def followed_up(self) -> FollowUp:
        """A follow-up in a chat that was opened. It is asked for once, unless that failed."""
        if self._follow_up is None:
            async with self.open() as line:
                before = await line.chat({"metric_id": METRIC})
            async with self.open() as line, self.open(messages="new") as brief:
                stream = await line.post({"prompt": "And what does that mean? Briefly.", "chat_id": before["id"]})
                self._follow_up = FollowUp(before, stream, await brief.until_end())
        return self._follow_up

    async def _record(self, payload: Payload) -> Recording:
        async with self.open() as other, self.open(since="") as numbered, self.open() as sender:
            resumed, id = await numbered.hear(), label()
            stream = await sender.post(payload, id=id)
            after = await sender.rest()
            return Recording(id, stream, after, await other.rest_with_end(), [resumed, *await numbered.rest_with_end()])


async def in_the_middle(attempt: Callable[[], Any]) -> None:
    """Try what has to come in the middle of a stream until an attempt says that it did. Raises NotChecked when none does."""
    for _ in range(ATTEMPTS):
        if await attempt():
            return
    raise NotChecked(TOO_FAST)


def _json(body: bytes | bytearray) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def expect_refusal(answer: Answer, status: int, code: str, message: str | None = None) -> None:
    """Go on only if this is the JSON of an error, with this message if one is given."""
    body = answer.body if isinstance(answer.body, dict) else {}
    right = answer.status == status and list(body)[:2] == ["code", "message"] and body["code"] == code
    expect(right and message in (None, body["message"]), f"HTTP {answer.status} with {answer.body!r}")


def expect_retry_after(error: Any) -> None:
    """Go on only if the last key of the error says after how many seconds to try again."""
    expect(isinstance(error, dict) and list(error)[-1:] == ["retry_after"], f"no retry_after at the end of {error!r}")
    seconds = error["retry_after"]
    expect(isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0, f"retry_after is {seconds!r}")
