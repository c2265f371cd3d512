"""SQLite, the embedded storage.

SQLite has one writer at a time, so one task owns the connection that writes, takes units of work from a queue and commits what
has gathered in one transaction (group commit). Reads go to connections of their own, which WAL lets run beside the writer.
All of them are held: `databases` by itself opens a connection, in a new thread, for each use.
"""

import asyncio
import itertools
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID

import aiosqlite
import anyio
import anyio.to_thread
import databases
from sqlalchemy import Select

from backends.sqlite_file import told
from backends.statements import SQLITE, prepared_for
from backends.storage import Change, Committed, Conflict, DatabaseAway, DatabaseBusy, DatabaseGone, Row
from backends.turns import Turns

BoundByName = tuple[str, Mapping[str, Any]]

SMALL_READERS = 2  # for small reads, such as a token's user, which so never wait behind a chat. Each costs a thread
LARGE_READERS = 2  # connections for large reads: while one reads a user's long chat, the other is there for all other users
QUEUE = 1000  # units of work; when it is full, writers wait for room
UNITS_A_COMMIT = 200  # units of work in one transaction, so that the first does not wait long for the last
BUSY_TIMEOUT_MS = 5_000  # `load` and `token` write from another process
WRITE_TIMEOUT_S = 30.0  # seconds; a disk that takes longer is an outage, and the client is told so


class OpenedFile:
    """The file as it was when it was opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = _identity(path)

    @property
    def is_there(self) -> bool:
        """Whether the file is still there. If it was deleted or replaced, what is written to it is lost when it is closed."""
        return _identity(self._path) == self._identity


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class WriteRequest(NamedTuple):
    """The changes of one `write`, and the future that its caller waits for."""

    changes: Sequence[BoundByName]
    only_if: BoundByName | None
    written: "asyncio.Future[bool]"

    def expire(self) -> None:
        """Fail the write, if the database has not done it yet."""
        if not self.written.done():
            self.written.set_exception(DatabaseAway("the database has not stored this in time"))


class SQLiteStorage:
    """SQLite, written to with Python's own sqlite3 and read from with aiosqlite. Made by `open_sqlite`."""

    on_postgres = False

    def __init__(
        self, file: OpenedFile, writer: sqlite3.Connection, readers: Sequence[aiosqlite.Connection], committed: Committed
    ) -> None:
        self._file = file
        self._writer = writer
        self._readers = itertools.cycle(readers[LARGE_READERS:])
        self._turns, self._in_turn = Turns(LARGE_READERS), list(readers[:LARGE_READERS])
        self._committed = committed
        self._send, self._receive = anyio.create_memory_object_stream[WriteRequest](QUEUE)

    async def fetch_all(self, query: Select[Any], *, turn: UUID | None = None, **values: object) -> list[Row]:
        statement = prepared_for(SQLITE, query, values or None)
        bound = statement.sql, statement.arguments(values)
        try:
            found = await (self._fetch_in_turn(turn, bound) if turn else next(self._readers).execute_fetchall(*bound))
        except sqlite3.OperationalError as error:
            raise told(error) from error
        return [statement.row(row) for row in found]

    async def _fetch_in_turn(self, user_id: UUID, bound: BoundByName) -> Iterable[sqlite3.Row]:
        await self._turns.take(user_id)
        reader = self._in_turn.pop()

        def has_read(reading: "asyncio.Future[Any]") -> None:
            self._in_turn.append(reader)
            self._turns.give_back()
            if not reading.cancelled():
                reading.exception()  # read here, since perhaps nobody waits for it any more

        # A thread reads to the end even if its caller is cancelled; only then the turn ends.
        reading = asyncio.ensure_future(reader.execute_fetchall(*bound))
        reading.add_done_callback(has_read)
        return await asyncio.shield(reading)

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        guard, loop = None if only_if is None else _bound(only_if), asyncio.get_running_loop()
        work = WriteRequest([_bound(change) for change in changes], guard, loop.create_future())
        timer = loop.call_later(WRITE_TIMEOUT_S, work.expire)  # a scope of anyio costs several times as much
        try:
            try:
                self._send.send_nowait(work)
            except anyio.WouldBlock:
                with anyio.move_on_after(WRITE_TIMEOUT_S):
                    await self._send.send(work)
            return await work.written
        finally:
            timer.cancel()

    @property
    def apart(self) -> "SQLiteStorage":
        return self  # there is one writer

    def close(self) -> None:
        """Take no more work. What is queued is still committed."""
        self._send.close()

    async def commit_until_closed(self) -> None:
        """The writer task: await one unit of work, then take along whatever else is there."""
        async with self._receive:
            async for work in self._receive:
                batch = [work]
                with suppress(anyio.WouldBlock, anyio.EndOfStream):
                    while len(batch) < UNITS_A_COMMIT:
                        batch.append(self._receive.receive_nowait())
                await self._commit(batch)

    async def _commit(self, batch: list[WriteRequest]) -> None:
        started = time.monotonic()
        try:
            written = await anyio.to_thread.run_sync(self._transact, batch)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, DatabaseBusy):  # one is wrong: each is tried alone
                for work in batch:
                    await self._commit([work])
                return
            for work in batch:
                if not work.written.done():
                    work.written.set_exception(error)
        else:
            self._committed.writes(len(batch))
            self._committed.seconds(time.monotonic() - started)
            for work, done in zip(batch, written, strict=True):
                if not work.written.done():  # its caller was cancelled
                    work.written.set_result(done)

    def _transact(self, batch: Sequence[WriteRequest]) -> list[bool]:
        # All in one call of a thread: to go to a thread for each statement takes longer than the statement.
        if not self._file.is_there:
            raise DatabaseGone(
                "the database's file was deleted, moved or replaced while it was served: put it back, or restart"
            )
        # A plain BEGIN takes the write lock late, and then fails at once instead of waiting for it.
        try:
            self._writer.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise DatabaseBusy from error
        try:
            written = [self._do(work) for work in batch]
            self._writer.execute("COMMIT")
        except BaseException as error:
            if self._writer.in_transaction:  # SQLite may have rolled back by itself
                self._writer.execute("ROLLBACK")
            if isinstance(error, sqlite3.IntegrityError):
                raise Conflict from error
            if isinstance(error, sqlite3.OperationalError):
                raise told(error) from error
            raise
        return written

    def _do(self, work: WriteRequest) -> bool:
        if work.only_if and not self._writer.execute(*work.only_if).rowcount:
            return False
        for change in work.changes:
            self._writer.execute(*change)
        return True


