"""Chats in the database, as they are read."""

from datetime import UTC
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, or_, select

from backends.rights import granted_to
from backends.storage import Row, Storage
from backends.tables import asset_permissions, assets, chats, messages, messages_to_files, users
from schemas.assets import CHAT, AssetPermissionRole, AssetType
from schemas.chats import (
    ChatListItem,
    ChatMessage,
    ChatUserMessage,
    ChatWithMessages,
    ReasoningMessage,
    ResponseMessage,
)

AUTHOR = (users.c.name, users.c.email, users.c.avatar_url)
CHAT_ROW = (
    select(chats, *AUTHOR)
    .join(users, users.c.id == chats.c.created_by)
    .where(chats.c.id == bindparam("chat"), chats.c.deleted_at.is_(None))
)
CHAT_ROLES = select(asset_permissions.c.role).where(
    asset_permissions.c.asset_id == bindparam("chat"),
    asset_permissions.c.asset_type == CHAT,
    granted_to(bindparam("user")),
)
TURNS = (
    select(messages, *AUTHOR)
    .join(users, users.c.id == messages.c.created_by)
    .where(messages.c.chat_id == bindparam("chat"))
    .order_by(messages.c.position)
)


async def find_chat(storage: Storage, user_id: UUID, chat_id: UUID) -> tuple[ChatWithMessages, set[AssetPermissionRole]] | None:
    """The chat and what the user may do with it; None when it does not exist or they may not see it.

    Its creator is its owner; others have what was granted to them.
    """
    found = await storage.fetch_all(CHAT_ROW, chat=chat_id)
    roles = {AssetPermissionRole(row["role"]) for row in await storage.fetch_all(CHAT_ROLES, chat=chat_id, user=user_id)}
    if found and found[0]["created_by"] == user_id:
        roles.add(AssetPermissionRole.OWNER)
    if not found or not roles:
        return None
    return _chat(found[0], await storage.fetch_all(TURNS, chat=chat_id)), roles


async def list_chats(storage: Storage, user_id: UUID, offset: int, limit: int) -> list[ChatListItem]:
    """The chats that the user may see, the newest first."""
    granted = select(asset_permissions.c.asset_id).where(asset_permissions.c.asset_type == CHAT, granted_to(user_id))
    visible = or_(chats.c.created_by == user_id, chats.c.id.in_(granted))
    query = select(chats, users.c.name, users.c.email, users.c.avatar_url).join(users, users.c.id == chats.c.created_by)
    page = query.where(visible, chats.c.deleted_at.is_(None)).order_by(chats.c.created_at.desc(), chats.c.id)
    return [_list_item(row) for row in await storage.fetch_all(page.offset(offset).limit(limit))]


async def linked_files(storage: Storage, chat_id: UUID) -> list[tuple[UUID, AssetType]]:
    """The assets that the chat's messages are about, by id and type, those of the newest message first."""
    query = (
        select(assets.c.id, assets.c.asset_type)
        .join(messages_to_files, messages_to_files.c.file_id == assets.c.id)
        .join(messages, messages.c.id == messages_to_files.c.message_id)
        .where(messages.c.chat_id == chat_id)
        .order_by(messages.c.position.desc(), assets.c.id)
    )
    return list(dict.fromkeys((row["id"], row["asset_type"]) for row in await storage.fetch_all(query)))


def _list_item(row: Row) -> ChatListItem:
    return ChatListItem(
        id=row["id"],
        title=row["title"],
        is_favorited=False,
        created_at=row["created_at"].replace(tzinfo=UTC),
        updated_at=row["updated_at"].replace(tzinfo=UTC),
        last_edited=row["updated_at"].replace(tzinfo=UTC),
        created_by=row["created_by"],
        created_by_id=row["created_by"],
        created_by_name=row["name"] or row["email"],
        created_by_avatar=row["avatar_url"],
    )


def _chat(row: Row, turns: list[Row]) -> ChatWithMessages:
    return ChatWithMessages(
        id=row["id"],
        title=row["title"],
        is_favorited=False,
        message_ids=[turn["id"] for turn in turns],
        messages={turn["id"]: _message(turn) for turn in turns},
        created_at=row["created_at"].replace(tzinfo=UTC),
        updated_at=row["updated_at"].replace(tzinfo=UTC),
        created_by=row["created_by"],
        created_by_id=row["created_by"],
        created_by_name=row["name"] or row["email"],
        created_by_avatar=row["avatar_url"],
    )


def _message(row: Row) -> ChatMessage:
    responses = msgspec.convert(row["response_messages"], list[ResponseMessage])
    reasoning = msgspec.convert(row["reasoning_messages"], list[ReasoningMessage])
    request = row["request"] and ChatUserMessage(
        request=row["request"],
        sender_id=row["created_by"],
        sender_name=row["name"] or row["email"],
        sender_avatar=row["avatar_url"],
    )
    return ChatMessage(
        id=row["id"],
        request_message=request,
        response_message_ids=[response.id for response in responses],
        response_messages={response.id: response for response in responses},
        reasoning_message_ids=[step.id for step in reasoning],
        reasoning_messages={step.id: step for step in reasoning},
        created_at=row["created_at"].replace(tzinfo=UTC),
        final_reasoning_message=row["final_reasoning_message"],
        is_completed=row["is_completed"],
    )
