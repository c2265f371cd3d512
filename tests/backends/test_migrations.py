"""Migrations: they build the tables that the code works with, whoever else is starting, and lose no row."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import anyio
import anyio.to_thread
import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, select

import backends.migrations
from backends import open_storage
from backends.indexing import index_all
from backends.migrations import is_behind, migrate_sqlite, revisions
from backends.postgres.storage import migrate_postgres
from backends.search import find_chats
from backends.sqlite import open_sqlite
from backends.storage import Committed, Unusable
from backends.tables import metadata, unindexed
from settings import load_settings
from tests.support.client import TIMEOUT_S
from tests.support.database import Where, opened, rows
from tests.support.house import BOTH
from tests.support.postgres import Postgres
from tests.support.program import ROOT
from tests.support.world import uuid

SCRIPTS = str(Path(backends.migrations.__file__).parent)
REVISIONS = [script.revision for script in ScriptDirectory(SCRIPTS).walk_revisions()]  # the newest first
MOMENT = "2025-01-02 03:04:05.678901"
VALUES = {  # by how the engines call their types; any text for another
    "BOOLEAN": True,
    "INTEGER": 7,
    "DATETIME": MOMENT,
    "TIMESTAMP": MOMENT,
    "JSON": '["kept"]',
    "BIGINT": 8,
    "TSVECTOR": "'a' 'word'",
    "UUID": "00000000-0000-4000-8000-000000000001",
}
AT_ONCE = 4
FULL_TEXT = "searchable_words"  # SQLite's table of it, and those that it keeps itself in

ENGINES = BOTH


class Engine(NamedTuple):
    """One kind of database, in which new ones can be made."""

    migrate: Callable[[Where], None]
    new: Callable[[], Where]  # an empty one
    program: str  # migrates the database that it is given


@pytest.fixture
def kind(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    if engine == "sqlite":
        numbers = count()
        program = "from backends.migrations import migrate_sqlite as migrate; arguments = [pathlib.Path(sys.argv[1])]"
        yield Engine(lambda where: migrate_sqlite(Path(where)), lambda: tmp_path / f"{next(numbers)}.db", program)
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        program = (
            "from backends.postgres.storage import migrate_postgres; "
            "arguments = [migrate_postgres(sys.argv[1])]; migrate = asyncio.run"
        )
        with ExitStack() as stack:
            yield Engine(
                lambda where: asyncio.run(migrate_postgres(str(where))),
                lambda: stack.enter_context(postgres.database()),
                program,
            )


@contextmanager
def connected(database: Where) -> Iterator[Connection]:
    """The database as SQLAlchemy sees it."""
    url = database.replace("postgresql:", "postgresql+psycopg:") if isinstance(database, str) else f"sqlite:///{database}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def schema(database: Where) -> dict[str, Any]:
    """All that SQLAlchemy's inspector knows of each table."""
    with connected(database) as connection:
        see = inspect(connection)
        return {
            table: {
                "columns": {column["name"]: {**column, "type": str(column["type"])} for column in see.get_columns(table)},
                "key": see.get_pk_constraint(table),
                "unique": sorted(map(str, see.get_unique_constraints(table))),
                "foreign": sorted(map(str, see.get_foreign_keys(table))),
                "indexes": sorted(
                    (str(i["name"]), i["column_names"], i["unique"], condition(i)) for i in see.get_indexes(table)
                ),
            }
            for table in set(see.get_table_names()) - {"alembic_version"}
            if not table.startswith(FULL_TEXT)
        }


def condition(index: Any) -> str:
    """Of a partial index."""
    return " ".join(f"{name}={value}" for name, value in sorted(index.get("dialect_options", {}).items()))


def written_down(database: Where) -> list[Any]:
    """The schema, as SQLite keeps it where it is one, and which revision it says it is."""
    kept = schema(database) if isinstance(database, str) else rows(database, "SELECT * FROM sqlite_master ORDER BY name")
    return [kept, rows(database, "SELECT * FROM alembic_version")]


def test_the_files_are_named_after_the_revisions_that_alembic_finds_in_them() -> None:
    assert revisions() == REVISIONS[::-1]


def test_the_migrated_schema_is_that_of_the_tables(kind: Engine) -> None:
    migrated, created = kind.new(), kind.new()
    kind.migrate(migrated)
    with connected(created) as connection:
        metadata.create_all(connection)
    assert schema(migrated) == schema(created)
    assert len(schema(migrated)) >= 9
    with connected(migrated) as connection:
        own = {"include_object": lambda _, name, *__: not str(name).startswith((FULL_TEXT, "ix_searchable_words"))}
        assert compare_metadata(MigrationContext.configure(connection, opts=own), metadata) == []