def _bound(change: Change) -> BoundByName:
    query, values = change if isinstance(change, tuple) else (change, None)
    statement = prepared_for(SQLITE, query, values)
    return statement.sql, statement.arguments(values or {})


@asynccontextmanager
async def open_sqlite(path: Path, committed: Committed) -> AsyncIterator[SQLiteStorage]:
    """Open the migrated database at `path` and hold its connections until the block ends."""
    async with AsyncExitStack() as stack:
        readers = []
        for _ in range(LARGE_READERS + SMALL_READERS):
            # A Database gives each task a connection. Here all tasks share each connection, so each has a Database of its own.
            connection = databases.Database(f"sqlite+aiosqlite:///{quote(str(path))}").connection()
            await stack.enter_async_context(connection)
            readers.append(connection.raw_connection)
            await readers[-1].execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            await readers[-1].execute("PRAGMA query_only=ON")
        writer = sqlite3.connect(path, BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
        stack.enter_context(closing(writer))
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):  # WAL is a property of the file; the migrations turn it on
            writer.execute(f"PRAGMA {pragma}")
        storage = SQLiteStorage(OpenedFile(path), writer, readers, committed)
        # A plain task, since a task group would wrap whatever the block raises. If the task died, it would close its end
        # of the queue, and every write would fail at once.
        writing = asyncio.create_task(storage.commit_until_closed())
        try:
            yield storage
        finally:
            storage.close()
            with anyio.CancelScope(shield=True):
                await writing
