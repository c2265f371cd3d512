"""A PostgreSQL that stops, is killed or answers nothing: nothing hangs, nothing that was done is lost, and it goes on after."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from itertools import count

import anyio
import anyio.to_thread
import asyncpg
import pytest

from backends import open_storage
from backends.postgres import pool
from backends.postgres.storage import SESSION, WRITERS
from backends.storage import Conflict, DatabaseAway, Storage
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S
from tests.support.database import as_stored, opened, rows, stored_chat, where
from tests.support.house import House, open_house
from tests.support.over_http import get
from tests.support.postgres import Postgres
from tests.support.storages import ids, template, user
from tests.support.world import REVENUE, uuid

__all__ = ["template"]  # the fixture

ENGINES = ("postgres",)
CROWD = 3 * WRITERS
PAUSE_S = 2.0


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened:
        yield opened


class Crowd:
    """Writes as fast as it can, and remembers what it was told."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.numbers = count(1)
        self.done = set[int]()
        self.failed = dict[int, Exception]()

    async def write(self) -> None:
        for number in self.numbers:
            with anyio.fail_after(pool.TIMEOUT_S + TIMEOUT_S):
                try:
                    await self.storage.write(user(number), user(1_000_000 + number))
                except Exception as error:
                    self.failed[number] = error
                else:
                    self.done.add(number)

    async def further(self, wanted: int) -> None:
        """Wait until so many more are done."""
        goal = len(self.done) + wanted
        while len(self.done) < goal:
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("how", ["kill", "stop", "pause"])
async def test_while_writes_go_on_none_that_was_done_is_lost_and_none_hangs(
    storage: Storage, postgres: Postgres, how: str
) -> None:
    crowd = Crowd(storage)
    async with anyio.create_task_group() as tasks:
        for _ in range(CROWD):
            tasks.start_soon(crowd.write)
        for _ in range(3):
            await crowd.further(200)
            if how == "pause":
                postgres.pause()
                await anyio.sleep(PAUSE_S)
                postgres.go_on()
            else:
                await anyio.to_thread.run_sync(postgres.kill if how == "kill" else postgres.stop)
                await anyio.to_thread.run_sync(postgres.start)
        await crowd.further(200)
        tasks.cancel_scope.cancel()
    found = {id.int for id in await ids(storage)}
    assert {uuid(number).int for number in crowd.done} <= found
    assert {uuid(1_000_000 + number).int for number in crowd.done} <= found
    assert len(found) % 2 == 0  # all of a write, or none
    assert not any(isinstance(error, Conflict) for error in crowd.failed.values())  # none is done twice
    assert len(crowd.failed) <= (0 if how == "pause" else 3 * WRITERS)  # those whose commit was on its way


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TIMEOUT_S", 0.5)


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_an_outage_fails_what_waits_in_time_and_ends_with_it(
    storage: Storage, postgres: Postgres, impatient: None, how: str
) -> None:
    failed = list[DatabaseAway]()

    async def ask(number: int) -> None:
        with pytest.raises(DatabaseAway) as away:
            await (storage.write(user(number)) if number % 2 else ids(storage))
        failed.append(away.value)

    await storage.write(user(0))
    (postgres.kill if how == "kill" else postgres.pause)()
    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            for number in range(1, 2 * CROWD + 1):
                tasks.start_soon(ask, number)
    assert len(failed) == 2 * CROWD
    if how == "kill":
        assert {type(away.__cause__) for away in failed} <= {ConnectionRefusedError, ConnectionResetError, type(None)}
    await anyio.to_thread.run_sync(postgres.start if how == "kill" else postgres.go_on)
    with anyio.fail_after(TIMEOUT_S):
        while True:
            with suppress(DatabaseAway):
                assert uuid(0) in await ids(storage)
                await storage.write(user(1_000_000))
                break


