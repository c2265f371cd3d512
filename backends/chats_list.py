"""The list of the chats that a user may see, a page at a time."""

from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, bindparam, select, union_all

from backends.chats import FAVORITE, visible
from backends.rights import granted_to
from backends.storage import Row, Storage
from backends.tables import asset_permissions, assets, chats, messages, messages_to_files, users
from schemas.assets import CHAT
from schemas.chats import ChatListItem


def _newest_first(found: FromClause) -> tuple[ColumnElement[Any], ...]:
    return found.c.created_at.desc(), found.c.id.desc()


def _up_to_the_page(*which: ColumnElement[bool]) -> Select[Any]:
    """The chats from the newest to the end of the page, of which PAGE takes the last."""
    found = select(chats.c.id, chats.c.created_at).where(*which, chats.c.deleted_at.is_(None))
    return select(found.order_by(*_newest_first(chats)).limit(bindparam("end")).subquery())


# The user's own chats are found apart from those of others, since an index has them in the list's order.
SHARED = select(asset_permissions.c.asset_id).where(asset_permissions.c.asset_type == CHAT, granted_to(bindparam("user")))
listed = union_all(
    _up_to_the_page(chats.c.created_by == bindparam("user")),
    _up_to_the_page(chats.c.created_by != bindparam("user"), chats.c.id.in_(SHARED)),
).subquery()
page = select(listed).order_by(*_newest_first(listed)).limit(bindparam("size")).offset(bindparam("offset")).subquery()

# The asset that a chat was about last.
LATEST = (
    select(messages_to_files.c.file_id)
    .join(messages, messages.c.id == messages_to_files.c.message_id)
    .join(assets, assets.c.id == messages_to_files.c.file_id)
    .where(messages.c.chat_id == chats.c.id)
    .order_by(messages.c.position.desc(), assets.c.id)
    .limit(1)
    .correlate(chats)
)
ITEM = select(
    chats,
    users.c.name,
    users.c.email,
    users.c.avatar_url,
    FAVORITE.label("is_favorited"),
    LATEST.scalar_subquery().label("file_id"),
    LATEST.with_only_columns(assets.c.asset_type).scalar_subquery().label("file_type"),
    LATEST.with_only_columns(messages_to_files.c.version_number).scalar_subquery().label("file_version"),
).join(users, users.c.id == chats.c.created_by)
PAGE = ITEM.join(page, page.c.id == chats.c.id).order_by(*_newest_first(page))
ONE = ITEM.where(chats.c.id == bindparam("chat"), *visible)


async def list_chats(storage: Storage, user_id: UUID, offset: int, size: int) -> list[ChatListItem]:
    """A page of the chats that the user may see, the newest first."""
    page = await storage.fetch_all(PAGE, turn=user_id, user=user_id, end=offset + size, size=size, offset=offset)
    return [list_item(row) for row in page]


async def find_list_item(storage: Storage, user_id: UUID, chat_id: UUID) -> ChatListItem | None:
    """The chat as the user's list has it; None when it does not exist or the user may not see it."""
    found = await storage.fetch_all(ONE, user=user_id, chat=chat_id)
    return list_item(found[0]) if found else None


def list_item(row: Row) -> ChatListItem:
    return ChatListItem(
        id=row["id"],
        title=row["title"],
        is_favorited=row["is_favorited"],
        created_at=row["created_at"].replace(tzinfo=UTC),
        updated_at=row["updated_at"].replace(tzinfo=UTC),
        last_edited=row["updated_at"].replace(tzinfo=UTC),
        created_by=row["created_by"],
        created_by_id=row["created_by"],
        created_by_name=row["name"] or row["email"],
        created_by_avatar=row["avatar_url"],
        latest_file_id=row["file_id"],
        latest_file_type=row["file_type"] and str(row["file_type"]),
        latest_version_number=row["file_version"],
    )
