"""Two connections to Redis for as long as both last: one that asks, many commands at a time, and one that listens.

A connection that breaks, that is not answered in time, or that is answered with an error ends the link: there is one way to
fail, and whoever holds the link begins anew. Nothing here reconnects by itself: what was published in between would be missed
without a word.
"""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.lowlevel
from redis.asyncio import BlockingConnectionPool, ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError, RedisError

REDIS_ANSWER_S = 2.0  # the seconds in which Redis has to answer
BYTES_PER_S = 2**22  # the slowest line that counts as good: a large batch gets so much more time
PING_S = 1.0
UNANSWERED = 3  # pings without an answer; not timed, since a pause of this process would look like one of Redis
MESSAGES_A_TURN = 100  # messages that are handled before other tasks run

Command = tuple[str | bytes | int, ...]
REDIS_OUTAGES = (RedisError, OSError, TimeoutError)  # any other exception is a defect of ours
REDIS_REFUSALS = (AuthenticationError, AuthenticationWrongNumberOfArgsError, AuthorizationError)


logger = logging.getLogger("threadcast")


def open_pool(url: str, most: int = 2, seconds: float = REDIS_ANSWER_S) -> ConnectionPool:
    """A pool of at most `most` connections, not connected yet. Nothing is tried twice. Raises ValueError for a bad URL."""
    return BlockingConnectionPool.from_url(
        url,
        max_connections=most,
        timeout=seconds,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        client_name="threadcast",
    )


@asynccontextmanager
async def beside(*forever: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these beside the block until it ends. One that ends earlier is a defect, and is logged."""

    async def run(each: Callable[[], Coroutine[Any, Any, None]], scope: anyio.CancelScope) -> None:
        with scope:  # it cancels again and again; task.cancel() cancels once, and asyncio.wait_for can swallow that
            try:
                await each()
            except Exception:
                logger.exception("a task that should never end has failed")

    scopes = [anyio.CancelScope() for _ in forever]
    tasks = [asyncio.create_task(run(each, scope)) for each, scope in zip(forever, scopes, strict=True)]
    try:
        yield
    finally:
        for scope in scopes:
            scope.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*tasks)


class Link:
    """Two connections to Redis. One task asks, one listens, and one watches that Redis answers."""

    def __init__(self, asking: AbstractConnection, listening: AbstractConnection) -> None:
        self._asking = asking
        self._listening = listening
        self._pings = 0  # sent since anything was heard
        self._sent = 0  # pings, in all
        self._ponged = 0
        self._pong = anyio.Event()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, after one round trip."""
        packed = self._asking.pack_commands(commands)
        with anyio.fail_after(REDIS_ANSWER_S + sum(map(len, packed)) / BYTES_PER_S):
            await self._asking.send_packed_command(packed, check_health=False)
            return [await self._asking.read_response(timeout=math.inf) for _ in commands]

    async def listen(self, channels: Sequence[bytes]) -> None:
        """Subscribe. From here on nothing is missed."""
        with anyio.fail_after(REDIS_ANSWER_S):
            await self._listening.send_command("SUBSCRIBE", *channels)
            for _ in channels:
                await self._listening.read_response(timeout=math.inf)

    async def messages(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Each published message with its channel."""
        count = 0
        with _as_lost(self._listening):
            while True:
                answer = await self._listening.read_response(timeout=math.inf)
                self._pings = 0
                if answer[0] == b"message":
                    yield answer[1], answer[2]
                elif answer[0] == b"pong":
                    self._ponged += 1
                    self._pong.set()
                count += 1
                if count % MESSAGES_A_TURN == 0:
                    await anyio.lowlevel.checkpoint()

    async def caught_up(self) -> None:
        """Wait until `messages` has had all that was published before this was called: Redis answers the next ping after it."""
        number = self._sent + 1
        while self._ponged < number:
            self._pong = anyio.Event()
            await self._pong.wait()

    async def watch(self) -> None:
        """Raises TimeoutError when nothing can be heard any more. An idle connection that is dead says nothing by itself."""
        while True:
            await anyio.sleep(PING_S)
            if self._pings >= UNANSWERED:
                raise TimeoutError
            self._pings += 1
            self._sent += 1
            with _as_lost(self._listening):
                await self._listening.send_command("PING", check_health=False)


@contextmanager
def _as_lost(connection: AbstractConnection) -> Iterator[None]:
    """Raise ConnectionError when another task of the link has closed the connection: redis-py then raises AttributeError."""
    try:
        yield
    except AttributeError:
        if connection.is_connected:
            raise
        raise ConnectionError("closed meanwhile") from None


@asynccontextmanager
async def linked(pool: ConnectionPool) -> AsyncIterator[Link]:
    """A new link, until the block ends. Raises what is in `REDIS_OUTAGES`."""
    asking, listening = (pool.make_connection() for _ in range(2))  # type: ignore[no-untyped-call]
    try:
        with anyio.fail_after(REDIS_ANSWER_S):
            await asking.connect()
            await listening.connect()
        yield Link(asking, listening)
    finally:
        with anyio.CancelScope(shield=True):
            await asking.disconnect(nowait=True)
            await listening.disconnect(nowait=True)


class RedisClock:
    """Redis' clock, kept by our monotonic one. It may be late by the time that an answer travels, and is never early."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def told(self, seconds: bytes, micros: bytes) -> None:
        """Note the time that Redis has just answered."""
        self._ahead = int(seconds) + int(micros) / 10**6 - time.monotonic()

    def at(self, moment: float) -> int | str:
        """Redis' time at that moment, in microseconds, or '' for never."""
        return "" if math.isinf(moment) else int((moment + self._ahead) * 10**6)


def run_id_of(about: bytes) -> str:
    """The id of this one process of Redis: another one with the same data has another id. `about`: Redis' answer to INFO."""
    return about.split(b"run_id:")[1][:16].decode()


def is_outage(error: BaseException) -> bool:
    """Whether the error says that Redis is away, and not that our code is wrong. Of a group, whether all of its errors do."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_outage(each) for each in error.exceptions)
    return isinstance(error, REDIS_OUTAGES)


def kind_of(error: BaseException) -> str:
    """The error's type, without its words, which may quote a secret."""
    return kind_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else type(error).__name__
