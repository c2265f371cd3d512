"""The storage's contract, run against each implementation, and what is particular to SQLite."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import Insert, insert, select, update

from backends import open_storage
from backends.storage import Conflict, DatabaseBusy, SQLiteStorage, Storage, Work, sole_server
from backends.tables import users
from settings import Settings, load_settings
from tests.database import count, opened, rows
from tests.world import uuid


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened_storage:
        yield opened_storage


def user(number: int, email: str | None = None) -> Insert:
    now = datetime.now(UTC)
    return insert(users).values(
        id=uuid(number), email=email or f"{number}@x.example", name=None, avatar_url=None, created_at=now, updated_at=now
    )


async def ids(storage: Storage) -> set[UUID]:
    return {row["id"] for row in await storage.fetch_all(select(users.c.id))}


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


async def test_while_another_process_holds_the_lock_a_crowd_fails_together(
    settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(storage, SQLiteStorage)
    tries, transact = list[int](), storage._transact

    def counted(batch: Sequence[Work]) -> list[bool]:
        tries.append(len(batch))
        return transact(batch)

    monkeypatch.setattr(storage, "_transact", counted)
    storage._writer.execute("PRAGMA busy_timeout=20")
    failed = []

    async def write(number: int) -> None:
        try:
            await storage.write(user(number))
        except DatabaseBusy:
            failed.append(number)

    with opened(settings.database_path) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            for number in range(1, 101):
                tasks.start_soon(write, number)
    assert len(failed) == sum(tries) == 100  # each was tried once
    assert len(tries) < 10
    await storage.write(user(1))
    assert await ids(storage) == {uuid(1)}


async def test_a_caller_that_gives_up_harms_nobody(storage: Storage) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(1, 20):
            tasks.start_soon(storage.write, user(number))
        await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await storage.write(user(20))
    assert uuid(20) in await ids(storage)


async def test_readers_see_whole_transactions_only(storage: Storage, settings: Settings) -> None:
    await storage.write(user(1), user(2))
    with opened(settings.database_path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM users")
        assert len(await ids(storage)) == 2
        other.execute("ROLLBACK")


async def test_a_write_waits_for_another_process_that_is_writing(storage: Storage, settings: Settings) -> None:
    with opened(settings.database_path) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(storage.write, user(1))
            await anyio.lowlevel.checkpoint()
            other.execute("COMMIT")
    assert await ids(storage) == {uuid(1)}


async def test_writes_that_come_together_share_a_transaction(settings: Settings) -> None:
    async with open_storage(settings) as storage:
        assert isinstance(storage, SQLiteStorage)
        begun: list[str] = []
        storage._writer.set_trace_callback(begun.append)
        async with anyio.create_task_group() as tasks:
            for number in range(1, 151):
                tasks.start_soon(storage.write, user(number))
    assert begun.count("BEGIN IMMEDIATE") <= 2  # the first alone, perhaps, and all the others together
    assert count(settings.database_path, "users") == 150


async def test_closing_commits_what_is_queued_and_leaves_no_journal(settings: Settings) -> None:
    async with open_storage(settings) as storage, anyio.create_task_group() as tasks:
        for number in range(1, 51):
            tasks.start_soon(storage.write, user(number))
    assert count(settings.database_path, "users") == 50
    assert not settings.database_path.with_name(settings.database_path.name + "-wal").exists()


async def test_foreign_keys_are_enforced_and_readers_cannot_write(storage: Storage) -> None:
    assert isinstance(storage, SQLiteStorage)
    assert storage._writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    assert storage._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await next(storage._readers).execute("DELETE FROM users")


def test_times_are_stored_in_utc_as_text_that_sorts(settings: Settings) -> None:
    async def write() -> None:
        async with open_storage(settings) as storage:
            await storage.write(user(1))

    anyio.run(write)
    (row,) = rows(settings.database_path, "SELECT id, created_at FROM users")
    assert row["id"] == str(uuid(1))
    assert abs((datetime.fromisoformat(row["created_at"]) - datetime.now(UTC).replace(tzinfo=None)).total_seconds()) < 60


async def test_a_path_with_odd_characters_is_the_file_that_is_opened(tmp_path: Path) -> None:
    settings = load_settings({"THREADCAST_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/my%20folder/a%41%25.db"})
    async with open_storage(settings) as storage:
        await storage.write(user(1))
    assert settings.database_path == tmp_path / "my folder" / "aA%.db"
    assert count(settings.database_path, "users") == 1


def test_the_lock_of_a_server_ends_with_it(settings: Settings) -> None:
    with sole_server(settings.database_path), pytest.raises(BlockingIOError), sole_server(settings.database_path):
        raise AssertionError("two servers")
    with sole_server(settings.database_path):
        pass
