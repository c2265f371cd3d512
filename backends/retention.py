"""What is kept for how long, and for whom: deleted chats are erased in the end, and a person may have all that is kept."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, bindparam, delete, insert, literal, or_, select, update

from backends.sqlite_words import merge_words
from backends.storage import Storage
from backends.tables import (
    api_keys,
    asset_permissions,
    assets,
    chats,
    favorites,
    messages,
    messages_to_files,
    organization_members,
    sweeps,
    team_members,
    users,
)
from schemas.assets import CHAT, AssetType, IdentityType

AT_ONCE = 50  # chats that are erased in one transaction: others wait behind it
SWEEP = timedelta(hours=1)

CLAIM = update(sweeps).where(sweeps.c.swept_at < bindparam("hour_ago"))
DELETED = select(chats.c.id).where(chats.c.deleted_at < bindparam("before")).limit(AT_ONCE)
OF_CHAT = messages.c.chat_id == bindparam("chat")
ERASE = (
    delete(messages_to_files).where(messages_to_files.c.message_id.in_(select(messages.c.id).where(OF_CHAT))),
    delete(favorites).where(favorites.c.chat_id == bindparam("chat")),
    delete(asset_permissions).where(asset_permissions.c.asset_id == bindparam("chat"), asset_permissions.c.asset_type == CHAT),
    delete(messages).where(OF_CHAT),
    delete(chats).where(chats.c.id == bindparam("chat")),
)

mine: Any = bindparam("user")
KEPT: dict[str, Select[Any]] = {
    "user": select(users).where(users.c.id == mine),
    "organization": select(organization_members).where(organization_members.c.user_id == mine),
    "team": select(team_members).where(team_members.c.user_id == mine),
    "api_key": select(api_keys.c.owner_id, api_keys.c.created_at, api_keys.c.deleted_at).where(api_keys.c.owner_id == mine),
    "asset": select(assets).where(assets.c.created_by == mine),
    "permission": select(asset_permissions).where(
        asset_permissions.c.identity_type == IdentityType.USER.value, asset_permissions.c.identity_id == mine
    ),
    "chat": select(chats).where(chats.c.created_by == mine).order_by(chats.c.created_at),
    "favorite": select(favorites).where(favorites.c.user_id == mine),
    "message": select(messages)
    .join(chats, chats.c.id == messages.c.chat_id)
    .where(or_(messages.c.created_by == mine, chats.c.created_by == mine))
    .order_by(messages.c.chat_id, messages.c.position),
}


NOBODY = UUID(int=0)  # whose an asset is whose author was erased: it belongs to its organization
ADD_NOBODY = insert(users).from_select(
    ["id", "email", "created_at", "updated_at"],
    select(
        bindparam("nobody", type_=users.c.id.type),
        literal("erased@invalid"),
        bindparam("now", type_=users.c.created_at.type),
        bindparam("now", type_=users.c.created_at.type),
    ).where(~select(users.c.id).where(users.c.id == bindparam("nobody")).exists()),
)
THEIR_CHATS = select(chats.c.id).where(chats.c.created_by == mine).limit(AT_ONCE)
theirs = select(messages.c.id).where(messages.c.created_by == mine)
FORGET = (
    delete(messages_to_files).where(messages_to_files.c.message_id.in_(theirs)),
    delete(messages).where(messages.c.created_by == mine),  # in chats of others
    delete(favorites).where(favorites.c.user_id == mine),
    delete(asset_permissions).where(
        asset_permissions.c.identity_type == IdentityType.USER.value, asset_permissions.c.identity_id == mine
    ),
    delete(organization_members).where(organization_members.c.user_id == mine),
    delete(team_members).where(team_members.c.user_id == mine),
    delete(api_keys).where(api_keys.c.owner_id == mine),
    delete(users).where(users.c.id == mine),
)
LEAVE_ASSETS = update(assets).where(assets.c.created_by == mine)


async def erase_person(storage: Storage, user_id: UUID) -> None:
    """Leave nothing of a person, and with the last transaction not even the user: until then it can be done again.

    Their chats go with all that anybody has said in them. Assets stay, since they belong to an organization, without author.
    """
    while found := await storage.fetch_all(THEIR_CHATS, user=user_id):
        await storage.write(*((statement, {"chat": row["id"]}) for row in found for statement in ERASE))
    nobody = ADD_NOBODY, {"nobody": NOBODY, "now": datetime.now(UTC)}
    assets_left = LEAVE_ASSETS, {"user": user_id, "created_by": NOBODY}
    await storage.write(nobody, assets_left, *((statement, {"user": user_id}) for statement in FORGET))
    await merge_words(storage)


async def claim_sweep(storage: Storage, before: datetime) -> bool:
    """Become the one node that sweeps in this hour, if anything was deleted before this time."""
    if not await storage.fetch_all(DELETED, before=before):
        return False
    now = datetime.now(UTC)
    return await storage.write(only_if=(CLAIM, {"swept_at": now, "hour_ago": now - SWEEP}))


async def erase_deleted(storage: Storage, before: datetime) -> int:
    """Erase the chats that were deleted before this time, with all that belongs to them. How many there were."""
    erased = 0
    while found := await storage.fetch_all(DELETED, before=before):
        await storage.write(*((statement, {"chat": row["id"]}) for row in found for statement in ERASE))
        erased += len(found)
    await merge_words(storage)
    return erased


async def kept_of(storage: Storage, user_id: UUID) -> AsyncIterator[dict[str, Any]]:
    """All that is kept of a person, row by row, also what they have deleted and is not erased yet; of API keys not the key."""
    for kind, query in KEPT.items():
        for row in await storage.fetch_all(query, user=user_id):
            yield {"kind": kind, **{name: str(each) if isinstance(each, AssetType) else each for name, each in row.items()}}
