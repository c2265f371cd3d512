"""The storage's contract, run against each implementation."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import Select, bindparam, column, delete, insert, select, table, text, update

from backends import open_storage
from backends.metrics import Metrics
from backends.storage import Change, Conflict, Probe, Row, Storage
from backends.tables import assets, chats, team_members, users
from schemas.assets import METRIC
from settings import Settings
from tests.support.database import count, where
from tests.support.house import BOTH
from tests.support.storages import ids, storage, template, user
from tests.support.world import uuid

__all__ = ["storage", "template"]  # the fixtures

ENGINES = BOTH


async def test_what_was_written_is_read_at_once(storage: Storage) -> None:
    await storage.write(user(1))
    (row,) = await storage.fetch_all(select(users))
    assert row["id"] == uuid(1)
    assert row["email"] == "1@x.example"
    assert row["name"] is None


async def test_statements_of_one_write_see_each_other_and_are_all_or_nothing(storage: Storage) -> None:
    await storage.write(user(1), update(users).where(users.c.id == uuid(1)).values(name="One"))
    assert (await storage.fetch_all(select(users.c.name)))[0]["name"] == "One"
    with pytest.raises(Conflict):
        await storage.write(user(2), user(1))
    assert await ids(storage) == {uuid(1)}


async def test_what_depends_on_a_change_is_written_with_it_or_not_at_all(storage: Storage) -> None:
    await storage.write(user(1))
    rename = update(users).values(name="One")
    assert await storage.write(user(2), only_if=rename.where(users.c.id == uuid(1)))
    assert not await storage.write(user(3), only_if=rename.where(users.c.id == uuid(4)))
    with pytest.raises(Conflict):
        await storage.write(user(2), only_if=rename.where(users.c.id == uuid(2)))
    found = {row["id"]: row["name"] for row in await storage.fetch_all(select(users))}
    assert found == {uuid(1): "One", uuid(2): None}


async def test_of_a_crowd_that_wants_the_same_change_one_has_it(storage: Storage) -> None:
    await storage.write(user(0))
    first = update(users).where(users.c.id == uuid(0), users.c.name.is_(None)).values(name="Taken")
    had = []

    async def write(number: int) -> None:
        if await storage.write(user(number), only_if=first):
            had.append(uuid(number))

    async with anyio.create_task_group() as tasks:
        for number in range(1, 51):
            tasks.start_soon(write, number)
    assert len(had) == 1
    assert await ids(storage) == {uuid(0), *had}


async def test_a_bad_write_in_a_crowd_fails_alone(storage: Storage) -> None:
    failed = []

    async def write(number: int) -> None:
        try:
            await storage.write(user(number, "same@x.example" if number % 10 == 0 else None))
        except Conflict:
            failed.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(1, 101):
            tasks.start_soon(write, number)
    assert len(failed) == 9
    assert len(await ids(storage)) == 91


async def test_a_caller_that_gives_up_harms_nobody(storage: Storage) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(1, 20):
            tasks.start_soon(storage.write, user(number))
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await storage.write(user(20))
    assert uuid(20) in await ids(storage)


async def test_a_row_without_what_it_refers_to_is_a_conflict_and_harms_no_other(storage: Storage) -> None:
    membership = insert(team_members).values(user_id=uuid(1), team_id=uuid(2))
    with pytest.raises(Conflict):
        await storage.write(membership)
    await storage.write(user(1), membership)
    with pytest.raises(Conflict):
        await storage.write(delete(users))
    assert await ids(storage) == {uuid(1)}


async def test_a_statement_that_is_wrong_fails_and_harms_no_other(storage: Storage) -> None:
    await storage.write(user(1))
    for _ in range(20):
        with pytest.raises(Exception, match="nowhere"):
            await storage.write(user(2), text("DELETE FROM nowhere"))
        with pytest.raises(Exception, match="nowhere"):
            await storage.fetch_all(select(column("x")).select_from(table("nowhere")))
    await storage.write(user(3))
    assert await ids(storage) == {uuid(1), uuid(3)}


async def test_times_come_back_in_utc_and_to_the_microsecond(storage: Storage) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678900, timezone(timedelta(hours=5)))
    await storage.write(user(1), update(users).values(created_at=moment.astimezone(UTC)))
    (row,) = await storage.fetch_all(select(users.c.created_at))
    assert row["created_at"].replace(tzinfo=UTC) == moment


ODD = "a\0b\ud800c ö😀 \\u0000 'x\" %s $1 ? :id"


async def test_any_text_of_an_agent_is_kept_as_far_as_it_is_text(storage: Storage) -> None:
    now = datetime.now(UTC)
    chat = {"id": uuid(2), "title": ODD, "created_by": uuid(1), "created_at": now, "updated_at": now}
    asset = {**chat, "asset_type": METRIC, "name": "", "version_number": 1, "organization_id": uuid(3)}
    content = {"text": ODD.replace("\ud800", ""), ODD.replace("\ud800", ""): [None, 1.5, True]}
    del asset["title"]
    await storage.write(user(1), (insert(chats), chat), (insert(assets), {**asset, "content": content}))
    kept = ODD.replace("\0", "").replace("\ud800", "?")
    assert [row["title"] for row in await storage.fetch_all(select(chats.c.title))] == [kept]
    assert [row["content"] for row in await storage.fetch_all(select(assets.c.content))] == [content]
    await storage.write((update(assets).where(assets.c.id == bindparam("asset")), {"asset": uuid(2), "content": [ODD]}))
    assert [row["content"] for row in await storage.fetch_all(select(assets.c.content))] == [[ODD.replace("\ud800", "?")]]


async def test_what_is_on_its_way_at_the_end_is_written(settings: Settings) -> None:
    async with open_storage(settings) as storage, anyio.create_task_group() as tasks:
        for number in range(1, 51):
            tasks.start_soon(storage.write, user(number))
    assert count(where(settings), "users") == 50


class Held:
    """A storage that answers when it is let go."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.gate, self.asked = anyio.Event(), 0
        self.apart, self.on_postgres = storage, storage.on_postgres

    async def fetch_all(self, query: Select[Any], **values: Any) -> list[Row]:
        self.asked += 1
        await self.gate.wait()
        return await self.storage.fetch_all(query, **values)

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        return await self.storage.write(*changes, only_if=only_if)


async def test_all_who_ask_at_a_time_share_one_check_and_whoever_gives_up_spoils_it_for_nobody(storage: Storage) -> None:
    held = Held(storage)
    probe, answers = Probe(held), list[str]()

    async def ask() -> None:
        await probe.check()
        answers.append("ready")

    async with anyio.create_task_group() as tasks:
        with anyio.move_on_after(0) as impatient:
            await probe.check()
        for _ in range(3):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        held.gate.set()
    assert (impatient.cancelled_caught, answers, held.asked) == (True, ["ready"] * 3, 1)


async def test_each_write_is_measured(settings: Settings) -> None:
    metrics = Metrics()
    async with open_storage(settings, metrics) as storage:
        await storage.write(user(1))
        assert not await storage.write(user(2), only_if=update(users).where(users.c.id == uuid(3)).values(name="x"))
        await Probe(storage).check()
    assert b"threadcast_commit_seconds_count 0" not in metrics.text()
