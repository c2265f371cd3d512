"""The database's schema, step by step; each step stands in `versions`.

A step only adds: while a cluster is brought to a new version, programs of the old one go on working with the new schema.
"""

import fcntl
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, create_engine

from backends.sqlite_file import prepare


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(connection: Connection) -> None:
    """Bring the database behind the connection to the newest schema, in the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_behind(revision: str | None) -> bool:
    """Whether a database with this revision lacks a step. An unknown revision was made by a newer program, so it lacks none."""
    _, *older = (script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())  # the newest first
    return revision is None or revision in older


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
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            if is_behind(MigrationContext.configure(connection).get_current_revision()):
                upgrade(connection)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
