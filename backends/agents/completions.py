"""Requests over HTTP, of chat completions and others, and their answers as the data of each event, whatever a stream is called.

Connections, proxies, certificates, redirects and compression are httpx2's, and so is the reader of event streams.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple, cast

import httpx2

from backends.agents.failures import Misconfigured, ModelBroken
from backends.agents.refusals import Cut, refused

CONNECT_S = 10.0  # seconds for a connection; how long an answer may take, the run's own clock says
EVENT_BYTES = 16 * 2**20  # of one event, or of an answer that is not streamed
ERROR_BYTES = 2**16  # of a refusal: what it says stands at its beginning
MOST_REDIRECTS = 3
QUOTED_BYTES = 500  # of a page that is no answer, in the log
READ = "read"  # the event of ours that says that what has come so far ends with a whole event

EVENTS = {"content-type": "text/event-stream"}

logger = logging.getLogger("threadcast")


class Event(NamedTuple):
    """One event of the answer. `is_whole`: it is the answer itself, which the server has not streamed. `more`: what the same
    read has brought comes right behind it.
    """

    data: str
    is_error: bool = False
    is_whole: bool = False
    more: bool = False


class Server:
    """A server that answers with events. Raises Misconfigured for an address that is none."""

    name = "the model's server"  # in the log
    setting = "OPENAI_BASE_URL"  # has its address
    says_why = True  # its words tell what to do about a refusal; of others they may quote anything

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        try:
            self._base = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise Misconfigured(f"{self.setting} is no address") from None
        self.host = self._base.host
        self._client = httpx2.AsyncClient(
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one user's must not come with another's request
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def ask(self, request: Mapping[str, Any]) -> AsyncGenerator[Event | None, None]:
        """The answer's events as they come; None where a read has brought all that there is so far.

        Raises Refused, Cut, or Misconfigured for what is no answer at all.
        """
        response = await self._send(self._client.build_request("POST", self._asked_at(), json=request))
        async with aclosing(response):
            if not response.is_success:
                body = await _beginning(response)
                raise refused(response.status_code, response.headers, body, says_why=self.says_why)
            try:
                async for event in events_of(response, self.name):
                    yield event
            except httpx2.SSEError:
                raise ModelBroken(f"{self.name} sent an event of more than {EVENT_BYTES} bytes") from None
            except httpx2.HTTPError as error:
                raise Cut(f"{self.name} broke off", type(error).__name__) from None

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        """Send it where it belongs. Only a redirect within the server is followed: headers may have keys in them."""
        for _ in range(MOST_REDIRECTS):
            try:
                response = await self._client.send(request, stream=True)
            except httpx2.TransportError as error:
                raise Cut(f"{self.name} cannot be reached", type(error).__name__) from None
            there = response.next_request
            if there is None:
                return response
            await response.aclose()
            if there.method != "POST" or (there.url.scheme, there.url.netloc) != (self._base.scheme, self._base.netloc):
                break
            request = there
        raise Misconfigured(f"{self.name} redirects elsewhere: {self.setting} must be where it answers")

    async def aclose(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    def _asked_at(self) -> httpx2.URL:
        return self._base


class Completions(Server):
    """A server of chat completions."""

    def __init__(self, url: str, key: str, headers: Mapping[str, str]) -> None:
        super().__init__(url, {"authorization": f"Bearer {key}", **headers})

    async def models(self) -> set[str]:
        """The names of its models. Raises what it is refused with, or httpx2's errors."""
        response = (await self._client.get(self._below("/models"))).raise_for_status()
        return {str(model["id"]) for model in response.json()["data"]}

    def _asked_at(self) -> httpx2.URL:
        return self._below("/chat/completions")

    def _below(self, path: str) -> httpx2.URL:
        return self._base.copy_with(path=self._base.path.rstrip("/") + path)


async def _beginning(response: httpx2.Response) -> str:
    body = b""
    try:
        async for piece in response.aiter_bytes():
            body += piece
            if len(body) >= ERROR_BYTES:
                break
    except httpx2.HTTPError:
        pass  # the status is known, and says enough
    return body[:ERROR_BYTES].decode(errors="replace")


class _Body:
    """A response as httpx2's reader of event streams takes one: whatever its type is called, in UTF-8, and with its last event
    ended. After each read that ends an event comes one of ours.
    """

    headers = EVENTS

    def __init__(self, response: httpx2.Response, begun: str, rest: AsyncIterator[str]) -> None:
        self.request = response.request
        self._begun = begun
        self._rest = rest
        self.ends_whole = False  # the read that is being looked at ends with a whole event

    async def aiter_text(self) -> AsyncIterator[str]:
        yield self._marked(self._begun)
        async for text in self._rest:
            yield self._marked(text)
        self.ends_whole = False
        yield "\n\n"

    def _marked(self, text: str) -> str:
        self.ends_whole = text.endswith(("\n\n", "\r\n\r\n"))
        return f"{text}event: {READ}\ndata:\n\n" if self.ends_whole else text


async def events_of(response: httpx2.Response, server: str = Server.name) -> AsyncIterator[Event | None]:
    response.encoding = "utf-8-sig"  # event streams are always UTF-8, and may begin with a byte order mark
    texts = response.aiter_text()
    begun = ""
    async for begun in texts:
        if begun.strip():
            break
        yield None  # empty lines, while the answer is awaited
    kind = response.headers.get("content-type", "")
    start = begun.lstrip()
    if start.startswith(("{", "[")):
        parts, size = [begun], len(begun)
        async for text in texts:
            parts.append(text)
            if (size := size + len(text)) > EVENT_BYTES:
                raise ModelBroken(f"{server} answered with more than {EVENT_BYTES} characters of JSON")
            yield None
        yield Event("".join(parts), is_whole=True)
    elif start.startswith("<"):
        raise Misconfigured(f"{server} answered with a page of type {kind!r}: {start[:QUOTED_BYTES]!r}")
    else:
        body = _Body(response, begun, texts)
        async for event in httpx2.EventSource(cast(httpx2.Response, body), max_event_size=EVENT_BYTES):
            yield None if event.event == READ else Event(event.data, event.event == "error", more=body.ends_whole)
