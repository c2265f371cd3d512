"""The frames that come, over one connection after another: their order, where the next goes on, and what was missed."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import msgspec

from threadcast_client.line import Ended, Line
from threadcast_client.owner import Owner, State, now
from threadcast_client.schemas.events import GoingAway, Heartbeat, Resumed
from threadcast_client.wire import Frame, payload_of

MOST_SILENCES = 6  # that each double how long a silence may be: 15 s become half an hour


class Feed:
    """Reads connections, each to its end, for the `owner`. `has_become` is told of one that it is live, or draining."""

    owner: Owner

    def __init__(self, heartbeat: float, has_become: Callable[[State], None]) -> None:
        self.line: Line | None = None  # once it is resumed
        self.is_caught_up = False  # all that was missed has come
        self.is_draining = False
        self.seconds = heartbeat
        self._has_become = has_become
        self._place: tuple[str, int] | None = None
        self._user: str | None = None
        self._barrier = ""  # the label of a request that is answered after all that was missed
        self._heard_at = 0.0
        self._silences = 0  # on open connections, since the last heartbeat

    @property
    def since(self) -> str:
        """Where the next connection goes on."""
        return ":".join(map(str, self._place or ()))

    async def serve(self, line: Line, ending: asyncio.Future[Ended]) -> tuple[Ended, bool]:
        """Read the line until it or `ending` has come to an end: which, and whether the connection had been live."""
        self._heard_at, self._barrier, self.is_draining = now(), "", False
        reading = asyncio.create_task(self._read(line))
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait([reading, watching, ending], return_when=asyncio.FIRST_COMPLETED)
            ended = ending.result() if ending.done() else await (reading if reading.done() else watching)
            return ended, self.is_caught_up
        finally:
            self.line, self.is_caught_up = None, False
            for task in (reading, watching):
                task.cancel()
            await asyncio.wait([reading, watching])

    async def _read(self, line: Line) -> Ended:
        try:
            while True:
                frame, text = await line.read()
                self._heard_at = now()
                if frame is None:
                    self._silences = 0
                    continue
                self.owner.on_text(text)
                self._take(frame, line)
        except Ended as ended:
            return ended
        except msgspec.DecodeError:
            self._place = None  # whatever it was is missing
            return Ended("a frame that is none")

    async def _watch(self) -> Ended:
        while True:
            await asyncio.sleep(min(1.0, self.seconds / 4))
            patience = 2 * self.seconds * 2**self._silences
            if now() - self._heard_at > patience:
                self._silences = min(self._silences + 1, MOST_SILENCES)
                return Ended(f"nothing came for {patience:.0f} s")
            if self.is_caught_up:
                self.owner.on_tick()

    def _take(self, frame: Frame, line: Line) -> None:
        if frame.route == "/stream":
            match payload_of(frame):
                case Resumed() as resumed:
                    self._resumed(frame, resumed, line)
                case GoingAway():
                    self.is_draining = True
                    self._has_become("draining")
                case Heartbeat(seconds) if seconds > 0:
                    self.seconds, self._silences = seconds, 0
            return
        if not self._is_next(frame):
            return
        self.owner.on_frame(frame)
        if self._barrier and frame.request_id == self._barrier:
            self._barrier = ""
            self.is_caught_up = True
            self._has_become("live")
            self.owner.on_live()

    def _is_next(self, frame: Frame) -> bool:
        """Go on to the frame's place. False if it has come before."""
        if frame.by_http:
            return True
        if frame.offset is None:
            self._place = None  # it is in no log, so nothing goes on from it
        elif self._place:
            epoch, offset = self._place
            if frame.offset < offset:
                self._place = None
                raise Ended("frames out of their order")
            self._place = epoch, frame.offset
            return frame.offset > offset
        return True

    def _resumed(self, frame: Frame, resumed: Resumed, line: Line) -> None:
        user = frame.sent_by.id if frame.sent_by else ""
        before, self._place = self._place, (resumed.epoch, resumed.offset)
        if self._user not in (None, user):
            before = None
            self.owner.on_replaced()
        self._user = user
        self.line = line
        self.owner.on_resumed(missed=not resumed.recovered or before != self._place)
        self._barrier = f"list-{uuid4().hex[:12]}"
        self.send(self._barrier, "/chats/list", {"page_size": 25})

    def send(self, label: str, route: str, payload: dict[str, object]) -> None:
        """Send a request on the connection, while it is there."""
        if self.line:
            self.owner.on_sent(self.line.send(label, route, payload))
