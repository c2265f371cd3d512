"""One socket's way out: straight to its line while that has room, and by an outbox while it has none.

A slow reader would hold up whoever waits for it, so `put` never waits. A frame counts as waiting until there is room for the
next one.
"""

import asyncio
import math
from collections import deque
from collections.abc import Iterable
from uuid import uuid4

from backends.frame import Frame, frame_key, join_frames
from backends.limits import FrameRate
from backends.metrics import Traffic
from handlers.line import Line
from handlers.outboxes import BEHIND_BYTES, BEHIND_LOOKS, Share
from schemas.users import AuthenticatedUser

RESTARTING = (1012, "the server is restarting")
FRAMES_LOST = (1011, "frames were lost")
TOKEN_EXPIRED = (4001, "token expired")
TOKEN_REVOKED = (4001, "token revoked")
TOO_SLOW = (4008, "read too slowly")
GONE = (1006, "")  # never sent: the peer went away first
NO_FRAMES: deque[Frame] = deque(maxlen=0)  # an empty one takes 0.7 KB, and most connections never have a frame that waits


class Connection:
    """An open WebSocket of one user, as the broker's subscriber."""

    def __init__(
        self,
        user: AuthenticatedUser,
        token: str,
        frames_per_second: int,
        traffic: Traffic,
        share: Share,
        *,
        joins: bool = False,
        numbered: bool = False,
        brief: bool = False,
    ) -> None:
        """`joins`: deltas that wait are joined. `numbered`: it can resume. `brief`: of chats it gets only what is new."""
        self.id = uuid4().hex
        self.user = user
        self.token = token  # kept, since it is checked again: it may be revoked
        self.rate = FrameRate(frames_per_second)  # of the frames that the client sends
        self.share = share
        self.sent_at = 0.0  # by the loop's clock, when the line was opened, or the last frame was sent
        self.waiting = 0  # bytes of all frames in the outbox, and of the one behind which there is no room
        self._traffic = traffic
        self._joins = joins
        self.numbered = numbered
        self._brief = brief
        self._frames = NO_FRAMES
        self._current: Frame | None = None  # the frame that was sent last, until there is room behind it
        self._line: Line | None = None
        self._clock = asyncio.get_running_loop().time
        self._unsent = 0  # bytes in the transport at the last look
        self._looks = 0  # looks since the peer last took anything
        self._closing: tuple[int, str] | None = None
        self._closing_when_sent: tuple[int, str] | None = None

    @property
    def behind(self) -> int:
        """Bytes that wait behind the frame that was sent last, or is the next to be."""
        first = self._current or (self._frames[0] if self._frames else None)
        return self.waiting - first.size if first else 0

    @property
    def is_stalled(self) -> bool:
        """Whether the peer had taken nothing at the last look."""
        return self._looks > 0

    @property
    def is_idle(self) -> bool:
        """Whether the peer has been sent, or is about to be sent, all that was put: no frame waits for room."""
        return not self.waiting

    @property
    def heard_at(self) -> float:
        """When the peer last sent anything, by the loop's clock."""
        return self._line.heard_at if self._line else math.inf

    async def answers(self, seconds: float) -> bool:
        """Ping the peer. Whether it has sent or taken anything within `seconds`."""
        return await self._line.answers(seconds) if self._line else True

    def end(self) -> bool:
        """End the connection, whose peer is gone, without waiting for the peer. Whether it was open."""
        return self._line.end() if self._line else False

    def open(self, line: Line) -> None:
        """Send what is queued, and from now on whatever is put."""
        self._line, line.on_room, self.sent_at = line, self._send_queued, self._clock()
        if self._closing:
            line.close(*self._closing)
        else:
            self._send_queued()

    def put(self, frame: Frame) -> None:
        """Send the frame, or queue it while there is no room. Closes the connection when too much waits."""
        if self._closing:
            return
        if self._brief:
            frame = frame.brief
        if self._line and not self.waiting:
            if self._send(frame, self._line):
                return
            self._current = frame
        else:
            frame = self._queue(frame)
        self.waiting += frame.size
        if self.waiting >= BEHIND_BYTES:
            self.share.outboxes.watch(self)
        self.share.hold(frame)
        if self._looks >= BEHIND_LOOKS:
            self._judge()

    def _send(self, frame: Frame, line: Line) -> bool:
        """Send the frame. Whether there is room behind it, or the peer is gone."""
        try:
            has_room = line.send_frame(frame, self.numbered)
        except OSError:
            self.close(GONE)
            return True
        self.sent_at = self._clock()
        self._traffic.frames += 1
        self._traffic.bytes += frame.size
        return has_room

    def _queue(self, frame: Frame) -> Frame:
        """Queue the frame, a delta joined with one that waits right before it. Returns what is queued last."""
        if self._joins and self._frames and (key := frame_key(frame)) and key == frame_key(self._frames[-1]):
            before = self._frames.pop()
            self._release(before)
            frame = join_frames([before, frame])
            self._traffic.joined += 1
        if self._frames is NO_FRAMES:
            self._frames = deque()
        self._frames.append(frame)
        return frame

    def _release(self, frame: Frame) -> None:
        self.waiting -= frame.size
        self.share.release(frame)

    def _send_queued(self) -> None:
        """There is room: send what is queued while there is."""
        if self._current:
            self._release(self._current)
            self._current, self.sent_at = None, self._clock()
        self._unsent = self._looks = 0
        while self._frames and self._line:
            frame = self._frames[0]
            has_room = self._send(frame, self._line)
            if self._closing:  # which has released all that is queued
                return
            self._frames.popleft()
            if not has_room:
                self._current = frame
                return
            self._release(frame)
        self._frames = NO_FRAMES
        if self._closing_when_sent:
            self.close(self._closing_when_sent)

    def cut(self) -> None:
        """Close: what the connection should have heard is lost."""
        self.close(FRAMES_LOST)

    def go_on(self, frames: Iterable[Frame]) -> None:
        """Queue what the connection has missed. To be called before any `put`."""
        for frame in frames:
            self.put(frame)

    def look(self) -> None:
        """See whether the peer has taken anything since the last look, and close when it is too slow.

        While there is no room no other frame gets into the transport: less that is unsent means that the peer has taken some.
        """
        unsent = self._line.unsent if self._line and self._current else 0
        self._looks = self._looks + 1 if unsent >= self._unsent > 0 else 0
        self._unsent = unsent
        self._judge()

    def _judge(self) -> None:
        if self._looks >= BEHIND_LOOKS and self.behind > self.share.outboxes.each:
            self.give_up()

    def give_up(self) -> None:
        """Close: the peer reads too slowly."""
        self.close(TOO_SLOW)

    def close(self, why: tuple[int, str]) -> None:
        """Close as soon as possible with this code and reason; what was not sent yet is dropped. Only the first call counts."""
        if self._closing is None:
            self._closing = why
            self._forget()
            if self._line:
                self._line.drop() if why is GONE else self._line.close(*why)

    def _forget(self) -> None:
        for frame in self._frames:
            self.share.release(frame)
        if self._current and self._line:
            self.share.leave(self._current, self._line.when_lost)
        self._frames = NO_FRAMES
        self._current = None
        self.waiting = 0
        self.share.outboxes.forget(self)

    def close_when_sent(self, why: tuple[int, str]) -> None:
        """Close with this code and reason once all that is queued has been sent, if it ever is."""
        if self.waiting:
            self._closing_when_sent = why
        else:
            self.close(why)
