"""Attackers without a token: scenarios of any size, as in `storms.py`, in which they ill-treat a server by raw sockets.

Beside each attack somebody else asks for something all the time: what is held is how long that takes, and how much memory.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
from websockets.asyncio.client import ClientConnection

from backends.auth import PERSON, issue_token
from backends.http_protocol import BODY_S, HEAD_S
from tests.programs.crowd import LONGEST_S, Figures, crowd, opened, sample
from tests.programs.readers import megabytes, most_resident
from tests.support.house import SECRET
from tests.support.program import Program, serving

PATIENCE_S = 5.0  # within which others are to be answered, whatever is done to the server; a busy machine has a share of it
PAUSE_S = 0.1  # between what others ask
CHUNK = 2**16
FILLER = b"x-filler: " + b"x" * 1000 + b"\r\n"


class Others:
    """Somebody else, who asks again and again: how long the longest answer took."""

    def __init__(self) -> None:
        self.answers = 0
        self.longest = 0.0

    async def ask(self, once: Callable[[], Awaitable[object]]) -> None:
        """Until it is cancelled. An answer that is refused or does not come in time is an error."""
        while True:
            began = time.monotonic()
            with anyio.fail_after(LONGEST_S):
                await once()
            self.longest = max(self.longest, time.monotonic() - began)
            self.answers += 1
            await anyio.sleep(PAUSE_S)

    def figures(self) -> Figures:
        """That they were answered all the time."""
        assert self.answers, "nobody else was answered"
        assert self.longest <= PATIENCE_S, f"somebody else waited {self.longest:.1f} s"
        return {"others waited at most": f"{self.longest:.2f} s"}


@asynccontextmanager
async def asking(once: Callable[[], Awaitable[object]]) -> AsyncIterator[Others]:
    """Others who ask while the block runs."""
    others = Others()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others.ask, once)
        yield others
        await eventually(lambda: others.answers)
        tasks.cancel_scope.cancel()


async def eventually(check: Callable[[], Any], seconds: float = LONGEST_S) -> None:
    """Wait until it is true, or what it returns is. There is no event to wait for in another process."""
    with anyio.fail_after(seconds):
        while True:
            found = check()
            if await found if isinstance(found, Awaitable) else found:
                return
            await anyio.sleep(PAUSE_S)


async def healthy(program: Program) -> None:
    """`/healthz` on a connection of its own."""
    reader, writer = await dial(program)
    try:
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert status(await reader.read()) == 200
    finally:
        writer.transport.abort()


async def comes_in(program: Program, user: UUID) -> None:
    """Connect anew, ask for something small, and leave."""
    async with opened(program, user) as connection:
        await is_answered(connection)


async def is_answered(connection: ClientConnection) -> None:
    """Ask for something small, and have the answer."""
    await connection.send(json.dumps({"route": "/chats/list", "payload": {"page_size": 1}}))
    assert json.loads(await connection.recv())["event"] == "getChatsList"


async def dial(program: Program) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = program.url.split("/")[2].split(":")
    return await asyncio.open_connection(host, int(port))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


def posting(user: UUID, body: bytes, length: int | None = None) -> bytes:
    """A `POST /api/v1/chats`, of another length than it says if that is given."""
    token = issue_token(SECRET, user, 600, PERSON)
    head = f"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    return f"{head}content-length: {len(body) if length is None else length}\r\n\r\n".encode() + body


class Flood:
    """One connection that sends the same bytes again and again and reads only to learn when it is over."""

    def __init__(self, first: bytes, again: bytes, wanted: int) -> None:
        self.first, self.again, self.wanted = first, again, wanted
        self.sent = 0
        self.status = 0

    async def pour(self, program: Program, most: int) -> None:
        """Until the server ends the connection, or `most` bytes have gone in, which breaks the promise."""
        reader, writer = await dial(program)
        answer = asyncio.ensure_future(reader.read())
        try:
            writer.write(self.first)
            with suppress(OSError):
                while not answer.done() and self.sent < most:
                    writer.write(self.again)
                    self.sent += len(self.again)
                    await writer.drain()
            with anyio.fail_after(LONGEST_S), suppress(OSError):
                self.status = status(await answer)
        finally:
            answer.cancel()
            writer.transport.abort()


async def endless_heads(folder: Path, connections: int, most: int) -> Figures:
    """Heads without an end, of many headers, of one, of an address and of an upgrade: all are cut off, nobody else notices."""
    many = FILLER * (CHUNK // len(FILLER))
    kinds = (
        (b"GET /healthz HTTP/1.1\r\n", many, 431),
        (b"GET /healthz HTTP/1.1\r\nx-filler: ", b"x" * CHUNK, 431),
        (b"GET /", b"x" * CHUNK, 414),
        (b"GET /api/v1/ws HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n", many, 431),
    )
    with serving(folder) as program:
        await healthy(program)
        most_resident(program)
        before = most_resident(program)
        floods = [Flood(*kinds[number % len(kinds)]) for number in range(connections)]
        async with asking(lambda: healthy(program)) as others, anyio.create_task_group() as tasks:
            for flood in floods:
                tasks.start_soon(flood.pour, program, most)
        grown = most_resident(program) - before
        assert all(flood.sent < most for flood in floods), "never cut off"
        # A peer that sends on is reset, and may lose the answer that was on its way.
        assert all(flood.status in (0, flood.wanted) for flood in floods), sorted(flood.status for flood in floods)
        assert grown < 2**20 * (16 + connections // 4), f"{megabytes(grown)} of memory"
        assert program.stop() == 0
    return {
        "connections": connections,
        "sent before the end at most": megabytes(max(flood.sent for flood in floods)),
        "memory": f"+ {megabytes(grown)}",
        **others.figures(),
    }


async def silence(folder: Path, sockets: int, descriptors: int, seconds: float) -> Figures:
    """More sockets than descriptors say nothing, half a head or half a body. Newcomers come in, and in time none is open."""
    user, newcomer = crowd(folder, 2)
    said = (b"", b"GET /healthz HTTP/1.1\r\nhost:", posting(user, b"{", 1000))
    ended = 0

    async def hear(reader: asyncio.StreamReader) -> None:
        nonlocal ended
        with suppress(OSError):
            await reader.read()
        ended += 1

    with serving(folder, descriptors=str(descriptors)) as program:
        async with asking(lambda: comes_in(program, newcomer)) as others, anyio.create_task_group() as tasks:
            writers = []
            for number in range(sockets):
                reader, writer = await dial(program)
                writer.write(said[number % len(said)])
                writers.append(writer)
                tasks.start_soon(hear, reader)
            await eventually(lambda: ended >= sockets - descriptors)
            at_once = ended
            if seconds:
                await eventually(lambda: ended == sockets, seconds)
            for writer in writers:
                writer.transport.abort()
            tasks.cancel_scope.cancel()
        cut = {
            reason: int(await sample(program, "sockets_cut_total", reason=reason))
            for reason in ("room", "silent", "head", "body")
        }
        assert program.stop() == 0
    assert cut["room"] >= sockets - descriptors, cut
    return {"sockets": sockets, "descriptors": descriptors, "made room at once": at_once, **cut, **others.figures()}


SILENT_S = max(HEAD_S, BODY_S) + 10
