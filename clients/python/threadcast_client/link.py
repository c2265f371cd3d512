"""The connection that comes back: its states, when it tries again, and where it goes on."""

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol
from uuid import uuid4

import msgspec

from threadcast_client.line import Ended, Line
from threadcast_client.lines import lines_to
from threadcast_client.schemas.events import GoingAway, Heartbeat, Resumed
from threadcast_client.wire import Frame, payload_of

State = Literal["connecting", "waiting", "live", "draining", "refused", "closed"]
Token = str | Callable[[], str | Awaitable[str]]

HEARTBEAT_S = 15.0  # until the server says otherwise
OPEN_S = 10.0
TOKEN_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
MOST_SILENCES = 6  # that each double how long a silence may be: 15 s become half an hour
FOR_GOOD = (1002, 1007, 1009)  # what we send is wrong, and would be so again
CROWDED = (4029, 4503)
_CLOCK = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


def now() -> float:
    """Seconds, by a clock that goes on while the machine sleeps."""
    return time.clock_gettime(_CLOCK) if _CLOCK is not None else time.monotonic()


class Owner(Protocol):
    """Who the connection is for."""

    def on_state(self, state: State) -> None:
        """It has become so."""

    def on_note(self, text: str) -> None:
        """Something that a person who looks for a fault would like to know."""

    def on_sent(self, text: str) -> None:
        """A request was sent."""

    def on_text(self, text: str) -> None:
        """A frame came."""

    def on_frame(self, frame: Frame) -> None:
        """A frame came, in its order, and not for the second time."""

    def on_resumed(self, missed: bool) -> None:
        """A connection is there. `missed`: frames may be missing."""

    def on_live(self) -> None:
        """All frames that were missed have come."""

    def on_lost(self) -> None:
        """The connection has gone, with what it had not answered."""

    def on_over(self, why: str) -> None:
        """Nothing more is tried."""

    def on_replaced(self) -> None:
        """The token is another user's than before."""

    def on_tick(self) -> None:
        """A moment has passed on a live connection."""


class Link:
    """Connects, and again, for its `owner`."""

    owner: Owner

    def __init__(self, url: str, heartbeat: float, has_socket: bool) -> None:
        self._open_socket, self._open_events = lines_to(url, is_events_needed=not has_socket)
        self._has_socket = has_socket
        self.token: Token = ""
        self.state: State = "closed"
        self.line: Line | None = None  # once it is resumed
        self.is_caught_up = False
        self.seconds = heartbeat
        self._place: tuple[str, int] | None = None
        self._user: str | None = None
        self._barrier = ""
        self._heard_at = 0.0
        self._silences = 0  # on open connections, since the last heartbeat
        self._tries = 0
        self._using = ""  # the token of the latest try
        self._refused: str | None = None  # the token that was refused since the connection was live
        self._by_events = not has_socket
        self._ending: asyncio.Future[Ended] | None = None  # of the open connection
        self._awake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connect, now; or again, when there is a connection that was made with another token."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._ran)
        self._tries, self._refused = 0, None
        self._awake.set()

    def renew(self, why: str) -> None:
        """End the open connection, and make another."""
        if self._ending and not self._ending.done():
            self._ending.set_result(Ended(why))

    async def stop(self) -> None:
        """Close, and leave nothing running."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._set("closed")

    def _ran(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):  # a fault of ours: better told than hung
            self._set("closed")
            self.owner.on_over("a fault of the client")
            asyncio.get_running_loop().call_exception_handler({"message": "threadcast_client failed", "exception": error})

    def _set(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.owner.on_state(state)

    async def _run(self) -> None:
        while True:
            self._set("connecting")
            self._awake.clear()
            ended, was_live = await self._connection()
            self.owner.on_note(ended.why)
            is_refusal = ended.status == 401 or ended.code in (4001, 4401)
            if ended.code in FOR_GOOD:
                self._set("closed")
                self.owner.on_over(ended.why)
                await self._awake.wait()
            elif is_refusal and (not callable(self.token) or self._refused is not None):
                self._set("refused")
                await self._awake.wait()
            elif is_refusal:
                self._refused = self._using
            else:
                await self._pause(ended, was_live)

    async def _pause(self, ended: Ended, was_live: bool) -> None:
        if ended.code in CROWDED or ended.status in (429, 503):
            self._tries = max(self._tries, 1)  # at once it would be the same
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._tries - 1, 10)) if self._tries else 0.0
        pause = max(pause * random.uniform(0.5, 1), ended.retry_after)  # noqa: S311 - no secret
        if ended.code == 1012 and was_live:
            pause = 0
        self._tries += 1
        if pause:
            self._set("waiting")
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass

    async def _connection(self) -> tuple[Ended, bool]:
        """Connect, and serve the connection until it ends: how it did, and whether it had been live."""
        line: Line | None = None
        was_open, self.is_caught_up = False, False
        self._ending = asyncio.get_running_loop().create_future()
        make = self._open_events if self._open_events and self._by_events else self._open_socket
        try:
            token = await self._fetch()
            line = make()
            async with asyncio.timeout(OPEN_S):
                await line.open(token, ":".join(map(str, self._place or ())))
            was_open = True
            ended = await self._serve(line, self._ending)
        except Ended as error:
            ended = error
        except TimeoutError:
            ended = Ended(f"no connection within {OPEN_S:.0f} s")
        finally:
            was_live, self.is_caught_up, self.line = self.is_caught_up, False, None
            if line:
                await line.close()
            self.owner.on_lost()
        is_servers_own = ended.status in (401, 429, 503)
        if self._has_socket and not is_servers_own:
            self._by_events = not was_open and not self._by_events
        return ended, was_live

    async def _fetch(self) -> str:
        token = self.token
        try:
            if not isinstance(token, str):
                async with asyncio.timeout(TOKEN_S):
                    made = token()
                    token = await made if inspect.isawaitable(made) else str(made)
        except Exception as error:  # whose text may have a secret
            raise Ended(f"no token: {type(error).__name__}") from None
        if not (token.isascii() and token.isprintable()) or (callable(self.token) and token == self._refused):
            raise Ended("no token that the server could take", 4401)
        self._using = token
        return token

    async def _serve(self, line: Line, ending: asyncio.Future[Ended]) -> Ended:
        self._heard_at = now()
        reading = asyncio.create_task(self._read(line))
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait([reading, watching, ending], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                return ending.result()
            return await (reading if reading.done() else watching)
        finally:
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
                    self._set("draining")
                case Heartbeat(seconds) if seconds > 0:
                    self.seconds, self._silences = seconds, 0
            return
        if not frame.by_http:
            if frame.offset is None:
                self._place = None  # it is in no log, so nothing goes on from it
            elif self._place:
                epoch, offset = self._place
                if frame.offset == offset:
                    return
                if frame.offset < offset:
                    self._place = None
                    raise Ended("frames out of their order")
                self._place = epoch, frame.offset
        self.owner.on_frame(frame)
        if self._barrier and frame.request_id == self._barrier:
            self._barrier = ""
            self.is_caught_up = True
            self._tries, self._refused = 0, None
            if self.state != "draining":
                self._set("live")
            self.owner.on_live()

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
