"""Where rows are kept: the storage's interface, what can go wrong with it, and a probe that finds out."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import anyio
from sqlalchemy import Executable, Select, select, update

from backends.tables import probes

Row = Mapping[str, Any]
Change = Executable | tuple[Executable, Mapping[str, Any]]

logger = logging.getLogger("threadcast")


class Storage(Protocol):
    """Rows in and out, by SQLAlchemy Core statements.

    A statement that is a constant of its module, its values given beside it by the names of its parameters or columns, is
    compiled once; one that is made where it is used is compiled at each use, which takes ten times as long as running it.
    """

    async def fetch_all(self, query: Select[Any], *, turn: UUID | None = None, **values: object) -> list[Row]:
        """Rows as mappings by column name.

        A query with a large result names the user whose `turn` it takes: users wait in turn, and small queries do not wait.
        """

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        """All of them or none, durable on return. Changes of one call see each other; nobody sees half of them.

        `only_if` comes first of them, and when it changes no row nothing is written, and the answer is False. Raises Conflict.
        """

    @property
    def on_postgres(self) -> bool:
        """Whether it is PostgreSQL: full-text search is no part of standard SQL."""

    @property
    def apart(self) -> "Storage":
        """The same rows, for writes that do not wait behind others: a node with much to write must still renew its lease."""


class Committed(NamedTuple):
    """Called after each commit: with how many writes it had, and with the seconds that it took."""

    writes: Callable[[int], None]
    seconds: Callable[[float], None]


class Conflict(Exception):
    """A row that must be unique exists already, or a row that must exist is missing."""


class DatabaseAway(Exception):
    """The database cannot do this now, and perhaps later: it is locked, full, or not there. The cause says more."""


class NothingStored(DatabaseAway):
    """The database cannot do this now, and has stored nothing of it. After another error nobody knows what was stored."""


class Unusable(Exception):
    """The database cannot be opened as it is. The message says why, in one line."""


class SchemaBehind(Exception):
    """The database's schema lacks a step that this program needs."""


class DatabaseGone(NothingStored):
    """The database's file was deleted, moved or replaced while it was open."""


class DatabaseBusy(NothingStored):
    """Another process has held the write lock for too long."""


READ_PROBE = select(probes)
WRITE_PROBE = update(probes).values(writes=probes.c.writes + 1)
PROBE_S = 1.0  # seconds that a result is kept: anybody may ask, without a token, and each check is a write
CHECK_S = 10.0  # the most seconds that a check may take


class Probe:
    """Checks whether the database answers and takes writes: one that is locked, full or read-only may only answer."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._checking: asyncio.Task[None] | None = None  # one check for all who ask meanwhile
        self._checked_at = -math.inf
        self._error: Exception | None = None

    async def check(self) -> None:
        """Raises DatabaseGone, or DatabaseAway when the database does not answer or takes no writes."""
        if self._checking is None and time.monotonic() - self._checked_at >= PROBE_S:
            self._checking = asyncio.create_task(self._check())
        if self._checking:
            await asyncio.shield(self._checking)
        if self._error:
            kind = DatabaseGone if isinstance(self._error, DatabaseGone) else DatabaseAway
            raise kind("the database does not answer, or takes no writes") from self._error

    async def _check(self) -> None:
        before, self._error = self._error, None
        try:
            with anyio.fail_after(CHECK_S):
                await self._storage.fetch_all(READ_PROBE)
                await self._storage.write(WRITE_PROBE)
        except Exception as error:
            self._error = error
            if before is None:  # one line for each outage
                logger.warning("the database does not answer, or takes no writes", exc_info=True)
        else:
            if before:
                logger.info("the database is there again")
        self._checking, self._checked_at = None, time.monotonic()
