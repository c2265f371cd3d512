"""One connection, as a WebSocket, and what ends one."""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from threadcast_client.wire import Frame, decode, encode

# A chat has about 16 MiB where a server does not say otherwise, and JSON may take several bytes for one.
MOST_BYTES = 2**28
CLOSE_S = 1  # for the peer's answer to our close, which nobody waits for

# The library's own, at DEBUG, has the headers, and so the token.
_quiet = logging.getLogger("threadcast_client.websockets")
_quiet.setLevel(logging.INFO)


class Ended(Exception):
    """A connection has ended, or never came to be: with a close code, or with an HTTP status, or with neither."""

    def __init__(self, why: str, code: int = 0, status: int = 0, retry_after: float = 0) -> None:
        super().__init__(why)
        self.why, self.code, self.status, self.retry_after = why, code, status, retry_after


class Line(Protocol):
    """A connection. Whatever ends it raises Ended."""

    by_http: bool  # it is asked over HTTP, and its answers come in no order

    async def open(self, token: str, since: str) -> None:
        """Connect, to go on after `since`."""

    async def read(self) -> tuple[Frame | None, str]:
        """The next frame, and its text. None for what only shows that the line lives."""

    def send(self, label: str, route: str, payload: Mapping[str, Any]) -> str:
        """Send a request soon. Its text."""

    async def close(self) -> None:
        """Leave nothing behind."""


class SocketLine:
    """A WebSocket."""

    by_http = False

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: ClientConnection | None = None
        self._unsent: deque[str] = deque()  # bounded by what the client lets wait
        self._has_unsent = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    async def open(self, token: str, since: str) -> None:
        try:
            self._socket = await connect(
                f"{self._url}/api/v1/ws?since={quote(since)}",
                additional_headers={"Authorization": f"Bearer {token}"},
                max_size=MOST_BYTES,
                open_timeout=None,  # whoever calls has a time limit
                ping_interval=None,  # the heartbeat shows more
                close_timeout=CLOSE_S,
                logger=_quiet,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise Ended(f"HTTP {status}", 0, status, seconds_of(error.response.headers.get("Retry-After"))) from None
        except (OSError, EOFError, WebSocketException, ValueError) as error:
            raise Ended(f"no connection: {type(error).__name__}") from None
        self._writer = asyncio.create_task(self._write(self._socket))

    async def read(self) -> tuple[Frame | None, str]:
        if self._socket is None:
            raise Ended("not open")
        try:
            data = await self._socket.recv()
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd else error.sent.code if error.sent else 1006
            raise Ended(f"closed with {code}", code) from None
        text = data if isinstance(data, str) else data.decode(errors="replace")
        return decode(text), text

    def send(self, label: str, route: str, payload: Mapping[str, Any]) -> str:
        text = encode({"route": route, "id": label, "payload": payload}).decode()
        self._unsent.append(text)
        self._has_unsent.set()
        return text

    async def _write(self, socket: ClientConnection) -> None:
        try:
            while await self._has_unsent.wait():
                while self._unsent:
                    await socket.send(self._unsent.popleft())
                self._has_unsent.clear()
        except ConnectionClosed:  # whoever reads is told
            pass

    async def close(self) -> None:
        if self._writer:
            self._writer.cancel()
            await asyncio.wait([self._writer])
        if self._socket:
            await self._socket.close()


def seconds_of(retry_after: str | None) -> float:
    """The seconds of a `Retry-After`: at most an hour, and none where it is a date or nothing at all."""
    text = (retry_after or "").strip()
    return min(3600.0, float(text)) if text.isascii() and text.isdigit() else 0.0
