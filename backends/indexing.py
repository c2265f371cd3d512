"""Makes the words of chats that have changed, which triggers have named in `unindexed`.

An answer that streams is stored often, so a chat is indexed only later: when its user searches, or by a node that has time.
Words are stored only if what had named the chat is still there: whoever has read a later state of the chat took that away.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import anyio.to_thread
import msgspec
from sqlalchemy import Text, and_, bindparam, delete, insert, or_, select, type_coerce

from backends.chats_list import SHARED
from backends.storage import Conflict, DatabaseAway, Row, Storage
from backends.tables import asset_permissions, chats, messages, searchable, unindexed
from backends.words import indexed
from schemas.assets import CHAT, IdentityType

AT_ONCE = 50  # chats that are indexed before anybody waits no longer for them: some 50 ms
LATEST = 1000  # changes among which a search looks for those of its user: older ones wait for a node that has time
PLACES = 2**10  # for chats of the same microsecond
INDEXER = UUID(int=1)  # takes turns with users to read chats
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

logger = logging.getLogger("threadcast")


class Part(msgspec.Struct):
    """A part of an answer: its text, if it has one."""

    message: str | None = None


PARTS = msgspec.json.Decoder(list[Part])

latest = select(unindexed).order_by(unindexed.c.id.desc()).limit(LATEST).subquery()
OF_USER = (
    select(latest)
    .join(chats, chats.c.id == latest.c.chat_id)
    .where(or_(chats.c.created_by == bindparam("user"), chats.c.id.in_(SHARED)))
    .order_by(latest.c.id.desc())
    .limit(AT_ONCE)
)
OF_ALL = select(unindexed).order_by(unindexed.c.id.desc()).limit(AT_ONCE)
SAID = (
    select(
        chats.c.title,
        chats.c.created_by,
        chats.c.created_at,
        messages.c.request,
        type_coerce(messages.c.response_messages, Text).label("response_messages"),
    )
    .join(messages, and_(messages.c.chat_id == chats.c.id, messages.c.is_completed), isouter=True)
    .where(chats.c.id == bindparam("chat"), chats.c.deleted_at.is_(None))
    .order_by(messages.c.position.desc())
)
GRANTED = (
    select(asset_permissions.c.identity_type, asset_permissions.c.identity_id)
    .where(asset_permissions.c.asset_id == bindparam("chat"), asset_permissions.c.asset_type == CHAT)
    .distinct()
)
UNMARK = delete(unindexed).where(unindexed.c.id == bindparam("mark"))
FORGET = delete(searchable).where(searchable.c.chat_id == bindparam("chat"))
INSERT = insert(searchable)


def scope(identity_type: str, identity_id: UUID) -> str:
    """The word that a chat has which this identity may see: no text has such a word."""
    return f"_{identity_type}{identity_id.hex}"


async def index_for(storage: Storage, user_id: UUID) -> None:
    """Index what has changed lately of what the user may see, so that it is found. An outage only puts it off."""
    try:
        await _index(storage, await storage.fetch_all(OF_USER, user=user_id))
    except DatabaseAway as error:
        logger.warning("changed chats could not be indexed, and are later", extra={"error": type(error).__name__})


async def index_some(storage: Storage) -> bool:
    """Index the chats that have changed last. Returns whether there were any."""
    found = await storage.fetch_all(OF_ALL)
    await _index(storage, found)
    return bool(found)


async def index_all(storage: Storage) -> None:
    """Index all that has changed."""
    while await index_some(storage):
        pass


async def _index(storage: Storage, changes: Iterable[Row]) -> None:
    marks: dict[UUID, list[int]] = {}
    for change in changes:
        marks.setdefault(change["chat_id"], []).append(change["id"])
    await asyncio.gather(*(_index_chat(storage, chat_id, ids) for chat_id, ids in marks.items()))


async def _index_chat(storage: Storage, chat_id: UUID, marks: list[int]) -> None:
    said = await storage.fetch_all(SAID, turn=INDEXER, chat=chat_id)
    unmarked, *rest = [(UNMARK, {"mark": mark}) for mark in marks]
    if not said:
        await storage.write(*rest, only_if=unmarked)
        return
    granted = await storage.fetch_all(GRANTED, chat=chat_id)
    scopes = {scope(IdentityType.USER.value, said[0]["created_by"])}
    scopes |= {scope(row["identity_type"], row["identity_id"]) for row in granted}
    words = " ".join([*scopes, *await anyio.to_thread.run_sync(_words, said)])
    place = place_of(said[0]["created_at"], chat_id)
    while True:
        row = {"place": place, "chat_id": chat_id, "words": words}
        try:
            await storage.write(*rest, (FORGET, {"chat": chat_id}), (INSERT, row), only_if=unmarked)
        except Conflict:  # another chat of the same moment is there
            place += 1
        else:
            return


def place_of(created_at: datetime, chat_id: UUID) -> int:
    """A number by which chats are in the list's order."""
    return (created_at.replace(tzinfo=UTC) - EPOCH) // MICROSECOND * PLACES + (chat_id.int >> 118)


def _words(said: list[Row]) -> set[str]:
    return indexed(_texts(said))


def _texts(said: list[Row]) -> Iterator[str]:
    """The title, then the messages, the last first: of a chat that is too long its beginning is not found."""
    yield said[0]["title"]
    for row in said:
        yield row["request"] or ""
        try:
            parts: list[Any] = PARTS.decode(row["response_messages"] or "[]")
        except msgspec.MsgspecError:  # a row that is none of ours must not keep the others from being indexed
            continue
        yield from (part.message for part in parts if part.message)
