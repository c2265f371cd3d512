"""SQLite's full-text index keeps what was deleted until it merges the segments that it was written in."""

from sqlalchemy import ClauseElement, Executable, column, func, select, table
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from backends.storage import Storage

PAGES = 1000  # that are written in one transaction: some 0.1 s, for which other writes wait

SEGMENTS = select(func.count(column("segid").distinct()).label("segments")).select_from(table("searchable_words_idx"))
BLOCKS = select(func.count().label("blocks")).select_from(table("searchable_words_data"))


class Merge(Executable, ClauseElement):
    """Merge so many pages; if fewer than none, of all segments, so that nothing deleted is left when it has been done."""

    inherit_cache = False

    def __init__(self, pages: int) -> None:
        self.pages = pages


@compiles(Merge)
def _merge(element: Merge, compiler: SQLCompiler, **options: object) -> str:
    return f"INSERT INTO searchable_words (searchable_words, rank) VALUES ('merge', {element.pages})"  # noqa: S608 (an int)


async def merge_words(storage: Storage) -> None:
    """Merge all segments into one, step by step. What others write meanwhile makes new ones, which are left.

    PostgreSQL has another index, which only an operator can make anew: docs/deploy.md tells how.
    """
    if storage.on_postgres:
        return
    (found,) = await storage.fetch_all(BLOCKS)
    step = Merge(-PAGES)
    for _ in range(found["blocks"] // PAGES + 2):
        (found,) = await storage.fetch_all(SEGMENTS)
        if found["segments"] < 2:
            return
        await storage.write(step)
        step = Merge(PAGES)