def test_migrating_again_changes_nothing(kind: Engine) -> None:
    database = kind.new()
    kind.migrate(database)
    before = written_down(database)
    kind.migrate(database)
    assert written_down(database) == before
    assert before[-1] == [{"version_num": REVISIONS[0]}]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / "new" / "folder" / "x.db")
    assert len(schema(tmp_path / "new" / "folder" / "x.db")) >= 9


def test_a_sqlite_without_full_text_search_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.migrations, "FULL_TEXT", "CREATE VIRTUAL TABLE temp.full_text USING missing(words)")
    with pytest.raises(Unusable, match="has no FTS5, which searching chats needs: no such module"):
        migrate_sqlite(tmp_path / "x.db")
    assert not (tmp_path / "x.db").read_bytes().count(b"alembic")


def test_threads_that_migrate_at_once_do_no_harm(kind: Engine) -> None:
    together = Barrier(AT_ONCE, timeout=TIMEOUT_S)
    database, alone = kind.new(), kind.new()

    def migrate(_: int) -> None:
        together.wait()
        kind.migrate(database)

    kind.migrate(alone)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(migrate, range(AT_ONCE)))
    assert written_down(database) == written_down(alone)


def test_processes_that_migrate_at_once_do_no_harm(kind: Engine) -> None:
    database, alone = kind.new(), kind.new()
    program = f"import asyncio, pathlib, sys; {kind.program}; print(flush=True); input(); migrate(*arguments)"
    command_line = [sys.executable, "-c", program, str(database)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command_line, cwd=ROOT, **pipes) for _ in range(AT_ONCE)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "\n"  # all of them are ready
    told = [process.communicate("\n")[1] for process in processes]
    assert told == [""] * AT_ONCE
    kind.migrate(alone)
    assert written_down(database) == written_down(alone)


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_existing_database_keeps_its_rows(kind: Engine, revision: str) -> None:
    database = kind.new()
    upgrade(database, revision)
    before = {table: fill(database, table) for table in schema(database)}
    assert len(before) >= 9
    kind.migrate(database)
    for table, row in before.items():
        assert any(after | row == after for after in rows(database, f"SELECT * FROM {table}"))
    assert rows(database, "SELECT * FROM alembic_version") == [{"version_num": REVISIONS[0]}]


def test_of_a_chats_unfinished_messages_the_last_stays_so(tmp_path: Path) -> None:
    database = tmp_path / "x.db"
    upgrade(database, "0002")
    rest = "'[]', '[]', NULL, {}, 'user', '{}', '2025-01-01'"
    with opened(database) as connection:
        for id, chat, done, day in (
            ("a", "one", 0, "2025-01-03"),
            ("b", "one", 0, "2025-01-01"),
            ("c", "one", 1, "2025-01-04"),
            ("d", "two", 0, "2025-01-02"),
            ("e", "two", 0, "2025-01-02"),
            ("f", "three", 0, "2025-01-01"),
        ):
            connection.execute(f"INSERT INTO messages VALUES (?, ?, NULL, {rest.format(done, day)})", (id, chat))
    migrate_sqlite(database)
    finished = rows(database, "SELECT id, final_reasoning_message AS why FROM messages WHERE is_completed ORDER BY id")
    assert [(row["id"], row["why"]) for row in finished] == [("b", "Interrupted"), ("c", None), ("d", "Interrupted")]
    with opened(database) as connection, pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute("UPDATE messages SET is_completed = 0 WHERE id = 'c'")


def test_messages_get_the_order_that_their_times_gave_them(kind: Engine) -> None:
    database = kind.new()
    upgrade(database, "0003")
    days = (3, 1, 2, 2)
    said = [(uuid(chat * 10 + number), uuid(chat), day) for chat in (1, 2) for number, day in enumerate(days)]
    columns = "id, chat_id, response_messages, reasoning_messages, is_completed, created_by, created_at, updated_at"
    with opened(database) as connection:
        if isinstance(database, str):
            connection.execute("SET session_replication_role = replica")  # foreign keys are not looked at
        for id, chat, day in said:
            values = f"'[]', '[]', true, '{uuid(3)}', '2025-01-0{day}', '2025-01-01'"
            connection.execute(f"INSERT INTO messages ({columns}) VALUES (?, ?, {values})", (str(id), str(chat)))
    kind.migrate(database)
    for one in (1, 2):
        order = rows(database, "SELECT id, position FROM messages WHERE chat_id = ? ORDER BY position", str(uuid(one)))
        assert [row["position"] for row in order] == [1, 2, 3, 4]
        assert [row["id"] for row in order] == [str(uuid(one * 10 + number)) for number in (1, 2, 3, 0)]


