"""The world of `world.py` in a database, made once for each process of the tests: after that, copied."""

from backends import open_storage
from handlers.load_file import load_file
from settings import Settings
from tests.support.database import count, where
from tests.support.world import WORLD

_made: list[bytes] = []  # a SQLite file with the world in it


async def settle(settings: Settings) -> None:
    """Have the world in the database, unless it is there: most databases on PostgreSQL are copies of one that has it."""
    if settings.on_postgres:
        if not count(where(settings), "users"):
            await load_world(settings)
    elif not settings.database_path.exists():
        if not _made:
            await load_world(settings)
            _made.append(settings.database_path.read_bytes())
        settings.database_path.write_bytes(_made[0])


async def load_world(settings: Settings) -> None:
    """Load it, into whatever database."""
    async with open_storage(settings) as storage:
        await load_file(storage, WORLD)
