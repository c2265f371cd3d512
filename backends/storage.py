"""Where rows are kept: the storage's interface, and SQLite, its embedded implementation.

SQLite has one writer at a time, so one task owns one held connection, takes units of work from a queue and commits what has
gathered in one transaction (group commit). Reads go to held connections of their own, which WAL lets run beside the writer.
`databases` opens a connection, in a new thread, for each outermost use; holding them makes a write fourteen times as fast.
"""

import asyncio
import fcntl
import itertools
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import anyio
import databases
from sqlalchemy import Executable, Select, literal, select

Row = Mapping[str, Any]
Work = tuple[Sequence[Executable], "asyncio.Future[None]"]

READERS = 2  # enough to keep one busy while the other is held up by a long chat; each costs a thread
QUEUE = 1000  # units of work; beyond that writers wait for the disk, which is what they do anyway
BATCH = 200  # units of work in one transaction: bounds how long the first waits for the last
BUSY_TIMEOUT_MS = 5_000  # for `load` and `token`, which write from another process
WRITE_TIMEOUT_S = 30.0  # a disk that takes longer is an outage, and the client is told so


class Storage(Protocol):
    """Rows in and out, by SQLAlchemy Core statements."""

    async def fetch_all(self, query: Select[Any]) -> list[Row]:
        """Rows as mappings by column name."""

    async def write(self, *statements: Executable) -> None:
        """All of them or none, durable on return. Statements of one call see each other; nobody sees half of them."""


async def ping(storage: Storage) -> None:
    """Raises what keeps the database from answering."""
    await storage.fetch_all(select(literal(1)))


Committed = Callable[[int, float], None]  # called after each commit with how many units of work it had, and the seconds it took


class SQLiteStorage:
    """SQLite through `databases` and aiosqlite. Made by `open_sqlite`."""

    def __init__(
        self, writer: databases.core.Connection, readers: Sequence[databases.core.Connection], committed: Committed
    ) -> None:
        self._committed = committed
        self._writer = writer
        self._readers = itertools.cycle(readers)
        self._send, self._receive = anyio.create_memory_object_stream[Work](QUEUE)

    async def fetch_all(self, query: Select[Any]) -> list[Row]:
        return [record._mapping for record in await next(self._readers).fetch_all(query)]

    async def write(self, *statements: Executable) -> None:
        done = asyncio.get_running_loop().create_future()
        with anyio.fail_after(WRITE_TIMEOUT_S):
            await self._send.send((statements, done))
            await done

    def close(self) -> None:
        """Take no more work. What is queued is still committed."""
        self._send.close()

    async def commit_until_closed(self) -> None:
        """The writer task: await one unit of work, then take along whatever else is there."""
        async with self._receive:
            async for work in self._receive:
                batch = [work]
                with suppress(anyio.WouldBlock, anyio.EndOfStream):
                    while len(batch) < BATCH:
                        batch.append(self._receive.receive_nowait())
                await self._commit(batch)

    async def _commit(self, batch: list[Work]) -> None:
        started = time.monotonic()
        try:
            await self._transact([statement for statements, _ in batch for statement in statements])
        except Exception as error:
            if len(batch) > 1:  # one of them is at fault; alone, each can only fail itself
                for work in batch:
                    await self._commit([work])
            elif not batch[0][1].done():
                batch[0][1].set_exception(error)
        else:
            self._committed(len(batch), time.monotonic() - started)
            for _, done in batch:
                if not done.done():  # its caller was cancelled
                    done.set_result(None)

    async def _transact(self, statements: Sequence[Executable]) -> None:
        # Not `transaction()`: its plain BEGIN takes the write lock late and then fails at once instead of waiting for it.
        await self._writer.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                await self._writer.execute(statement)  # type: ignore[arg-type]
            await self._writer.execute("COMMIT")
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(sqlite3.OperationalError):  # SQLite may have rolled back itself
                await self._writer.execute("ROLLBACK")
            raise


@asynccontextmanager
async def open_sqlite(path: Path, committed: Committed) -> AsyncIterator[SQLiteStorage]:
    """Open the migrated database at `path` and hold its connections until the block ends."""
    async with AsyncExitStack() as stack:
        held = []
        for _ in range(1 + READERS):
            # A Database gives each task one connection; here one is held for all tasks, so each has a Database of its own.
            connection = databases.Database(f"sqlite+aiosqlite:///{quote(str(path))}").connection()
            await stack.enter_async_context(connection)
            await connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            held.append(connection)
        writer, *readers = held
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):  # WAL is the file's, and the migrations turn it on
            await writer.execute(f"PRAGMA {pragma}")
        for reader in readers:
            await reader.execute("PRAGMA query_only=ON")
        storage = SQLiteStorage(writer, readers, committed)
        # A bare task and not a group, which would wrap whatever the block raises. If it died, its end of the queue would
        # be closed and every write would say so at once.
        writing = asyncio.create_task(storage.commit_until_closed())
        try:
            yield storage
        finally:
            storage.close()
            with anyio.CancelScope(shield=True):
                await writing


@contextmanager
def sole_server(path: Path) -> Any:
    """Hold the lock that says that a server serves this database: a second one would end the first one's runs as dead.

    Raises BlockingIOError when another process holds it. The lock is the kernel's and dies with the process.
    """
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
