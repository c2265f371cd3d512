"""A PostgreSQL that takes no writes for a moment, or is no longer the primary: writes wait for one that does, reads go on."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

import anyio
import anyio.to_thread
import asyncpg
import pytest

from backends import open_storage
from backends import storage as storage_module
from backends.nodes import Membership
from backends.postgres import pool
from backends.postgres.storage import READERS, WRITERS, PostgresStorage, migrate_postgres
from backends.storage import DatabaseAway, Storage
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.database import as_stored, stored_chat
from tests.support.house import open_house
from tests.support.over_http import get
from tests.support.postgres import Postgres, running
from tests.support.storages import ids, template, user
from tests.support.waiting import until
from tests.support.world import uuid

__all__ = ["template"]  # the fixture

ENGINES = ("postgres",)
REFUSALS = (asyncpg.TargetServerAttributeNotMatched, asyncpg.ReadOnlySQLTransactionError)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[PostgresStorage]:
    async with open_storage(settings) as opened:
        assert isinstance(opened, PostgresStorage)
        await connect_all(opened)
        yield opened


async def connect_all(storage: Storage) -> None:
    """Have each task of the storage get a connection: they take turns."""
    for number in range(WRITERS):
        await storage.write(user(number))
    await all_read(storage)


FIRST = {uuid(number) for number in range(WRITERS)}


async def all_read(storage: Storage) -> list[set[UUID]]:
    """What each of the readers sees."""
    seen: list[set[UUID]] = []

    async def read() -> None:
        seen.append(await ids(storage))

    async with anyio.create_task_group() as tasks:
        for _ in range(READERS):
            tasks.start_soon(read)
    return seen


async def test_what_is_written_meanwhile_is_written_afterwards_and_reads_go_on(
    storage: PostgresStorage, postgres: Postgres
) -> None:
    async with anyio.create_task_group() as tasks:
        with postgres.read_only():
            for number in range(WRITERS, 3 * WRITERS):
                tasks.start_soon(storage.write, user(number))
            await until(lambda: storage._readers._servers.demoted)
            for _ in range(3):
                assert await all_read(storage) == [FIRST] * READERS
    assert await all_read(storage) == [{uuid(number) for number in range(3 * WRITERS)}] * READERS


async def test_a_lease_is_renewed_as_soon_as_it_can_be(storage: PostgresStorage, postgres: Postgres) -> None:
    nodes = Membership(storage)
    await nodes.enter()
    await nodes.renew()
    lease = nodes.lease
    async with anyio.create_task_group() as tasks:
        with postgres.read_only():
            tasks.start_soon(nodes.renew)
            await until(lambda: storage._readers._servers.demoted)
    assert nodes.lease is lease


async def test_an_answer_ends_as_if_nothing_had_been(settings: Settings, postgres: Postgres) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        storage = house.backends.storage
        assert isinstance(storage, PostgresStorage)
        await connect_all(storage)
        await client.send({"prompt": "one"})
        await client.until("generatingResponseMessage")
        with postgres.read_only():
            agent.let_go("one")
            await until(lambda: storage._readers._servers.demoted)
        end = (await client.stream())[-1]
        assert end["event"] == "complete"
        assert as_stored(end["payload"]) == stored_chat(house.database, end["payload"]["id"])


async def test_one_that_stays_read_only_fails_what_is_written_in_time(
    storage: PostgresStorage, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "TIMEOUT_S", 0.5)
    with postgres.read_only():
        for _ in range(2):
            with pytest.raises(DatabaseAway) as away:
                await storage.write(user(100))
            assert isinstance(away.value.__cause__, REFUSALS)
    await storage.write(user(100))


async def test_readyz_and_the_log_say_so_once_until_writes_are_taken_again(
    settings: Settings, postgres: Postgres, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "PROBE_S", 0.0)
    caplog.set_level("INFO", "threadcast")
    async with open_house(settings) as house:
        assert (await get(house, "/readyz"))[0] == 200
        monkeypatch.setattr(pool, "TIMEOUT_S", 0.5)
        with postgres.read_only():
            for _ in range(4):
                assert await get(house, "/readyz") == (503, {"status": "the database does not answer"})
        for _ in range(2):
            assert (await get(house, "/readyz"))[0] == 200
    told = [record.getMessage() for record in caplog.records if "the database" in record.getMessage()]
    assert told == ["the database does not answer, or takes no writes", "the database is there again"]


class Name:
    """An address that leads to one server, and later to another: connections that there are stay where they are."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection("127.0.0.1", self.port)
        await asyncio.gather(self._pump(reader, asks), self._pump(answers, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.transport.abort()


@pytest.fixture(scope="module")
def successor() -> Iterator[Postgres]:
    """Another server."""
    with running() as server:
        yield server


@pytest.fixture
async def database(settings: Settings, successor: Postgres) -> AsyncIterator[str]:
    """The name of a database that both have."""
    name = settings.database_url.rpartition("/")[2]
    successor.execute(f"CREATE DATABASE {name}")
    await migrate_postgres(successor.url(name))
    yield name
    successor.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_of_several_hosts_the_one_that_takes_writes_is_used(
    settings: Settings, postgres: Postgres, successor: Postgres, database: str
) -> None:
    hosts = f"127.0.0.1:{postgres.port},127.0.0.1:{successor.port}"
    async with open_storage(replace(settings, database_url=f"postgresql+asyncpg://threadcast@{hosts}/{database}")) as storage:
        await connect_all(storage)
        with postgres.read_only():
            await storage.write(user(100))
            assert await all_read(storage) == [{uuid(100)}] * READERS
            with successor.read_only():  # nothing is left to be written to
                assert await all_read(storage) == [{uuid(100)}] * READERS
    with postgres.read_only():
        await migrate_postgres(f"postgresql://threadcast@{hosts}/{database}")


@pytest.mark.parametrize("read_meanwhile", [True, False])
async def test_when_another_is_the_primary_nobody_stays_with_the_old_one(
    settings: Settings, postgres: Postgres, successor: Postgres, database: str, read_meanwhile: bool
) -> None:
    name = Name(postgres.port)
    async with await asyncio.start_server(name.carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        there = replace(settings, database_url=settings.database_url.replace(f":{postgres.port}/", f":{port}/"))
        async with open_storage(there) as storage:
            assert isinstance(storage, PostgresStorage)
            servers = storage._readers._servers
            await connect_all(storage)
            with postgres.read_only():
                async with anyio.create_task_group() as tasks:
                    if read_meanwhile:
                        tasks.start_soon(storage.write, user(100))
                        await until(lambda: servers.demoted)
                        assert await all_read(storage) == [FIRST] * READERS  # by the old one, since there is no other
                    name.port = successor.port
                    if not read_meanwhile:
                        await storage.write(user(100))
                assert await all_read(storage) == [{uuid(100)}] * READERS
