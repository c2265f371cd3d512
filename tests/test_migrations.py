"""Migrations: they build the tables that the code works with, whoever else is starting, and lose no row."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import anyio
import anyio.to_thread
import pytest
from alembic import command, op
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

import backends.migrations
from backends.metrics import Metrics
from backends.migrations import migrate_sqlite
from backends.storage import open_sqlite
from backends.tables import metadata
from tests.client import TIMEOUT_S
from tests.database import opened, rows
from tests.program import ROOT

SCRIPTS = str(Path(backends.migrations.__file__).parent)
REVISIONS = [script.revision for script in ScriptDirectory(SCRIPTS).walk_revisions()]  # the newest first
VALUES = {"BOOLEAN": 1, "INTEGER": 7, "DATETIME": "2025-01-02 03:04:05.678901", "JSON": '["kept"]'}  # any text elsewhere
AT_ONCE = 4
MIGRATE_WHEN_TOLD = "import pathlib, sys; from backends.migrations import migrate_sqlite; print(flush=True); input(); "


@contextmanager
def connected(path: Path) -> Iterator[Connection]:
    """The database as SQLAlchemy sees it."""
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def schema(path: Path) -> dict[str, Any]:
    """All that SQLAlchemy's inspector knows of each table."""
    with connected(path) as connection:
        see = inspect(connection)
        return {
            table: {
                "columns": {column["name"]: {**column, "type": str(column["type"])} for column in see.get_columns(table)},
                "key": see.get_pk_constraint(table),
                "unique": sorted(map(str, see.get_unique_constraints(table))),
                "foreign": sorted(map(str, see.get_foreign_keys(table))),
                "indexes": sorted((str(i["name"]), i["column_names"], i["unique"], where(i)) for i in see.get_indexes(table)),
            }
            for table in set(see.get_table_names()) - {"alembic_version"}
        }


def where(index: Any) -> str:
    """The condition of a partial index."""
    return str(index.get("dialect_options", {}).get("sqlite_where"))


def written_down(path: Path) -> list[dict[str, Any]]:
    """The schema as SQLite keeps it, and which revision it says it is."""
    return rows(path, "SELECT * FROM sqlite_master ORDER BY name") + rows(path, "SELECT * FROM alembic_version")


def test_the_migrated_schema_is_that_of_the_tables(tmp_path: Path) -> None:
    migrate_sqlite(tmp_path / "migrated.db")
    with connected(tmp_path / "created.db") as connection:
        metadata.create_all(connection)
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "created.db")
    with connected(tmp_path / "migrated.db") as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_missing_folder_is_made_and_migrating_again_changes_nothing(tmp_path: Path) -> None:
    database = tmp_path / "new" / "folder" / "x.db"
    migrate_sqlite(database)
    before = written_down(database)
    migrate_sqlite(database)
    assert written_down(database) == before
    assert before[-1] == {"version_num": REVISIONS[0]}


def test_threads_that_migrate_at_once_do_no_harm(tmp_path: Path) -> None:
    together = Barrier(AT_ONCE, timeout=TIMEOUT_S)

    def migrate(_: int) -> None:
        together.wait()
        migrate_sqlite(tmp_path / "x.db")

    migrate_sqlite(tmp_path / "alone.db")
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(migrate, range(AT_ONCE)))
    assert written_down(tmp_path / "x.db") == written_down(tmp_path / "alone.db")


def test_processes_that_migrate_at_once_do_no_harm(tmp_path: Path) -> None:
    program = MIGRATE_WHEN_TOLD + "migrate_sqlite(pathlib.Path(sys.argv[1]))"
    command_line = [sys.executable, "-c", program, str(tmp_path / "x.db")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command_line, cwd=ROOT, **pipes) for _ in range(AT_ONCE)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "\n"  # all of them are ready
    told = [process.communicate("\n", timeout=20)[1] for process in processes]
    assert told == [""] * AT_ONCE
    migrate_sqlite(tmp_path / "alone.db")
    assert written_down(tmp_path / "x.db") == written_down(tmp_path / "alone.db")


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_existing_database_keeps_its_rows(tmp_path: Path, revision: str) -> None:
    database = tmp_path / "x.db"
    with connected(database) as connection:
        config = Config()
        config.set_main_option("script_location", SCRIPTS)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    before = {table: fill(database, table) for table in schema(database)}
    assert len(before) >= 9
    migrate_sqlite(database)
    for table, row in before.items():
        (after,) = rows(database, f"SELECT * FROM {table}")
        assert after | row == after
    assert rows(database, "SELECT * FROM alembic_version") == [{"version_num": REVISIONS[0]}]


def fill(path: Path, table: str) -> dict[str, Any]:
    """Put a row into the table, with something in each column, and return it."""
    columns = rows(path, "SELECT name, type FROM pragma_table_info(?)", table)
    row = {column["name"]: VALUES.get(column["type"], f"a {column['name']}") for column in columns}
    with opened(path) as connection:
        connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", list(row.values()))
    return row


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(op, "create_index", lambda *_, **__: 1 / 0)  # after tables have been created
        with pytest.raises(ZeroDivisionError):
            migrate_sqlite(tmp_path / "x.db")
    assert rows(tmp_path / "x.db", "SELECT name FROM sqlite_master") == []
    migrate_sqlite(tmp_path / "x.db")


async def test_opening_a_new_database_waits_for_whoever_is_writing_to_it(tmp_path: Path) -> None:
    async def open_and_close() -> None:
        async with open_sqlite(tmp_path / "x.db", Metrics().committed):
            pass

    migrate_sqlite(tmp_path / "x.db")
    with anyio.fail_after(TIMEOUT_S), opened(tmp_path / "x.db") as other:
        other.execute("BEGIN IMMEDIATE")  # as another start does that migrates, or a `load`
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_and_close)
            for _ in range(200):  # turns enough for it to come to what it has to wait for
                await anyio.to_thread.run_sync(rows, tmp_path / "x.db", "SELECT 1")
            other.execute("COMMIT")
