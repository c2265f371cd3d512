"""PostgreSQL as the storage, through `databases` and asyncpg. Imported only when the settings ask for it.

Each write is a transaction of its own on one of a few held connections; PostgreSQL itself flushes together what commits
together. With 100 writes of two statements at once, this did 6,600 a second. One task that commits all that has come in one
transaction, as SQLite's does, did 4,100: its statements wait for each other's round trips.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import anyio
import asyncpg
import databases
import msgspec
import sqlalchemy as sa
from asyncpg.connect_utils import SessionAttribute
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backends.migrations import is_behind, upgrade
from backends.postgres.pool import AWAY, TIMEOUT_S, BoundInOrder, Pool, Read, Servers, Write
from backends.statements import prepared_for, to_json
from backends.storage import Change, Committed, DatabaseAway, Row, SchemaBehind, Unusable
from backends.turns import Turns

READERS = 4
LARGE_READS = 2  # large reads at a time, so that the other connections are free for small ones, such as a token's user
WRITERS = 8
LEASERS = 2  # one renews; the other may wait for the row of a node that died while it renewed its own
CONNECT_S = 3.0
# What `databases` gets instead of the real URL, which asyncpg alone can read: it may name several hosts.
ANY_DSN, NOT_NAMED = "postgresql://", dict.fromkeys(("host", "port", "user", "password", "database"))
WRITABLE = SessionAttribute.read_write  # of several hosts the primary: a standby refuses writes
MIGRATING = 0x74687264  # the advisory lock for migrations: "thrd" in ASCII
SESSION = {
    "application_name": "threadcast",
    # What we no longer wait for goes on in the database, and may wait there for a lock. It must not end before we give up: a
    # commit that waits for a replica and is cancelled reports success.
    "statement_timeout": str(int(TIMEOUT_S * 1000)),
    "idle_in_transaction_session_timeout": str(int(TIMEOUT_S * 1000)),  # for so long the locks of a vanished machine stay
}


POSTGRES = dialect(json_serializer=to_json, json_deserializer=msgspec.json.decode)  # type: ignore[no-untyped-call]
POSTGRES.dialect_injects_custom_json_deserializer = False  # for SQLAlchemy's engine only


class PostgresStorage:
    """PostgreSQL. Made by `open_postgres`. What is `apart` shares the readers, and has writers of its own."""

    on_postgres = True

    def __init__(self, readers: Pool, writers: Pool, committed: Committed, apart: "PostgresStorage | None" = None) -> None:
        self._readers = readers
        self._writers = writers
        self._committed = committed
        self._turns = Turns(LARGE_READS)
        self.apart = apart or self

    async def fetch_all(self, query: sa.Select[Any], *, turn: UUID | None = None, **values: object) -> list[Row]:
        statement = prepared_for(POSTGRES, query, values or None)
        read = Read((statement.sql, statement.in_order(values)))
        found = await (self._fetch_in_turn(turn, read) if turn else self._readers.do(read))
        return [statement.row(record) for record in found]

    async def _fetch_in_turn(self, user_id: UUID, read: Read) -> list[Any]:
        try:
            with anyio.fail_after(TIMEOUT_S):
                await self._turns.take(user_id)
        except TimeoutError:
            raise DatabaseAway("there was no turn to read in time") from None
        reading = asyncio.ensure_future(self._readers.do(read))  # it reads to the end
        reading.add_done_callback(self._has_read)
        return await asyncio.shield(reading)

    def _has_read(self, reading: "asyncio.Future[Any]") -> None:
        self._turns.give_back()
        if not reading.cancelled():
            reading.exception()  # read here, since perhaps nobody waits for it any more

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        guard = None if only_if is None else _bound(only_if)
        return await self._writers.do(Write([_bound(change) for change in changes], guard, self._committed))


def _bound(change: Change) -> BoundInOrder:
    query, values = change if isinstance(change, tuple) else (change, None)
    statement = prepared_for(POSTGRES, query, values)
    return statement.sql, statement.in_order(values or {})


@asynccontextmanager
async def open_postgres(url: str, committed: Committed) -> AsyncIterator[PostgresStorage]:
    """Open the migrated database and hold connections to it until the block ends. Raises Unusable."""
    dsn = _dsn(url)
    most = READERS + WRITERS + LEASERS
    options: dict[str, Any] = {**NOT_NAMED, "dsn": dsn, "min_size": 0, "timeout": CONNECT_S, "server_settings": SESSION}
    writable = databases.Database(ANY_DSN, **options, max_size=most, target_session_attrs=WRITABLE)
    readable = databases.Database(ANY_DSN, **options, max_size=READERS)
    try:
        revision = await _revision(dsn)
    except AWAY as error:
        raise _unusable(error) from None
    if is_behind(revision):
        raise SchemaBehind
    await writable.connect()
    await readable.connect()
    servers = Servers(writable, readable)
    readers = Pool(servers, READERS, reads=True)  # a pool of their own, so that writes that wait for a lock hold up no read
    writers, leasers = Pool(servers, WRITERS), Pool(servers, LEASERS)
    try:
        yield PostgresStorage(readers, writers, committed, PostgresStorage(readers, leasers, committed))
    finally:
        with anyio.CancelScope(shield=True):
            await asyncio.gather(*(pool.close() for pool in (readers, writers, leasers)))
            await writable.disconnect()
            await readable.disconnect()


async def migrate_postgres(url: str) -> None:
    """Bring the database to the newest schema, all of it or nothing. Safe to run twice at once. Raises Unusable."""

    async def connect() -> Any:
        settings = {"application_name": "threadcast"}
        return await asyncpg.connect(_dsn(url), timeout=CONNECT_S, server_settings=settings, target_session_attrs=WRITABLE)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATING)))
            await connection.run_sync(upgrade)
    except sa.exc.DBAPIError as error:  # the database's error; any other error of a step is shown as it is
        raise _unusable(error.driver_exception or error) from None
    except AWAY as error:
        raise _unusable(error) from None
    finally:
        await engine.dispose()


async def _revision(dsn: str) -> str | None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S)
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        connection.terminate()
    return None if found is None else str(found)


def _dsn(url: str) -> str:
    return url.replace("+asyncpg", "", 1)  # as asyncpg reads it, which knows libpq's parameters


def _unusable(error: BaseException) -> Unusable:
    return Unusable(" ".join(str(error).split()) or type(error).__name__)
