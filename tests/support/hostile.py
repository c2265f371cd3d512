"""A proxy before a real server that ill-treats what goes through: WebSockets frame by frame, everything else byte by byte.

Each way out (a socket, or a stream of events) gets the next entry of the `history`, which is a list of faults; when there are
no more entries, what comes goes through unharmed. Requests over HTTP have a history of their own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.client import TIMEOUT_S
from tests.support.hostile_line import Line


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    On the upgrade: `refuse` with the status `value`, `hang` without an answer, `wrong` 101, `deaf` after it, `shut` with the
    close code `value`. On the frame number `at`, counted from `resumed`, which is 0: `cut` after `value` thousandths of it,
    `close` with a code, `double`, `swap` with the next, `drop`, `mute` from then on, `orphan` (the server's side is gone),
    `pause` for `value` ms, in `pieces` or single `bytes`, `bare` of its offset, with `unknown` things, `going` away and 1012.
    `epoch` is another in `resumed`. On the post number `at`: `lose` it, or let it go `unanswered`, and cut.
    """

    kind: str
    at: int = 0
    value: int = 0


History = Sequence[Sequence[Fault]]


@dataclass
class Hostile:
    """The proxy. `to` is the server's port, which may change; `requests` are the frames that clients have sent."""

    to: int
    history: History = ()
    posts: Sequence[Sequence[Fault]] = ()  # the history of requests over HTTP
    port: int = 0
    blocked: int = 0  # the status that refuses each upgrade
    absent: bool = False  # as if nothing listened
    loses: set[str] = field(default_factory=set)  # events, of each of which the next frame is dropped
    next_cut: int | None = None  # the next frame of any line is cut after so many thousandths
    ways: list[str] = field(default_factory=list)  # the target of each way out, in order
    requests: list[dict[str, Any]] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)  # that were let through
    http: list[str] = field(default_factory=list)  # method and target
    tokens: list[str] = field(default_factory=list)
    lines: set[Line] = field(default_factory=set)
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Hostile"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for line in set(self.lines):
                await line.ended.wait()

    def mute(self) -> None:
        """Let nothing more out on any line that is open."""
        for line in self.lines:
            if line.socket:
                line.socket.mute()

    def cut(self) -> None:
        """End all connections in the middle of whatever they carry."""
        for line in self.lines:
            line.abort()

    async def shut(self, code: int) -> None:
        """Close all sockets with the code."""
        await asyncio.gather(*(line.socket.close(code) for line in self.lines if line.socket))

    async def heard(self, route: str) -> None:
        """Wait until a client has asked this, over a socket."""
        async with asyncio.timeout(TIMEOUT_S):
            while not any(request["route"] == route for request in self.requests):
                await self.happened.wait()

    def tell(self) -> None:
        """Wake those that wait for something to happen."""
        self.happened.set()
        self.happened = asyncio.Event()

    def next_faults(self) -> Sequence[Fault]:
        """The faults of the way out that was opened last."""
        number = len(self.ways) - 1
        return self.history[number] if number < len(self.history) else ()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = Line(self, reader, writer)
        self.lines.add(line)
        try:
            if not self.absent:
                with suppress(OSError, EOFError, RuntimeError):  # uvloop raises a RuntimeError on a line that was cut
                    await line.serve()
        except asyncio.CancelledError:  # by the end of the test
            pass
        finally:
            self.lines.discard(line)
            line.abort()
            line.ended.set()
            self.tell()
