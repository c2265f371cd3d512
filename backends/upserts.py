"""A load file's rows: what is there is brought up to date, what is not is added, all in one transaction."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Table, and_, delete, exists, insert, literal, select, update

from backends.accounts import hash_key
from backends.storage import Storage
from backends.tables import api_keys, asset_permissions, assets, chats, organization_members, team_members, users
from schemas.assets import CHAT, AssetType
from schemas.load import LoadAsset, LoadFile, LoadPermission, LoadUser


async def find_emails(storage: Storage) -> dict[UUID, str]:
    """The addresses of all users, by user id."""
    return {row["id"]: row["email"] for row in await storage.fetch_all(select(users.c.id, users.c.email))}


async def find_types(storage: Storage) -> dict[UUID, AssetType]:
    """The types of all assets and chats, by id."""
    types = {row["id"]: row["asset_type"] for row in await storage.fetch_all(select(assets.c.id, assets.c.asset_type))}
    return types | {row["id"]: CHAT for row in await storage.fetch_all(select(chats.c.id))}


async def write_file(storage: Storage, file: LoadFile) -> None:
    """Write a file whose references have been checked. A user's memberships become those that the file says."""
    # Addresses are unique, and users may exchange them: so all give up their old ones before any gets a new one.
    statements: list[Executable] = [
        update(users).where(users.c.id == user.id).values(email=str(user.id)) for user in file.users
    ]
    for user in file.users:
        statements += _user(user)
    for asset in file.assets:
        statements += _asset(asset)
    for permission in file.permissions:
        statements += _permission(permission)
    for key in file.api_keys:
        statements += _upsert(api_keys, {"key_hash": hash_key(key.key)}, {"owner_id": key.owner_id, "deleted_at": None})
    await storage.write(*statements)


def _user(user: LoadUser) -> Iterator[Executable]:
    values = {"email": user.email, "name": user.name or None, "updated_at": datetime.now(UTC)}
    yield from _upsert(users, {"id": user.id}, values)
    for table in (organization_members, team_members):
        yield delete(table).where(table.c.user_id == user.id)
    yield insert(organization_members).values(user_id=user.id, organization_id=user.organization_id)
    for team_id in dict.fromkeys(user.team_ids):
        yield insert(team_members).values(user_id=user.id, team_id=team_id)


def _asset(asset: LoadAsset) -> Iterator[Executable]:
    values = {
        "asset_type": asset.asset_type,
        "name": asset.name,
        "content": asset.content,
        "version_number": asset.version_number,
        "organization_id": asset.organization_id,
        "created_by": asset.created_by,
        "updated_at": datetime.now(UTC),
    }
    return _upsert(assets, {"id": asset.id}, values)


def _permission(permission: LoadPermission) -> Iterator[Executable]:
    key = {
        "asset_id": permission.asset_id,
        "asset_type": permission.asset_type,
        "identity_type": permission.identity_type.value,
        "identity_id": permission.identity_id,
    }
    return _upsert(asset_permissions, key, {"role": permission.role.value, "updated_at": datetime.now(UTC)})


def _upsert(table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[Executable]:
    """Update the row, then insert it where there is none: the two statements that every engine has."""
    match = and_(*(table.c[name] == value for name, value in key.items()))
    yield update(table).where(match).values(**values)
    row = {**key, **values, "created_at": datetime.now(UTC)}
    literals = (literal(value, table.c[name].type) for name, value in row.items())
    yield insert(table).from_select(list(row), select(*literals).where(~exists().where(match)))
