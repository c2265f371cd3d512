"""Connections that are cut and connections that stall, as scenarios of any size: small in `make test`, full in `make stress`.

Each raises AssertionError when a promise is broken, and returns its figures.
"""

import json
import random
import time
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import anyio
from websockets.asyncio.client import ClientConnection

from tests.programs.crowd import (
    LONGEST_S,
    UNFINISHED,
    UNLIMITED,
    Figures,
    Frame,
    crowd,
    narrow,
    opened,
    post,
    sample,
    sockets_of,
)
from tests.support.client import TIMEOUT_S, fold, is_end, is_heartbeat, unsettled
from tests.support.database import rows
from tests.support.program import Program, serving


class Follower:
    """A client that is cut again and again and goes on where it was."""

    def __init__(self, user: UUID, *programs: Program) -> None:
        self.user, self.programs = user, programs
        self.place = ""
        self.frames: list[Frame] = []
        self.recoveries = 0
        self.ready = anyio.Event()

    async def follow(self, luck: random.Random, cuts: int, longest: float, posts: bool, again: bool = False) -> None:
        """Read one stream to its end, cut so many times, each after at most `longest` seconds.

        With `again` another post follows where a stream has ended before it was cut so many times.
        """
        while not self.has_ended or (again and self.recoveries <= cuts):
            program = luck.choice(self.programs)
            async with opened(program, self.user, self.place) as connection:
                resumed = json.loads(await connection.recv())["payload"]
                assert resumed["recovered"], f"{self.place} was not recovered"
                self.place = self.place or f"{resumed['epoch']}:{resumed['offset']}"
                self.ready.set()
                if posts and (not self.frames or self.has_ended):
                    await post(connection, prompt="Go")
                    await self._read_frame(connection, resumed["epoch"])  # from here on it is known to have arrived
                with anyio.move_on_after(luck.uniform(0, longest) if self.recoveries < cuts else None):
                    await self._read(connection, resumed["epoch"])
                self.recoveries += 1
                connection.transport.abort()

    @property
    def has_ended(self) -> bool:
        """Whether the last frame was the end of a stream."""
        return bool(self.frames) and is_end(self.frames[-1])

    async def _read(self, connection: ClientConnection, epoch: str) -> None:
        while not self.has_ended:
            await self._read_frame(connection, epoch)

    async def _read_frame(self, connection: ClientConnection, epoch: str) -> None:
        while is_heartbeat(frame := json.loads(await connection.recv())):
            pass
        self.frames.append(frame)
        self.place = f"{epoch}:{self.frames[-1]['offset']}"

    def check(self) -> None:
        """No gap, nothing twice, the order exact."""
        offsets = [frame["offset"] for frame in self.frames]
        assert offsets == sorted(set(offsets)), "doubled or out of order"
        ends = [number for number, frame in enumerate(self.frames, 1) if is_end(frame)]
        for begin, end in pairwise([0, *ends]):
            stream = self.frames[begin:end]
            assert unsettled(fold(stream)) == unsettled(stream[-1]["payload"]), "a gap"


async def recovery(folder: Path, users: int, clients: int, cuts: int, words: int, delay_ms: int, seed: int) -> Figures:
    """Each user's clients follow one stream and are each cut `cuts` times, at random points of it."""
    luck, people = random.Random(seed), crowd(folder, users)
    longest = 2 * words * delay_ms / 1000 / (cuts + 1) * 0.7  # of one connection, so that all cuts fall into the stream
    with serving(folder, OFFLINE_WORDS=str(words), OFFLINE_DELAY_MS=str(delay_ms), **UNLIMITED) as program:
        followers = [Follower(people[number % users], program) for number in range(clients)]
        with anyio.fail_after(LONGEST_S):
            async with anyio.create_task_group() as tasks:
                for follower in followers[users:]:
                    tasks.start_soon(follower.follow, random.Random(luck.random()), cuts, longest, False)
                for follower in followers[users:]:
                    await follower.ready.wait()
                for follower in followers[:users]:
                    tasks.start_soon(follower.follow, random.Random(luck.random()), cuts, longest, True)
        for follower in followers:
            follower.check()
        assert program.stop() == 0
        assert "Traceback" not in program.log, program.log
    assert rows(folder / "threadcast.db", UNFINISHED) == []
    made = sum(follower.recoveries - 1 for follower in followers)
    assert made >= clients * cuts * 0.9, f"only {made} cuts fell into the streams"
    frames = sum(len(follower.frames) for follower in followers)
    return {"clients": clients, "users": users, "cuts": made, "frames": frames, "gaps": 0, "doubles": 0}


USER_BYTES = 2**26  # what may wait for a user: a connection is closed long before, when it has taken nothing for a second


async def slow_reader(folder: Path, connections: int, words: int, outbox_bytes: int) -> Figures:
    """One of a user's connections stops reading. The others lose nothing, and it is closed and gone within 5 seconds."""
    (user,) = crowd(folder, 1)
    settings = {"OFFLINE_WORDS": str(words), "OFFLINE_DELAY_MS": "0", "OUTBOX_BYTES": str(outbox_bytes), **UNLIMITED}
    with serving(folder, **settings) as program:
        async with AsyncExitStack() as stack:
            good = [Reader(await stack.enter_async_context(opened(program, user))) for _ in range(connections - 1)]
            before = sockets_of(program)
            slow = await stack.enter_async_context(opened(program, user, sock=narrow(program)))
            slow.transport.pause_reading()
            assert sockets_of(program) == before + 1
            watch = Watch(program, before)
            with anyio.fail_after(LONGEST_S):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(watch.run)
                    waiting: list[float] = []
                    while not watch.gone:  # as many as it takes to fill what the kernel holds for a connection
                        await post(good[0].connection, prompt="Go")
                        async with anyio.create_task_group() as reading:
                            for reader in good:
                                reading.start_soon(reader.read_stream)
                        waiting.append(await sample(program, "outbox_bytes"))  # the slow one's: the others have read all
            slow.transport.abort()
        assert program.stop() == 0
    assert max(waiting) <= USER_BYTES, "what waits for a user grew past its bound"
    gaps = sorted(gap for reader in good for gap in reader.gaps)
    return {
        "connections": connections,
        "posts": len(waiting),
        "lost": 0,
        "waited at most": f"{max(waiting) / 1024:.0f} KiB",
        "socket gone after": f"{watch.took:.1f} s",
        "p99 between frames": f"{gaps[len(gaps) * 99 // 100] * 1000:.0f} ms",
    }


class Reader:
    """A good reader, which checks each stream and takes the time between frames."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.gaps: list[float] = []  # seconds

    async def read_stream(self) -> None:
        frames: list[Frame] = []
        while not (frames and is_end(frames[-1])):
            began = time.monotonic()
            text = await self.connection.recv()
            self.gaps.append(time.monotonic() - began)
            frames.append(json.loads(text))
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"]), "a good reader lost something"


class Watch:
    """Looks at the server from outside until a slow reader is closed, and then until its socket is gone."""

    def __init__(self, program: Program, sockets: int) -> None:
        self._program = program
        self._sockets = sockets  # without the slow reader's
        self.took = 0.0  # seconds, from the close to the end of the socket
        self.gone = False

    async def run(self) -> None:
        while not await sample(self._program, "closes_total", code="4008"):  # noqa: ASYNC110
            await anyio.sleep(0.02)
        began = time.monotonic()
        with anyio.fail_after(TIMEOUT_S):
            while sockets_of(self._program) > self._sockets:  # noqa: ASYNC110 (of another process)
                await anyio.sleep(0.02)
        self.took = time.monotonic() - began
        self.gone = True
