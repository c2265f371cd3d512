"""One socket's way out: an outbox that anybody may fill, and the one task that empties it.

Concurrent sends on one socket can overtake each other, and a slow reader would hold up whoever waits for it. So nobody but
`write` sends, and `put` never waits.
"""

import asyncio
from collections import deque
from collections.abc import Iterable
from uuid import uuid4

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect

from backends.frame import Frame, frame_key, join_frames
from backends.limits import FrameRate
from backends.metrics import Traffic
from schemas.users import AuthenticatedUser

RESTARTING = (1012, "the server is restarting")
FRAMES_LOST = (1011, "frames were lost")
TOKEN_EXPIRED = (4001, "token expired")
TOO_SLOW = (4008, "read too slowly")
TOO_MANY = (4029, "too many connections")
GONE = (1006, "")  # never sent: the peer went away first


class Connection:
    """An open WebSocket of one user, as the broker's subscriber."""

    def __init__(
        self, user: AuthenticatedUser, rate: FrameRate, traffic: Traffic, *, outbox_bytes: int, joins: bool, numbered: bool
    ) -> None:
        self.id = uuid4().hex
        self.user = user
        self.rate = rate  # of what it sends us
        self.waiting = 0  # bytes, of all frames in the outbox
        self._traffic = traffic
        self._joins = joins
        self._bound = outbox_bytes
        self._numbered = numbered
        self._frames: deque[Frame] = deque()
        self._idle: asyncio.Future[None] | None = None  # what the writer waits for: an Event costs a fifth of a sent frame
        self._sending = anyio.CancelScope()
        self._closing: tuple[int, str] | None = None
        self._closing_when_sent: tuple[int, str] | None = None

    def put(self, frame: Frame) -> None:
        """Queue a frame; a delta is joined with one that waits right before it.

        Past the bound the connection is closed: it is behind by more than it will ever read. A frame may be larger than the
        bound by itself, when nothing waits before it: else a long chat could not be sent at all.
        """
        if self._closing:
            return
        was_waiting = bool(self._frames)
        self._append(frame)
        if was_waiting and self.waiting > self._bound:
            self.close(TOO_SLOW)

    def cut(self) -> None:
        """Close: what the connection should have heard is lost."""
        self.close(FRAMES_LOST)

    def go_on(self, frames: Iterable[Frame]) -> None:
        """Queue what the connection has missed, however much the log has kept of it. To be called before any `put`."""
        for frame in frames:
            self._append(frame)

    def _append(self, frame: Frame) -> None:
        if self._joins and self._frames and (key := frame_key(frame)) and key == frame_key(self._frames[-1]):
            before = self._frames.pop()
            self.waiting -= before.size
            frame = join_frames([before, frame])
            self._traffic.joined += 1
        self._frames.append(frame)
        self.waiting += frame.size
        self._wake()

    def close(self, why: tuple[int, str]) -> None:
        """Close as soon as possible with this code and reason; what was not sent yet is dropped. Only the first call counts."""
        if self._closing is None:
            self._closing = why
            self._frames.clear()
            self.waiting = 0
            self._wake()
            self._sending.cancel()  # the writer may be stuck in a send that will never end

    def close_when_sent(self, why: tuple[int, str]) -> None:
        """Close with this code and reason once all that is queued has been sent, if it ever is."""
        self._closing_when_sent = why
        self._wake()

    def _wake(self) -> None:
        if self._idle and not self._idle.done():
            self._idle.set_result(None)

    async def write(self, websocket: WebSocket) -> None:
        """Send what is queued until the connection is closed by either side."""
        try:
            with self._sending:
                while not self._closing:
                    if not self._frames and not self._closing_when_sent:
                        self._idle = asyncio.get_running_loop().create_future()
                        await self._idle
                    while self._frames:
                        frame = self._frames.popleft()
                        self.waiting -= frame.size
                        text = frame.numbered if self._numbered else frame.text
                        await websocket.send_text(text)
                        self._traffic.frames += 1
                        self._traffic.bytes += frame.size
                    if self._closing_when_sent:
                        self.close(self._closing_when_sent)
            if self._closing:
                await websocket.close(*self._closing)
        except (WebSocketDisconnect, RuntimeError):  # the peer is gone: Starlette says so in one way, uvicorn in the other
            self.close(GONE)
