"""Chats in the database, as they are read."""

from datetime import UTC
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Text, and_, bindparam, case, func, literal_column, or_, select, type_coerce

from backends.messages import Owner, size_of_message, unfinished
from backends.rights import granted_to
from backends.storage import Row, Storage
from backends.stored import Stored
from backends.tables import asset_permissions, assets, chats, favorites, messages, messages_to_files, nodes, users
from schemas.assets import CHAT, AssetPermissionRole, AssetType
from schemas.chats import (
    Approval,
    ChatMessage,
    ChatUserMessage,
    ChatWithMessages,
    ReasoningMessage,
    ResponseMessage,
    Usage,
)

RESPONSES = msgspec.json.Decoder(list[ResponseMessage])
APPROVALS = msgspec.json.Decoder(list[Approval])
USAGE = msgspec.json.Decoder(Usage | None)
REASONING = msgspec.json.Decoder(list[ReasoningMessage])

sender = users.alias()
COMMA: Any = literal_column("','")  # a str would become a parameter, known only when the statement runs
GRANTED = (
    select(func.aggregate_strings(asset_permissions.c.role, COMMA))
    .where(
        asset_permissions.c.asset_id == bindparam("chat"),
        asset_permissions.c.asset_type == CHAT,
        granted_to(bindparam("user")),
    )
    .scalar_subquery()
)
FAVORITE = (
    select(favorites.c.chat_id).where(favorites.c.chat_id == chats.c.id, favorites.c.user_id == bindparam("user")).exists()
)
visible = chats.c.deleted_at.is_(None), or_(chats.c.created_by == bindparam("user"), GRANTED.is_not(None))
CHAT_ROLES = select(chats.c.created_by, GRANTED.label("roles")).where(chats.c.id == bindparam("chat"), *visible)
# A chat, what the user may do with it, and who answers in it: in one statement, so that all of it is of one moment.
CHAT_TURNS = (
    select(
        chats.c.title,
        chats.c.created_by,
        chats.c.created_at,
        chats.c.updated_at,
        users.c.name,
        users.c.email,
        users.c.avatar_url,
        GRANTED.label("roles"),
        *(column.label(f"message_{column.key}") for column in (messages.c.id, messages.c.created_by, messages.c.created_at)),
        FAVORITE.label("is_favorited"),
        messages.c.request,
        messages.c.feedback,
        type_coerce(messages.c.response_messages, Text).label("response_messages"),  # decoded only once, into structs
        type_coerce(messages.c.reasoning_messages, Text).label("reasoning_messages"),
        messages.c.final_reasoning_message,
        messages.c.finish_reason,
        type_coerce(messages.c.usage, Text).label("usage"),
        type_coerce(messages.c.approvals, Text).label("approvals"),
        messages.c.is_completed,
        case((unfinished, messages.c.owner)).label("owner"),
        case((unfinished, messages.c.run)).label("run"),
        *(column.label(f"sender_{column.key}") for column in (sender.c.name, sender.c.email, sender.c.avatar_url)),
        nodes.c.id.label("node"),
    )
    .join(users, users.c.id == chats.c.created_by)
    .join(messages, messages.c.chat_id == chats.c.id, isouter=True)
    .join(sender, sender.c.id == messages.c.created_by, isouter=True)
    .join(nodes, and_(unfinished, nodes.c.id == messages.c.owner), isouter=True)
    .where(chats.c.id == bindparam("chat"), *visible)
    .order_by(messages.c.position)
)


class Found(NamedTuple):
    """A chat, and what the user may do with it; its creator is its owner, others have what was granted to them.

    `running` is its unfinished message, where it has one, with the living node that answers it. `sizes` says about how many
    bytes each message takes as JSON, in the chat's order.
    """

    chat: ChatWithMessages
    roles: frozenset[AssetPermissionRole]
    running: Stored | None
    sizes: dict[UUID, int]


async def find_chat(storage: Storage, user_id: UUID, chat_id: UUID) -> Found | None:
    """The chat as it stands at one moment; None when it does not exist or the user may not see it."""
    found = await storage.fetch_all(CHAT_TURNS, turn=user_id, chat=chat_id, user=user_id)
    if not found:
        return None
    turns = [row for row in found if row["message_id"]]  # a chat without messages is one row without a message
    running = next((_running(chat_id, turn) for turn in turns if not turn["is_completed"]), None)
    sizes = {turn["message_id"]: _size(turn) for turn in turns}
    return Found(_chat(chat_id, found[0], turns), _roles(found[0], user_id), running, sizes)


async def find_roles(storage: Storage, user_id: UUID, chat_id: UUID) -> frozenset[AssetPermissionRole] | None:
    """What the user may do with the chat, without the chat; None when it does not exist or the user may not see it."""
    found = await storage.fetch_all(CHAT_ROLES, chat=chat_id, user=user_id)
    return _roles(found[0], user_id) if found else None


def _roles(row: Row, user_id: UUID) -> frozenset[AssetPermissionRole]:
    granted: str = row["roles"] or ""
    roles = {AssetPermissionRole(role) for role in granted.split(",") if role}
    if row["created_by"] == user_id:
        roles.add(AssetPermissionRole.OWNER)
    return frozenset(roles)


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


def _size(turn: Row) -> int:
    parts: tuple[str, ...] = turn["response_messages"], turn["reasoning_messages"], turn["approvals"] or ""  # as JSON
    return size_of_message(turn["request"]) + sum(len(part) if part.isascii() else len(part.encode()) for part in parts)


def _running(chat_id: UUID, turn: Row) -> Stored:
    owner = Owner(turn["owner"], turn["run"])
    return Stored(turn["message_id"], chat_id, turn["message_created_by"], owner, turn["node"])


def _chat(chat_id: UUID, row: Row, turns: list[Row]) -> ChatWithMessages:
    return ChatWithMessages(
        id=chat_id,
        title=row["title"],
        is_favorited=row["is_favorited"],
        message_ids=[turn["message_id"] for turn in turns],
        messages={turn["message_id"]: _message(turn) for turn in turns},
        created_at=row["created_at"].replace(tzinfo=UTC),
        updated_at=row["updated_at"].replace(tzinfo=UTC),
        created_by=row["created_by"],
        created_by_id=row["created_by"],
        created_by_name=row["name"] or row["email"],
        created_by_avatar=row["avatar_url"],
    )


def _message(row: Row) -> ChatMessage:
    responses, reasoning = RESPONSES.decode(row["response_messages"]), REASONING.decode(row["reasoning_messages"])
    request = row["request"] and ChatUserMessage(
        request=row["request"],
        sender_id=row["message_created_by"],
        sender_name=row["sender_name"] or row["sender_email"],
        sender_avatar=row["sender_avatar_url"],
    )
    return ChatMessage(
        id=row["message_id"],
        request_message=request,
        response_message_ids=[response.id for response in responses],
        response_messages={response.id: response for response in responses},
        reasoning_message_ids=[step.id for step in reasoning],
        reasoning_messages={step.id: step for step in reasoning},
        created_at=row["message_created_at"].replace(tzinfo=UTC),
        final_reasoning_message=row["final_reasoning_message"],
        is_completed=row["is_completed"],
        finish_reason=row["finish_reason"],
        usage=row["usage"] and USAGE.decode(row["usage"]),
        feedback=row["feedback"],
        approvals=APPROVALS.decode(row["approvals"]) if row["approvals"] else msgspec.UNSET,
    )
