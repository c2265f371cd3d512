"""The connection that comes back: its states, and when it tries again."""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable

from threadcast_client.feed import Feed
from threadcast_client.line import Ended, Line
from threadcast_client.lines import lines_to
from threadcast_client.owner import Owner, State

Token = str | Callable[[], str | Awaitable[str]]

HEARTBEAT_S = 15.0  # until the server says otherwise
OPEN_S = 10.0
TOKEN_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
FOR_GOOD = (1002, 1007, 1009)  # what we send is wrong, and would be so again
CROWDED = (4029, 4503)


class Link:
    """Connects, and again, for its `owner`."""

    owner: Owner

    def __init__(self, url: str, heartbeat: float, has_socket: bool) -> None:
        self._open_socket, self._open_events = lines_to(url, is_events_needed=not has_socket)
        self._has_socket = has_socket
        self.token: Token = ""
        self.state: State = "closed"
        self.feed = Feed(heartbeat, self._has_become)
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
        if self.state == "closed":
            self._set("connecting")
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

    def _has_become(self, state: State) -> None:
        """The open connection is live, or draining, which it then is to its end."""
        if state == "live":
            self._tries, self._refused = 0, None
        if state != "live" or self.state != "draining":
            self._set(state)

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
        was_open, was_live = False, False
        self._ending = asyncio.get_running_loop().create_future()
        make = self._open_events if self._open_events and self._by_events else self._open_socket
        try:
            token = await self._fetch()
            line = make()
            async with asyncio.timeout(OPEN_S):
                await line.open(token, self.feed.since)
            was_open = True
            ended, was_live = await self.feed.serve(line, self._ending)
        except Ended as error:
            ended = error
        except TimeoutError:
            ended = Ended(f"no connection within {OPEN_S:.0f} s")
        finally:
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
