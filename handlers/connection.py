"""One socket's way out: an outbox that anybody may fill, and the one task that empties it.

Concurrent sends on one socket can overtake each other, and a slow reader would hold up whoever waits for it. So nobody but
`write` sends, and `put` never waits.
"""

from collections import deque
from uuid import uuid4

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

# What may wait for one slow reader. Enough for minutes of streaming at reading speed; a process holds it once per connection.
OUTBOX_CHARACTERS = 1024 * 1024

TOKEN_EXPIRED = (4001, "token expired")
TOO_SLOW = (4008, "read too slowly")
GONE = (1006, "")  # never sent: the peer went away first


class Connection:
    """An open WebSocket of one user, as the broker's subscriber."""

    def __init__(self) -> None:
        self.id = uuid4().hex
        self._frames: deque[str] = deque()
        self._waiting = 0  # characters, of all frames in the outbox
        self._wake = anyio.Event()
        self._sending = anyio.CancelScope()
        self._closing: tuple[int, str] | None = None

    def put(self, frame: str) -> None:
        """Queue a frame. Past the bound the connection is closed: it is then behind by more than it will ever read.

        A frame may be larger than the bound by itself, when nothing waits before it: else a long chat could not be sent at all.
        """
        if self._closing:
            return
        if self._frames and self._waiting + len(frame) > OUTBOX_CHARACTERS:
            self.close(TOO_SLOW)
            return
        self._frames.append(frame)
        self._waiting += len(frame)
        self._wake.set()

    def close(self, why: tuple[int, str]) -> None:
        """Close as soon as possible with this code and reason; what was not sent yet is dropped. Only the first call counts."""
        if self._closing is None:
            self._closing = why
            self._frames.clear()
            self._wake.set()
            self._sending.cancel()  # the writer may be stuck in a send that will never end

    async def write(self, websocket: WebSocket) -> None:
        """Send what is queued until the connection is closed by either side."""
        try:
            with self._sending:
                while not self._closing:
                    await self._wake.wait()
                    self._wake = anyio.Event()
                    while self._frames:
                        frame = self._frames.popleft()
                        self._waiting -= len(frame)
                        await websocket.send_text(frame)
            if self._closing:
                await websocket.close(*self._closing)
        except (WebSocketDisconnect, RuntimeError):  # the peer is gone: Starlette says so in one way, uvicorn in the other
            self.close(GONE)
