"""What is particular to SQLite: its one writer, its locks, its file."""

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from backends import open_storage
from backends.sqlite import SQLiteStorage, WriteRequest
from backends.sqlite_file import sole_server
from backends.storage import DatabaseBusy, Storage
from settings import Settings, load_settings
from tests.support.database import count, opened, rows
from tests.support.storages import ids, storage, template, user
from tests.support.world import uuid

__all__ = ["storage", "template"]  # the fixtures


async def test_while_another_process_holds_the_lock_a_crowd_fails_together(
    settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(storage, SQLiteStorage)
    tries, transact = list[int](), storage._transact

    def counted(batch: Sequence[WriteRequest]) -> list[bool]:
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
