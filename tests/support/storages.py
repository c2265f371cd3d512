"""A storage with no users but those that the test adds."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Insert, insert, select

from backends import open_storage
from backends.storage import Storage
from backends.tables import users
from settings import Settings
from tests.support.world import uuid


@pytest.fixture
def template() -> str:
    """PostgreSQL's database to copy: the one without the world."""
    return "migrated"


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened_storage:
        yield opened_storage


def user(number: int, email: str | None = None) -> Insert:
    now = datetime.now(UTC)
    return insert(users).values(
        id=uuid(number), email=email or f"{number}@x.example", name=None, avatar_url=None, created_at=now, updated_at=now
    )


async def ids(storage: Storage) -> set[UUID]:
    return {row["id"] for row in await storage.fetch_all(select(users.c.id))}
