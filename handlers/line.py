"""A socket's transport as a connection needs it, and a simple one for ASGI servers that are not ours."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from backends.frame import Frame


class Line(Protocol):
    """The transport of a socket, which takes whatever it is given and says when that is enough."""

    heard_at: float  # by the loop's clock, when the peer last sent anything
    on_room: Callable[[], None]  # is called when there is room again

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""

    def send_frame(self, frame: Frame, numbered: bool) -> bool:
        """Send a frame, with its number or without. Whether there is room for more; `on_room` is called once there is.

        Raises OSError when the peer is gone.
        """

    def close(self, code: int, reason: str) -> None:
        """Close with this code and reason. Later frames are not sent."""

    def drop(self) -> None:
        """Send nothing more: the peer is gone."""

    async def answers(self, seconds: float) -> bool:
        """Ping the peer. Whether it has sent or taken anything within `seconds`."""

    def end(self) -> bool:
        """End the connection, whose peer is gone, without waiting for the peer. Whether it was open."""

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call this once the connection is lost, with all that is unsent. Takes one callback."""


class PlainLine:
    """A line of which nothing is known but how to send a text and how to close: each frame is sent before the next."""

    heard_at = 0.0

    def __init__(self, send: Callable[[str], Awaitable[None]], close: Callable[[int, str], Awaitable[None]]) -> None:
        self.on_room: Callable[[], None] = lambda: None
        self._send_text, self._close_it = send, close
        self._task: asyncio.Task[None] | None = None  # sends or closes
        self._is_gone = False

    @property
    def unsent(self) -> int:
        return 0

    def send_frame(self, frame: Frame, numbered: bool) -> bool:
        if self._is_gone:
            raise OSError("the peer is gone")
        self._task = asyncio.create_task(self._send(self.text_of(frame, numbered)))
        return False

    def text_of(self, frame: Frame, numbered: bool) -> str:
        """The frame as it is sent."""
        return b"".join(frame.text(numbered)).decode()

    async def _send(self, text: str) -> None:
        try:
            await self._send_text(text)
        except Exception:  # the server's own error for a peer that is gone
            self._is_gone = True
        self.on_room()

    def drop(self) -> None:
        if self._task:
            self._task.cancel()

    def close(self, code: int, reason: str) -> None:
        self._task = asyncio.create_task(self._close(self._task, code, reason))

    async def _close(self, sending: asyncio.Task[None] | None, code: int, reason: str) -> None:
        if sending and not sending.done():
            sending.cancel()  # it may never end
            await asyncio.wait([sending])
        with suppress(Exception):  # as above
            await self._close_it(code, reason)

    async def answers(self, seconds: float) -> bool:
        return True

    def end(self) -> bool:
        return False

    def when_lost(self, callback: Callable[[], None]) -> None:
        callback()
