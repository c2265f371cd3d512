"""The database's schema, step by step; each step stands in `versions`."""

import fcntl
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, create_engine


def migrate_sqlite(path: Path) -> None:
    """Bring the database at `path` to the newest schema, creating it when there is none. Blocks; safe to run twice at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = create_engine(URL.create("sqlite", database=str(path)), isolation_level="AUTOCOMMIT")
    try:
        # Of two first starts the second waits here, and finds nothing to do. A lock of SQLite's own would not do: turning
        # on WAL fails at once, whatever the time-out, while another connection writes.
        with open(f"{path}.migrating", "w") as lock, engine.connect() as connection:
            fcntl.flock(lock, fcntl.LOCK_EX)
            connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