async def test_chats_of_the_version_before_are_found_once_they_are_indexed(kind: Engine) -> None:
    database, of_message = kind.new(), "response_messages, reasoning_messages, is_completed, created_by, created_at, updated_at"
    await anyio.to_thread.run_sync(upgrade, database, "0008")
    with opened(database) as connection:
        if isinstance(database, str):
            connection.execute("SET session_replication_role = replica")  # foreign keys are not looked at
        times = "'2025-01-09', '2025-01-09'"
        connection.execute(
            f"INSERT INTO users (id, email, created_at, updated_at) VALUES ('{uuid(9)}', 'a@b.example', {times})"
        )
        for number in range(1, 5):
            id, times, deleted = (
                uuid(number),
                f"'2025-01-0{5 - number}', '2025-01-09'",
                "'2025-01-09'" if number == 2 else "NULL",
            )
            chat = f"'{id}', 'Old title{number}', '{uuid(9)}', {times}, {deleted}"
            connection.execute(f"INSERT INTO chats (id, title, created_by, created_at, updated_at, deleted_at) VALUES ({chat})")
            said = f"'[{{\"message\": \"An answer{number}\"}}]', '[]', true, '{uuid(9)}', {times}"
            message = f"'{uuid(100 + number)}', '{id}', 1, 'Asked number{number}', {said}"
            connection.execute(f"INSERT INTO messages (id, chat_id, position, request, {of_message}) VALUES ({message})")
    await anyio.to_thread.run_sync(kind.migrate, database)
    waiting = rows(database, "SELECT chat_id FROM unindexed ORDER BY id DESC")
    assert [row["chat_id"] for row in waiting] == [str(uuid(number)) for number in (1, 3, 4)]  # the newest first
    url = database.replace(":", "+asyncpg:", 1) if isinstance(database, str) else f"sqlite+aiosqlite:///{database}"
    async with open_storage(load_settings({"THREADCAST_DATABASE_URL": url})) as storage:
        await index_all(storage)
        for query, numbers in {
            "old asked answer": (1, 3, 4),
            "title3": (3,),
            "number4": (4,),
            "answer1": (1,),
            "title2": (),
        }.items():
            found = await find_chats(storage, uuid(9), query, 0, 10)
            assert [chat.id for chat in found] == [uuid(number) for number in numbers], query
        assert await storage.fetch_all(select(unindexed)) == []


def upgrade(where: Where, revision: str) -> None:
    """Bring a database to an earlier schema."""
    with connected(where) as connection:
        config = Config()
        config.set_main_option("script_location", SCRIPTS)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def fill(database: Where, table: str) -> dict[str, Any]:
    """Put a row into the table, with something in each column, and return it."""
    with connected(database) as connection:
        columns = inspect(connection).get_columns(table)
    row = {column["name"]: VALUES.get(str(column["type"]), f"a {column['name']}") for column in columns}
    with opened(database) as connection:
        if isinstance(database, str):
            connection.execute("SET session_replication_role = replica")  # foreign keys are not looked at
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return row


def test_a_migration_that_fails_leaves_nothing_behind(kind: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    database = kind.new()
    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", lambda *_, **__: 1 / 0)  # after tables have been created
        with pytest.raises(ZeroDivisionError):
            kind.migrate(database)
    with connected(database) as connection:
        assert inspect(connection).get_table_names() == []
    kind.migrate(database)
    assert len(schema(database)) >= 9


@pytest.mark.parametrize("revision", [None, *REVISIONS])
def test_a_schema_without_the_newest_step_is_behind(revision: str | None) -> None:
    assert is_behind(revision) == (revision != REVISIONS[0])


def test_a_schema_of_a_newer_program_is_not_behind() -> None:
    assert not is_behind("9999")


async def test_opening_a_new_database_waits_for_whoever_is_writing_to_it(tmp_path: Path) -> None:
    committed: list[float] = []

    async def open_and_close() -> None:
        async with open_sqlite(tmp_path / "x.db", Committed(committed.append, committed.append)):
            pass

    migrate_sqlite(tmp_path / "x.db")
    with anyio.fail_after(TIMEOUT_S), opened(tmp_path / "x.db") as other:
        other.execute("BEGIN IMMEDIATE")  # as another start does that migrates, or a `load`
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_and_close)
            for _ in range(200):  # turns enough for it to come to what it has to wait for
                await anyio.to_thread.run_sync(rows, tmp_path / "x.db", "SELECT 1")
            other.execute("COMMIT")
