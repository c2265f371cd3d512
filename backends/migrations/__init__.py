"""The database's schema, step by step; each step stands in `versions`."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine


def migrate_sqlite(path: Path) -> None:
    """Bring the database at `path` to the newest schema, creating it when there is none. Blocks; safe to run twice at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the second of two starts waits here and finds nothing to do
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