async def test_a_server_says_that_it_is_not_ready_while_its_database_is_away(house: House, postgres: Postgres) -> None:
    async with house.connect() as client:
        await client.post(metric_id=str(REVENUE))
        postgres.kill()
        assert await get(house, "/readyz") == (503, {"status": "the database does not answer"})
        assert (await get(house, "/healthz"))[0] == 200
        postgres.start()
        assert await get(house, "/readyz") == (200, {"status": "ready", "broker": "connected"})
        assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_an_answer_ends_as_if_the_database_had_not_been_restarted_meanwhile(
    settings: Settings, postgres: Postgres, how: str
) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "one"})
        await client.until("generatingResponseMessage")
        (postgres.kill if how == "kill" else postgres.stop)()
        agent.let_go("one")
        await client.until("generatingResponseMessage")  # so its end is being stored
        await anyio.to_thread.run_sync(postgres.start)
        end = (await client.stream())[-1]
        assert end["event"] == "complete"
        assert as_stored(end["payload"]) == stored_chat(house.database, end["payload"]["id"])


async def test_a_server_stops_while_its_database_answers_nothing(settings: Settings, postgres: Postgres) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with open_storage(settings) as storage:
            await storage.write(user(1))
            postgres.pause()
    postgres.go_on()


@pytest.fixture
def briefly(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the storage is opened: the database itself is impatient, too."""
    for name in [name for name in SESSION if name.endswith("_timeout")]:
        monkeypatch.setitem(SESSION, name, "500")


async def test_what_is_given_up_leaves_no_connection_behind_at_the_database(
    briefly: None, storage: Storage, settings: Settings
) -> None:
    query = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with opened(where(settings)) as other:
        other.execute("LOCK TABLE users IN EXCLUSIVE MODE")
        for turn in range(4):
            async with anyio.create_task_group() as tasks:
                for number in range(WRITERS):
                    tasks.start_soon(fails, storage, turn * WRITERS + number)
        with anyio.fail_after(TIMEOUT_S):
            while (await anyio.to_thread.run_sync(rows, where(settings), query))[0]["n"]:
                pass


async def fails(storage: Storage, number: int) -> None:
    with pytest.raises((DatabaseAway, asyncpg.QueryCanceledError)):
        await storage.write(user(number))


async def test_what_nobody_waits_for_any_more_holds_up_no_stop(
    settings: Settings, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "TIMEOUT_S", 2 * TIMEOUT_S)  # a write that the stop waits for takes too long
    with anyio.move_on_after(TIMEOUT_S) as scope:
        async with open_storage(settings) as storage:
            await storage.write(user(0))
            postgres.pause()
            with anyio.move_on_after(0.1):
                async with anyio.create_task_group() as tasks:
                    for number in range(1, WRITERS + 1):  # one on the connection there is, the others on those to be made
                        tasks.start_soon(storage.write, user(number))
    postgres.go_on()
    assert not scope.cancel_called  # the stop lets nothing end it, and so is not ended


class Wire:
    """A way to the database that can go dead without a word, as when a machine is gone; what connects later gets through."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.dead = set[asyncio.StreamWriter]()
        self.open = set[asyncio.StreamWriter]()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection("127.0.0.1", self.port)
        self.open |= {writer, asks}
        await asyncio.gather(self.pump(reader, asks), self.pump(answers, writer))

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if writer not in self.dead:
                    writer.write(data)
        writer.transport.abort()

    def die(self) -> None:
        self.dead |= self.open


async def test_connections_that_have_gone_dead_are_given_up(
    settings: Settings, postgres: Postgres, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Wire(postgres.port)
    async with await asyncio.start_server(wire.carry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = settings.database_url.replace(f":{postgres.port}/", f":{port}/")
        async with open_storage(replace(settings, database_url=url)) as storage:
            crowd = Crowd(storage)
            async with anyio.create_task_group() as tasks:
                for _ in range(CROWD):
                    tasks.start_soon(crowd.write)
                await crowd.further(100)
                wire.die()
                await crowd.further(100)
                tasks.cancel_scope.cancel()
            monkeypatch.setattr(pool, "TIMEOUT_S", TIMEOUT_S)  # a reader connects now, which on a busy machine takes its time
            assert {uuid(number) for number in crowd.done} <= await ids(storage)
            assert DatabaseAway in map(type, crowd.failed.values())
