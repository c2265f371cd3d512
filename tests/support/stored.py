"""Chats as they are stored, and a storage that changes while it is read."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Select

from backends import open_storage
from backends.chats import find_chat
from backends.messages import Owner, create_chat
from backends.storage import Change, Row, Storage
from backends.stored import Stored
from schemas.chats import ChatMessage, ChatUserMessage, ChatWithMessages
from schemas.users import AuthenticatedUser
from settings import Settings
from tests.support.settling import settle
from tests.support.world import ALICE, uuid

NOW = datetime(2026, 1, 1, tzinfo=UTC)

ME = uuid(900)

OWNER = Owner(ME, None)

USER = AuthenticatedUser(ALICE, "alice@acme.example", "Alice", None, 0)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    await settle(settings)
    async with open_storage(settings) as opened:
        yield opened


def unsure(orphan: Stored, closing: UUID) -> None:
    raise AssertionError("the database has said all")


async def unfinished(storage: Storage, number: int, title: str = "", owner: Owner = OWNER) -> ChatWithMessages:
    """A stored chat whose one message nobody has answered."""
    message = ChatMessage(
        uuid(number), ChatUserMessage("What is it?", ALICE, "Alice", None), [], {}, [], {}, NOW, None, is_completed=False
    )
    chat = ChatWithMessages(
        uuid(1000 + number), title, False, [message.id], {message.id: message}, NOW, NOW, ALICE, ALICE, "Alice", None
    )
    await create_chat(storage, chat, message, USER, owner)
    return chat


async def message_of(storage: Storage, chat: ChatWithMessages) -> ChatMessage:
    found = await find_chat(storage, ALICE, chat.id)
    assert found
    (message,) = found.chat.messages.values()
    return message


class Between:
    """A storage in which something is written after each read."""

    def __init__(self, storage: Storage, *writes: Callable[[], Awaitable[object]]) -> None:
        self.storage = storage
        self.writes = list(writes)
        self.apart, self.on_postgres = storage, storage.on_postgres

    async def fetch_all(self, query: Select[tuple[object, ...]], **values: Any) -> list[Row]:
        found = await self.storage.fetch_all(query, **values)
        if self.writes:
            await self.writes.pop(0)()
        return found

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        return await self.storage.write(*changes, only_if=only_if)
