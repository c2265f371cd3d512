"""A socket's transport as a connection needs it, and a simple one for ASGI servers that are not ours."""

from collections.abc import Callable
from typing import Protocol

from starlette.websockets import WebSocket


class Line(Protocol):
    """The transport of a socket, which takes whatever it is given and says when that is enough."""

    heard_at: float  # by the loop's clock, when the peer last sent anything

    @property
    def unsent(self) -> int:
        """Bytes that the peer has not taken yet."""

    def send_text(self, data: bytes, end: bytes = b"") -> bool:
        """Send a text frame: `data`, with `end`, if there is one, in place of its last byte. Whether there is room for more.

        The bytes are not copied if they are many. Raises OSError when the peer is gone.
        """

    async def drained(self) -> None:
        """Wait until there is room for more, or the peer is gone."""

    async def answers(self, seconds: float) -> bool:
        """Ping the peer. Whether it has sent or taken anything within `seconds`."""

    def end(self) -> bool:
        """End the connection, whose peer is gone, without waiting for the peer. Whether it was open."""

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Call this once the connection is lost, with all that is unsent. Takes one callback."""


class PlainLine:
    """A line under any other ASGI server, which says nothing of its transport: each frame is sent before the next."""

    heard_at = 0.0
    unsent = 0

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._text = ""

    def send_text(self, data: bytes, end: bytes = b"") -> bool:
        self._text = (data[:-1] + end if end else data).decode()
        return False

    async def drained(self) -> None:
        await self._websocket.send_text(self._text)

    async def answers(self, seconds: float) -> bool:
        return True

    def end(self) -> bool:
        return False

    def when_lost(self, callback: Callable[[], None]) -> None:
        callback()
