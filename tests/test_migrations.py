"""The migrations make what `backends/tables.py` says, from nothing, from any earlier step, and by several at once."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from backends.migrations import __file__ as migrations
from backends.migrations import migrate_sqlite
from backends.tables import metadata
from tests.database import opened, rows


def shape(url: str) -> dict[str, Any]:
    """Everything that an inspector can tell of a database."""
    engine = create_engine(url)
    try:
        if url == "sqlite://":
            metadata.create_all(engine)
        inspector = inspect(engine)
        return {
            name: {
                "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(name)],
                "key": sorted(inspector.get_pk_constraint(name)["constrained_columns"]),
                "foreign": sorted((k["constrained_columns"], k["referred_table"]) for k in inspector.get_foreign_keys(name)),
                "unique": sorted(constraint["column_names"] for constraint in inspector.get_unique_constraints(name)),
                "indexes": sorted((str(i["name"]), i["column_names"]) for i in inspector.get_indexes(name)),
            }
            for name in inspector.get_table_names()
            if name != "alembic_version"
        }
    finally:
        engine.dispose()


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "t.db"
    migrate_sqlite(path)
    assert shape(f"sqlite:///{path}") == shape("sqlite://")
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_migrating_again_keeps_every_row(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    migrate_sqlite(path)
    with opened(path) as connection:
        connection.execute("INSERT INTO users VALUES ('1', 'a@b.example', NULL, NULL, '2026-01-01', '2026-01-01')")
    migrate_sqlite(path)
    assert len(rows(path, "SELECT * FROM users")) == 1


def test_a_database_of_the_first_step_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrations).parent))
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.commit()
    engine.dispose()
    with opened(path) as plain:
        plain.execute("INSERT INTO users VALUES ('1', 'a@b.example', NULL, NULL, '2026-01-01', '2026-01-01')")
    migrate_sqlite(path)
    assert shape(f"sqlite:///{path}") == shape("sqlite://")
    assert len(rows(path, "SELECT * FROM users")) == 1


def test_several_starts_at_once_migrate_once(tmp_path: Path) -> None:
    path, failures = tmp_path / "t.db", list[Exception]()

    def migrate() -> None:
        try:
            migrate_sqlite(path)
            with opened(path) as connection:
                connection.execute("SELECT 1")
        except Exception as error:
            failures.append(error)

    threads = [Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert failures == []
    assert shape(f"sqlite:///{path}") == shape("sqlite://")


@pytest.mark.parametrize("text", ["not a database at all, but long enough to be one" * 30])
def test_what_is_no_database_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.db"
    path.write_text(text)
    with pytest.raises(Exception, match="not a database"):
        migrate_sqlite(path)
    assert path.read_text() == text
