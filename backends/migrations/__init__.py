"""The database's schema, step by step; each step stands in `versions`.

A step only adds: while a cluster is brought to a new version, programs of the old one go on working with the new schema.
"""

import fcntl
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import OperationalError

from backends.sqlite_file import prepare
from backends.storage import Unusable

HERE = Path(__file__).parent
VERSION = "SELECT version_num FROM alembic_version"
FULL_TEXT = "CREATE VIRTUAL TABLE temp.full_text USING fts5(words)"
HAS_VERSION = "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"


def upgrade(connection: Connection) -> None:
    """Bring the database behind the connection to the newest schema, in the connection's transaction."""
    # Here, since alembic takes a fifth of the time to start, and most starts need no migration.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_behind(revision: str | None) -> bool:
    """Whether a database with this revision lacks a step. An unknown revision was made by a newer program, so it lacks none."""
    *older, _ = revisions()
    return revision is None or revision in older


def revisions() -> list[str]:
    """The revisions of all steps, the newest last: the file of each begins with its own."""
    return sorted(path.name.partition("_")[0] for path in (HERE / "versions").glob("[0-9]*.py"))


def _revision(connection: Connection) -> str | None:
    if not connection.exec_driver_sql(HAS_VERSION).scalar():
        return None
    return connection.exec_driver_sql(VERSION).scalar()


def _check_full_text(connection: Connection) -> None:
    try:
        connection.exec_driver_sql(FULL_TEXT)
        connection.exec_driver_sql("DROP TABLE temp.full_text")
    except OperationalError as error:
        raise Unusable(f"this Python's SQLite has no FTS5, which searching chats needs: {error.orig}") from None


def migrate_sqlite(path: Path) -> None:
    """Bring the database at `path` to the newest schema, creating it when there is none. Blocks; safe to run twice at once.

    One of a newer program is left as it is: its steps have only added.
    """
    prepare(path)
    engine = create_engine(URL.create("sqlite", database=str(path)), isolation_level="AUTOCOMMIT")
    try:
        # If two processes start first, the second waits here and finds nothing to do. SQLite's own lock is not enough:
        # turning WAL on fails at once, whatever the time-out, while another connection writes.
        with open(f"{path}.migrating", "w") as lock, engine.connect() as connection:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            _check_full_text(connection)
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if is_behind(_revision(connection)):
                upgrade(connection)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
