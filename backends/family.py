"""What a user does with a chat besides posting in it: names, favourites, feedback, copies, deletion. Rights are checked before.

Deletion is soft: a chat that has a time of deletion is there for nobody.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, or_, select, update

from backends.chats import FAVORITE
from backends.messages import INSERT_LINK, INSERT_MESSAGE, Owner, content_of, insert_chat
from backends.rights import granted_to
from backends.storage import Change, Storage
from backends.tables import asset_permissions, chats, favorites, messages, messages_to_files
from schemas.assets import CHAT, AssetPermissionRole
from schemas.chats import ChatWithMessages, Feedback

NOBODY = Owner(None, None)

of_chat = chats.c.id == bindparam("chat")
RENAME = update(chats).where(of_chat, chats.c.deleted_at.is_(None))
HEADING = select(chats.c.title, FAVORITE.label("is_favorited")).where(of_chat)
UNMARK = delete(favorites).where(favorites.c.user_id == bindparam("user"), favorites.c.chat_id == bindparam("chat"))
MARK = insert(favorites)
FEEDBACK = update(messages).where(messages.c.id == bindparam("message"))
owned = select(asset_permissions.c.asset_id).where(
    asset_permissions.c.asset_type == CHAT,
    asset_permissions.c.role == AssetPermissionRole.OWNER.value,
    granted_to(bindparam("user")),
)
OWN = select(chats.c.id).where(of_chat, or_(chats.c.created_by == bindparam("user"), chats.c.id.in_(owned)))
DELETE = update(chats).where(of_chat, chats.c.deleted_at.is_(None))
STATES = select(messages.c.id, messages.c.state).where(messages.c.chat_id == bindparam("chat"), messages.c.state.is_not(None))
LINKS = (
    select(messages_to_files.c.message_id, messages_to_files.c.file_id, messages_to_files.c.version_number)
    .join(messages, messages.c.id == messages_to_files.c.message_id)
    .where(messages.c.chat_id == bindparam("chat"))
)


async def rename_chat(storage: Storage, chat_id: UUID, title: str) -> None:
    """Name the chat. A post that has read it before reads it again."""
    await storage.write((RENAME, {"chat": chat_id, "title": title, "updated_at": datetime.now(UTC)}))


async def find_heading(storage: Storage, user_id: UUID, chat_id: UUID) -> tuple[str, bool]:
    """The chat's title as it is stored, and whether it is a favourite of the user's."""
    (found,) = await storage.fetch_all(HEADING, chat=chat_id, user=user_id)
    return found["title"], found["is_favorited"]


async def mark_chat(storage: Storage, user_id: UUID, chat_id: UUID, is_favorite: bool) -> None:
    """Have the chat among the user's favourites, or not."""
    ids = {"user": user_id, "chat": chat_id}
    mark = {"user_id": user_id, "chat_id": chat_id, "created_at": datetime.now(UTC)}
    await storage.write((UNMARK, ids), *([(MARK, mark)] if is_favorite else []))


async def set_feedback(storage: Storage, message_id: UUID, feedback: Feedback | None) -> None:
    await storage.write((FEEDBACK, {"message": message_id, "feedback": feedback}))


async def find_own(storage: Storage, user_id: UUID, chat_ids: tuple[UUID, ...]) -> list[UUID]:
    """Those of the chats that the user owns, also such as are deleted already."""
    found: dict[UUID, None] = {}
    for chat_id in chat_ids:
        if await storage.fetch_all(OWN, user=user_id, chat=chat_id):
            found[chat_id] = None
    return list(found)


async def delete_chats(storage: Storage, chat_ids: list[UUID]) -> None:
    now = datetime.now(UTC)
    await storage.write(*((DELETE, {"chat": chat_id, "deleted_at": now}) for chat_id in chat_ids))


async def store_copy(storage: Storage, original: UUID, copy: ChatWithMessages, ids: dict[UUID, UUID]) -> None:
    """Store a new chat that has messages of another under new `ids`, with what they link to and have left for the next run."""
    states = {row["id"]: row["state"] for row in await storage.fetch_all(STATES, chat=original)}
    changes: list[Change] = [insert_chat(copy)]
    for old, new in ids.items():
        message = copy.messages[new]
        asker = message.request_message.sender_id if message.request_message else copy.created_by
        row: dict[str, Any] = {"id": new, "chat_id": copy.id, "created_by": asker, "created_at": message.created_at}
        content = content_of(message, NOBODY) | {"state": states.get(old)}
        changes.append((INSERT_MESSAGE, {"chat": copy.id, **row, **content}))
    for link in await storage.fetch_all(LINKS, chat=original):
        if link["message_id"] in ids:
            new = ids[link["message_id"]]
            linked = {"message": new, "file": link["file_id"], "version": link["version_number"], "now": copy.updated_at}
            changes.append((INSERT_LINK, linked))
    await storage.write(*changes)
