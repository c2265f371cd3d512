"""Held connections to PostgreSQL, and what they are asked to do.

Each is held by a task that does one thing after another: a caller that gives up so cancels nothing that is half done. A
connection that was lost is opened anew; what was asked of it is asked again, unless it may have been done already.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Generic, TypeVar

import anyio
import asyncpg
import databases

from backends.storage import Committed, Conflict, DatabaseAway, NothingStored

T = TypeVar("T")
BoundInOrder = tuple[str, Sequence[Any]]
PooledConnection = Any  # asyncpg's, behind its pool's proxy

TIMEOUT_S = 10.0  # seconds for a read or a write, with its turn and a restart of the database; a longer one is an outage
CONNECT_AGAIN_S = 0.2  # seconds between attempts of one task to connect
CLOSE_S = 1.0  # seconds, at the end, for what nobody waits for any more

# SQLSTATEs and classes of them, appendix A of PostgreSQL's manual, of errors that pass by themselves, or when somebody makes
# room: connections, read-only transactions, rollbacks, resources, locks, operators, the system.
POSTGRES_OUTAGES = ("08", "25006", "40", "53", "55P03", "57", "58")

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.TargetServerAttributeNotMatched)


class Asked(Generic[T]):
    """One thing to do with a connection. When that is lost, it is asked of another, until `final` is set."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.final = False
        self.trouble: Exception | None = None

    async def run(self, connection: PooledConnection) -> T:
        """Do it."""
        raise NotImplementedError


class Read(Asked[list[Any]]):
    """A query."""

    def __init__(self, query: BoundInOrder) -> None:
        super().__init__()
        self.query = query

    async def run(self, connection: PooledConnection) -> list[Any]:
        return list(await connection.fetch(self.query[0], *self.query[1]))


class Write(Asked[bool]):
    """A transaction."""

    def __init__(self, changes: Sequence[BoundInOrder], only_if: BoundInOrder | None, committed: Committed) -> None:
        super().__init__()
        self.changes = changes
        self.only_if = only_if
        self.committed = committed

    async def run(self, connection: PooledConnection) -> bool:
        started = time.monotonic()
        await connection.execute("BEGIN")
        if self.only_if:
            status = await connection.execute(self.only_if[0], *self.only_if[1])
            if status.endswith(" 0"):
                await connection.execute("ROLLBACK")
                return False
        for sql, values in self.changes:
            await connection.execute(sql, *values)
        self.final = True  # if it is lost on its way, nobody knows whether it was done
        await connection.execute("COMMIT")
        self.committed.writes(1)
        self.committed.seconds(time.monotonic() - started)
        return True


class Servers:
    """Chooses the server to connect to: one that takes writes. While there is none, reads use any server."""

    def __init__(self, writable: databases.Database, readable: databases.Database) -> None:
        self._writable = writable
        self._readable = readable
        self.demoted = 0  # how often a connection that had taken writes refused one
        self.found = 0  # how often a writer has connected to a server that takes writes

    async def to_write(self, held: AsyncExitStack) -> tuple[PooledConnection, Callable[[], bool]]:
        """A connection, held by the stack, and whether there may be a better one by now."""
        connection = (await held.enter_async_context(self._writable.connection())).raw_connection
        self.found += 1
        return connection, lambda: False

    async def to_read(self, held: AsyncExitStack) -> tuple[PooledConnection, Callable[[], bool]]:
        """A connection for reads. A reader does not notice that its server is no longer the primary, so the writers tell it."""
        demoted, found = self.demoted, self.found
        with suppress(Exception):
            connection = (await held.enter_async_context(self._writable.connection())).raw_connection
            return connection, lambda: self.demoted != demoted
        connection = (await held.enter_async_context(self._readable.connection())).raw_connection
        return connection, lambda: (self.demoted, self.found) != (demoted, found)


