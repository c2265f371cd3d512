"""Chats and their messages in the database. Each function that writes is one transaction."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Insert, insert, select, update

from backends.rights import granted_to
from backends.storage import Row, Storage
from backends.tables import asset_permissions, chats, messages, messages_to_files, users
from schemas.assets import CHAT, Asset, AssetPermissionRole
from schemas.chats import ChatMessage, ChatUserMessage, ChatWithMessages, ReasoningMessage, ResponseMessage
from schemas.users import AuthenticatedUser

TITLE_WORDS = 8  # of a prompt, where no title was made: about what fits one line of a list


async def create_chat(storage: Storage, chat: ChatWithMessages, message: ChatMessage, user: AuthenticatedUser) -> None:
    """Store a new chat with its first message."""
    row = insert(chats).values(
        id=chat.id,
        title=chat.title,
        created_by=chat.created_by,
        created_at=chat.created_at,
        updated_at=chat.updated_at,
    )
    await storage.write(row, _insert_message(chat.id, message, user))


async def add_message(storage: Storage, chat: ChatWithMessages, message: ChatMessage, user: AuthenticatedUser) -> None:
    """Store a new message of a chat that exists."""
    touch = update(chats).where(chats.c.id == chat.id).values(updated_at=chat.updated_at)
    await storage.write(_insert_message(chat.id, message, user), touch)


async def finish_message(storage: Storage, chat: ChatWithMessages, message: ChatMessage, files: Sequence[Asset]) -> None:
    """Store what was answered, the title, and the assets that the message is about."""
    answer = (
        update(messages)
        .where(messages.c.id == message.id)
        .values(
            response_messages=_builtins(message.response_message_ids, message.response_messages),
            reasoning_messages=_builtins(message.reasoning_message_ids, message.reasoning_messages),
            final_reasoning_message=message.final_reasoning_message,
            is_completed=message.is_completed,
            updated_at=chat.updated_at,
        )
    )
    title = update(chats).where(chats.c.id == chat.id).values(title=chat.title, updated_at=chat.updated_at)
    links = [
        insert(messages_to_files).values(
            message_id=message.id, file_id=file.id, version_number=file.version_number, created_at=chat.updated_at
        )
        for file in files
    ]
    await storage.write(answer, title, *links)


async def finish_dead_messages(storage: Storage) -> int:
    """Finish, as they stand, the messages that a server left unfinished when it was killed. Returns how many.

    To be called before this server runs anything: until then no unfinished message can be alive.
    """
    dead = await storage.fetch_all(
        select(messages.c.id, messages.c.request, chats.c.id.label("chat_id"), chats.c.title)
        .join(chats, chats.c.id == messages.c.chat_id)
        .where(messages.c.is_completed == False)  # noqa: E712  (as the index `ix_messages_unfinished` says it)
    )
    now = datetime.now(UTC)
    for row in dead:
        finish = update(messages).where(messages.c.id == row["id"])
        title = row["title"] or title_from(row["request"])
        await storage.write(
            finish.values(is_completed=True, final_reasoning_message="Interrupted", updated_at=now),
            update(chats).where(chats.c.id == row["chat_id"]).values(title=title, updated_at=now),
        )
    return len(dead)


async def find_chat(storage: Storage, user_id: UUID, chat_id: UUID) -> tuple[ChatWithMessages, set[AssetPermissionRole]] | None:
    """The chat and what the user may do with it; None when it does not exist or they may not see it.

    Its creator is its owner; others have what was granted to them.
    """
    owned = select(chats, users.c.name, users.c.email, users.c.avatar_url).join(users, users.c.id == chats.c.created_by)
    found = await storage.fetch_all(owned.where(chats.c.id == chat_id, chats.c.deleted_at.is_(None)))
    grants = select(asset_permissions.c.role).where(
        asset_permissions.c.asset_id == chat_id, asset_permissions.c.asset_type == CHAT, granted_to(user_id)
    )
    roles = {AssetPermissionRole(row["role"]) for row in await storage.fetch_all(grants)}
    if found and found[0]["created_by"] == user_id:
        roles.add(AssetPermissionRole.OWNER)
    if not found or not roles:
        return None
    turns = select(messages, users.c.name, users.c.email, users.c.avatar_url).join(users, users.c.id == messages.c.created_by)
    in_order = turns.where(messages.c.chat_id == chat_id).order_by(messages.c.created_at, messages.c.id)
    return _chat(found[0], await storage.fetch_all(in_order)), roles


async def message_exists(storage: Storage, message_id: UUID) -> bool:
    """Whether anybody has a message of this id."""
    return bool(await storage.fetch_all(select(messages.c.id).where(messages.c.id == message_id)))


async def linked_files(storage: Storage, chat_id: UUID) -> list[UUID]:
    """The ids of the assets that the chat's messages are about, those of the newest message first."""
    query = (
        select(messages_to_files.c.file_id)
        .join(messages, messages.c.id == messages_to_files.c.message_id)
        .where(messages.c.chat_id == chat_id)
        .order_by(messages.c.created_at.desc(), messages_to_files.c.file_id)
    )
    return list(dict.fromkeys(row["file_id"] for row in await storage.fetch_all(query)))


def title_from(request: str | None) -> str:
    """A title where none was made: the request's first words."""
    return " ".join((request or "").split()[:TITLE_WORDS])[:100]


def _insert_message(chat_id: UUID, message: ChatMessage, user: AuthenticatedUser) -> Insert:
    return insert(messages).values(
        id=message.id,
        chat_id=chat_id,
        request=message.request_message and message.request_message.request,
        response_messages=[],
        reasoning_messages=[],
        final_reasoning_message=message.final_reasoning_message,
        is_completed=False,
        created_by=user.id,
        created_at=message.created_at,
        updated_at=message.created_at,
    )


def _builtins(ids: list[UUID], by_id: dict[UUID, Any]) -> Any:
    return msgspec.to_builtins([by_id[id] for id in ids])


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
