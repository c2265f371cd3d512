"""The list of chats: one order for the user's own and those shared with them, and a page that costs the same of any number."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import insert

from backends.chats_list import PAGE, list_chats
from backends.migrations import migrate_sqlite
from backends.statements import SQLITE, Prepared
from backends.storage import Storage
from backends.tables import asset_permissions, chats
from schemas.assets import CHAT
from tests.support.house import BOTH
from tests.support.stored import NOW, storage
from tests.support.world import ACME, ALICE, BOB, CAROL, uuid

__all__ = ["storage"]  # the fixture

ENGINES = BOTH


async def stored(storage: Storage, number: int, by: UUID, at: int, *, deleted: bool = False) -> None:
    """A chat of so many seconds after NOW."""
    moment = NOW + timedelta(seconds=at)
    row = {"title": f"Chat {number}", "created_by": by, "created_at": moment, "updated_at": moment}
    await storage.write(insert(chats).values(id=uuid(number), deleted_at=moment if deleted else None, **row))


async def shared(storage: Storage, number: int, identity_type: str, identity: UUID) -> None:
    who = {"identity_type": identity_type, "identity_id": identity, "role": "can_view", "created_at": NOW, "updated_at": NOW}
    await storage.write(insert(asset_permissions).values(asset_id=uuid(number), asset_type=CHAT, **who))


async def test_pages_go_through_own_and_shared_chats_in_one_order_each_once(storage: Storage) -> None:
    for number in range(1, 9):
        await stored(storage, number, BOB if number % 2 else ALICE, at=number // 3)  # three at the same moment
    await stored(storage, 9, ALICE, at=0, deleted=True)
    await stored(storage, 10, BOB, at=0, deleted=True)
    await stored(storage, 11, BOB, at=9)  # shared with nobody
    for number in (1, 2, 3, 5, 10):  # 2 is her own
        await shared(storage, number, "user", ALICE)
    await shared(storage, 3, "organization", ACME)  # and so twice
    await shared(storage, 7, "user", CAROL)
    expected = [8, 6, 5, 4, 3, 2, 1]
    for size in (1, 2, 3, 4, 7, 100):
        pages = [await list_chats(storage, ALICE, offset, size) for offset in range(0, 8, size)]
        assert [len(page) for page in pages] == [len(expected[offset : offset + size]) for offset in range(0, 8, size)]
        assert [chat.id for page in pages for chat in page] == [uuid(number) for number in expected]
    assert [chat.id for chat in await list_chats(storage, CAROL, 0, 25)] == [uuid(7), uuid(3)]
    assert await list_chats(storage, ALICE, 10**8, 100) == []


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    migrate_sqlite(tmp_path / "chats.db")
    with closing(sqlite3.connect(tmp_path / "chats.db")) as connection:
        yield connection


def steps(database: sqlite3.Connection, user: UUID) -> int:
    """How many of ten instructions SQLite's machine takes for the first page."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    database.set_progress_handler(count, 10)
    values = {"user": user, "end": 25, "size": 25, "offset": 0}
    statement = Prepared(SQLITE, PAGE, tuple(values))
    assert len(database.execute(statement.sql, statement.arguments(values)).fetchall()) == 25
    database.set_progress_handler(None, 0)
    return counted


def test_a_page_costs_the_same_of_many_chats_and_many_permissions_of_others(database: sqlite3.Connection) -> None:
    def more(numbers: range) -> None:
        database.executemany(
            "INSERT INTO chats VALUES (?, 'Old', ?, ?, ?, NULL)",
            [(str(uuid(n)), str(ALICE), str(NOW), str(NOW)) for n in numbers],
        )
        permission = "INSERT INTO asset_permissions VALUES (?, 'chat', 'user', ?, 'can_view', ?, ?)"
        database.executemany(permission, [(str(uuid(n)), str(CAROL), str(NOW), str(NOW)) for n in numbers])

    database.execute(
        "INSERT INTO users (id, email, created_at, updated_at) VALUES (?, 'a@b.c', ?, ?)", (str(ALICE), str(NOW), str(NOW))
    )
    more(range(30))
    few = steps(database, ALICE)
    more(range(30, 3030))
    assert steps(database, ALICE) <= few * 1.1
