"""Users and their API keys."""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import bindparam, insert, select

from backends.storage import Row, Storage
from backends.tables import api_keys, users

USER = select(users).where(users.c.id == bindparam("user"))
KEY_OWNER = (
    select(users)
    .join(api_keys, api_keys.c.owner_id == users.c.id)
    .where(api_keys.c.key_hash == bindparam("key"), api_keys.c.deleted_at.is_(None))
)


def hash_key(key: str) -> str:
    """The form in which an API key is stored. Without salt or stretching: a key is a signed token, which nobody can guess."""
    return hashlib.sha256(key.encode()).hexdigest()


async def find_user(storage: Storage, user_id: UUID) -> Row | None:
    """The user's row."""
    return next(iter(await storage.fetch_all(USER, user=user_id)), None)


async def find_user_by_email(storage: Storage, email: str) -> Row | None:
    """The row of the user with exactly this address."""
    return next(iter(await storage.fetch_all(select(users).where(users.c.email == email))), None)


async def find_key_owner(storage: Storage, key: str) -> Row | None:
    """The row of the user for whom this API key stands, if it stands."""
    return next(iter(await storage.fetch_all(KEY_OWNER, key=hash_key(key))), None)


async def add_api_key(storage: Storage, owner_id: UUID, key: str) -> None:
    """Let `key` stand for its owner."""
    await storage.write(insert(api_keys).values(key_hash=hash_key(key), owner_id=owner_id, created_at=datetime.now(UTC)))
