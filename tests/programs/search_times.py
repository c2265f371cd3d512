"""How long a search takes at 100,000 chats, on SQLite and, where its programs are, on PostgreSQL.

`python -m tests.programs.search_times` prints a line for each query; it takes some minutes, most of them to fill the databases.
"""

import asyncio
import itertools
import random
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from backends import migrate, open_storage
from backends.indexing import place_of, scope
from backends.search import find_chats
from backends.storage import Storage
from backends.tables import chats, searchable, users
from backends.words import indexed
from settings import load_settings
from tests.support.postgres import Postgres, programs

CHATS, WORDS, KNOWN = 100_000, 120, 30_000  # chats, words of each, and words that there are, by Zipf's law
BATCH = 200  # chats that are stored in one transaction
ASKED = 21
THEN = datetime(2026, 1, 1, tzinfo=UTC)
ONE, OTHER = UUID(int=1), UUID(int=2)
QUERIES = {  # `everywhere` is in all chats, `elsewhere` in those that are not ONE's
    "a word of all chats": "everywhere",
    "the beginning of one": "every",
    "two letters": "ev",
    "a rare word": "rare",
    "a frequent and a rare word": "everywhere rare",
    "a word of others' chats": "elsewhere",
    "no word of any chat": "nowhere",
}
OWNERS: dict[str, Callable[[int], UUID]] = {
    "one user has all": lambda number: ONE,
    "two have half each": lambda number: (ONE, OTHER)[number % 2],
}


def rows(owner_of: Callable[[int], UUID]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Chats, and their words."""
    chance = random.Random(1)
    known = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 10))) for _ in range(KNOWN)]
    often = list(itertools.accumulate(1 / (number + 1) for number in range(KNOWN)))
    for number in range(CHATS):
        id, at, owner = UUID(int=chance.getrandbits(128)), THEN + timedelta(seconds=number), owner_of(number)
        said = ["everywhere", *chance.choices(known, cum_weights=often, k=WORDS), *(["rare"] if number % 1000 == 0 else [])]
        said += ["elsewhere"] if owner != ONE else []
        words = " ".join([scope("user", owner), *indexed([" ".join(said)])])
        yield (
            {"id": id, "title": "Old", "created_by": owner, "created_at": at, "updated_at": at},
            {"place": place_of(at, id), "chat_id": id, "words": words},
        )


async def fill(storage: Storage, owner_of: Callable[[int], UUID]) -> None:
    """Two users, and the chats."""
    for user in (ONE, OTHER):
        times = {"created_at": THEN, "updated_at": THEN}
        await storage.write(sa.insert(users).values(id=user, email=f"{user}@bench.example", **times))
    made = rows(owner_of)
    while batch := list(itertools.islice(made, BATCH)):
        await storage.write(*(change for chat, words in batch for change in ((ADD_CHAT, chat), (ADD_WORDS, words))))


ADD_CHAT, ADD_WORDS = sa.insert(chats), sa.insert(searchable)
INDEX = "ix_searchable_words ON searchable USING gin (words) WITH (fastupdate = off)"  # as migration 0009 makes it


async def on_postgres(url: str, statement: str) -> None:
    """Run what takes longer than the server lets a statement take."""
    import asyncpg  # where there is PostgreSQL there is this

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute(statement)
    await connection.close()


@asynccontextmanager
async def stored(url: str, owner_of: Callable[[int], UUID]) -> AsyncIterator[Storage]:
    settings = load_settings({"THREADCAST_DATABASE_URL": url})
    await migrate(settings)
    if settings.on_postgres:
        await on_postgres(url, "DROP INDEX ix_searchable_words")  # which is made of many rows in a tenth of the time
    async with open_storage(settings) as storage:
        await fill(storage, owner_of)
        if settings.on_postgres:
            await on_postgres(url, f"CREATE INDEX {INDEX}")
        yield storage


async def figures(url: str, owner_of: Callable[[int], UUID]) -> dict[str, float]:
    """Milliseconds for the first page, the median, by what is asked."""
    found = {}
    async with stored(url, owner_of) as storage:
        for name, query in QUERIES.items():
            took = []
            for _ in range(ASKED):
                began = time.perf_counter()
                await find_chats(storage, ONE, query, 0, 25)
                took.append(time.perf_counter() - began)
            found[name] = sorted(took)[ASKED // 2] * 1e3
    return found


async def search_ms() -> dict[str, dict[str, float]]:
    """By database, by who has the chats and what is asked."""
    found: dict[str, dict[str, float]] = {"SQLite": {}, "PostgreSQL": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = _made(Path(name))
        for owners, owner_of in OWNERS.items():
            urls = {"SQLite": f"sqlite+aiosqlite:///{folder}/{owner_of(1)}.db"}
            postgres = await asyncio.to_thread(Postgres, _made(folder / f"{owner_of(1)}")) if programs() else None
            if postgres:
                urls["PostgreSQL"] = postgres.url("postgres").replace("postgresql", "postgresql+asyncpg", 1)
            for database, url in urls.items():
                for asked, took in (await figures(url, owner_of)).items():
                    found[database][f"{asked}, {owners}"] = took
            if postgres:
                postgres.stop()
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # PostgreSQL runs as another account
    return folder


def main() -> None:
    for database, found in asyncio.run(search_ms()).items():
        for name, took in found.items():
            print(f"{took:7.1f} ms  {database:10}  {name}")


if __name__ == "__main__":
    main()
