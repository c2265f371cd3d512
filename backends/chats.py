"""Chats and their messages in the database. Each function that writes is one transaction."""

from collections.abc import Container, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, insert, or_, select, true, update

from backends.rights import granted_to
from backends.storage import Change, Row, Storage
from backends.tables import asset_permissions, assets, chats, messages, messages_to_files, users
from schemas.assets import CHAT, Asset, AssetPermissionRole, AssetType
from schemas.chats import (
    ChatListItem,
    ChatMessage,
    ChatUserMessage,
    ChatWithMessages,
    ReasoningMessage,
    ResponseMessage,
)
from schemas.users import AuthenticatedUser

unfinished = messages.c.is_completed == False  # noqa: E712  (as the index `ix_messages_unfinished` says it)

TITLE_WORDS = 8  # of a prompt, where no title was made: about what fits one line of a list


INSERT_CHAT = insert(chats)
INSERT_MESSAGE = insert(messages)
INSERT_LINK = insert(messages_to_files)
UPDATE_CHAT = update(chats).where(chats.c.id == bindparam("chat"))
UPDATE_MESSAGE = update(messages).where(messages.c.id == bindparam("message"))


async def create_chat(storage: Storage, chat: ChatWithMessages, message: ChatMessage, user: AuthenticatedUser) -> None:
    """Store a new chat with its first message."""
    row = {
        "id": chat.id,
        "title": chat.title,
        "created_by": chat.created_by,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
    }
    await storage.write((INSERT_CHAT, row), _insert_message(chat.id, message, user))


async def add_message(storage: Storage, chat: ChatWithMessages, message: ChatMessage, user: AuthenticatedUser) -> None:
    """Store a new message of a chat that exists."""
    await storage.write(_insert_message(chat.id, message, user), _touch(chat))


async def finish_message(storage: Storage, chat: ChatWithMessages, message: ChatMessage, files: Sequence[Asset]) -> None:
    """Store what was answered, as finished, the title, and the assets that the message is about."""
    answer = {
        "message": message.id,
        "response_messages": [message.response_messages[id] for id in message.response_message_ids],
        "reasoning_messages": [message.reasoning_messages[id] for id in message.reasoning_message_ids],
        "final_reasoning_message": message.final_reasoning_message,
        "is_completed": True,
        "updated_at": chat.updated_at,
    }
    title = {"chat": chat.id, "title": chat.title, "updated_at": chat.updated_at}
    links = [
        {
            "message_id": message.id,
            "file_id": file.id,
            "version_number": file.version_number,
            "created_at": chat.updated_at,
        }
        for file in files
    ]
    await storage.write((UPDATE_MESSAGE, answer), (UPDATE_CHAT, title), *((INSERT_LINK, link) for link in links))


async def finish_dead_messages(storage: Storage, chat_id: UUID | None = None, alive: Container[UUID] = ()) -> int:
    """Finish as they stand the unfinished messages, of one chat or of all, that are not `alive`. Returns how many.

    They are what a killed server or an unreachable database left behind. A message whose run ends meanwhile is left alone.
    """
    of_chat = messages.c.chat_id == chat_id if chat_id else true()
    query = select(messages.c.id, messages.c.request, messages.c.chat_id).where(unfinished, of_chat)
    dead = [row for row in await storage.fetch_all(query) if row["id"] not in alive]
    now = datetime.now(UTC)
    for row in dead:
        await storage.write(
            update(messages)
            .where(messages.c.id == row["id"], unfinished)
            .values(is_completed=True, final_reasoning_message="Interrupted", updated_at=now),
            update(chats).where(chats.c.id == row["chat_id"], chats.c.title == "").values(title=title_from(row["request"])),
        )
    return len(dead)


async def replace_message(storage: Storage, chat: ChatWithMessages, message: ChatMessage) -> None:
    """Discard what was answered to a message of the user, and store what it asks now."""
    again = {"message": message.id, **_unanswered(message)}
    await storage.write((UPDATE_MESSAGE, again), _touch(chat))


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
    .order_by(messages.c.created_at, messages.c.id)
)
MESSAGE = select(messages.c.chat_id, messages.c.created_by).where(messages.c.id == bindparam("message"))


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


async def find_message(storage: Storage, message_id: UUID) -> tuple[UUID, UUID] | None:
    """The ids of the message's chat and of the user whose message it is, whoever asks."""
    found = await storage.fetch_all(MESSAGE, message=message_id)
    return next(((row["chat_id"], row["created_by"]) for row in found), None)


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
        .order_by(messages.c.created_at.desc(), assets.c.id)
    )
    return list(dict.fromkeys((row["id"], row["asset_type"]) for row in await storage.fetch_all(query)))


def title_from(request: str | None) -> str:
    """A title where none was made: the request's first words."""
    return " ".join((request or "").split()[:TITLE_WORDS])[:100]


def _insert_message(chat_id: UUID, message: ChatMessage, user: AuthenticatedUser) -> Change:
    row = {"id": message.id, "chat_id": chat_id, "created_by": user.id, "created_at": message.created_at}
    return INSERT_MESSAGE, row | _unanswered(message)


def _unanswered(message: ChatMessage) -> dict[str, Any]:
    return {
        "request": message.request_message.request if message.request_message else None,
        "response_messages": [],
        "reasoning_messages": [],
        "final_reasoning_message": None,
        "is_completed": False,
        "updated_at": datetime.now(UTC),
    }


def _touch(chat: ChatWithMessages) -> Change:
    return UPDATE_CHAT, {"chat": chat.id, "updated_at": chat.updated_at}


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