class Pool:
    """So many tasks, each with a connection to a server."""

    def __init__(self, servers: Servers, count: int, *, reads: bool = False) -> None:
        self._servers = servers
        self._open = servers.to_read if reads else servers.to_write
        self._send, self._receive = anyio.create_memory_object_stream[Asked[Any]](math.inf)  # each has a caller who waits
        self._doing: dict[Asked[Any], PooledConnection] = {}
        self._tasks = [asyncio.create_task(self._work()) for _ in range(count)]

    async def do(self, asked: Asked[T]) -> T:
        """The answer. Raises Conflict, DatabaseAway, or what the database says."""
        self._send.send_nowait(asked)
        try:
            with anyio.fail_after(TIMEOUT_S):
                return await asked.answer
        except TimeoutError:
            raise DatabaseAway("the database has not answered in time") from asked.trouble

    async def close(self) -> None:
        """Take nothing more. What a caller waits for is still done. The rest is given CLOSE_S, and then cut."""
        self._send.close()
        _, left = await asyncio.wait(self._tasks, timeout=CLOSE_S)
        while left:
            for asked, connection in self._doing.items():
                if asked.answer.done():
                    _cut(connection)
            _, left = await asyncio.wait(left, timeout=CONNECT_AGAIN_S)
        self._receive.close()

    async def _work(self) -> None:
        connection: PooledConnection = None
        is_outdated: Callable[[], bool] = bool
        async with AsyncExitStack() as held:
            async for asked in self._receive:
                while not asked.answer.done():  # the caller may have given up
                    try:
                        if connection and is_outdated():
                            _cut(connection)
                            connection = None
                        if connection is None:
                            await held.aclose()
                            connection, is_outdated = await self._open(held)
                    except Exception as error:
                        asked.trouble = error
                        await asyncio.sleep(CONNECT_AGAIN_S)
                    else:
                        self._doing[asked] = connection
                        connection = await _do(asked, connection)
                        del self._doing[asked]
                        if connection is None and isinstance(asked.trouble, asyncpg.ReadOnlySQLTransactionError):
                            self._servers.demoted += 1
                            await asyncio.sleep(CONNECT_AGAIN_S)
            if connection:
                _cut(connection)  # a polite close would wait for an answer


async def _do(asked: Asked[Any], connection: PooledConnection) -> PooledConnection:
    """Do it, or leave it to be asked again. Returns the connection, or None when it is lost."""
    # Not asyncpg's own time-out: it asks the database to cancel, over a new connection, and waits for that without a limit.
    timer = asyncio.get_running_loop().call_later(TIMEOUT_S, _cut, connection)
    try:
        answer = await asked.run(connection)
    except Exception as error:
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):  # another server may be the primary by now
            _cut(connection)
        alive = await _is_alive(connection)
        asked.trouble = error
        again = not asked.final and (not alive or isinstance(error, asyncpg.DeadlockDetectedError))
        if not again and not asked.answer.done():
            asked.answer.set_exception(_told(error, asked.final))
        return connection if alive else None
    else:
        if not asked.answer.done():
            asked.answer.set_result(answer)
        return connection
    finally:
        timer.cancel()


def _cut(connection: PooledConnection) -> None:
    with suppress(asyncpg.InterfaceError):  # the proxy of a lost connection raises at any call
        connection.terminate()


async def _is_alive(connection: PooledConnection) -> bool:
    """Roll back what is left of a transaction. Returns whether the connection can still be used."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        return not connection.is_closed()
    except AWAY:
        return False


def _told(error: Exception, is_uncertain: bool) -> Exception:
    told: Exception
    if isinstance(error, asyncpg.IntegrityConstraintViolationError):
        told = Conflict()
    elif isinstance(error, OSError) or getattr(error, "sqlstate", "").startswith(POSTGRES_OUTAGES):
        told = DatabaseAway() if is_uncertain else NothingStored()
    else:
        return error
    told.__cause__ = error
    return told
