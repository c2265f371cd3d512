"""Chats in the database: what a dead server left behind is finished, and what is finished meanwhile is left alone."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import Select

from backends import open_storage
from backends.chats import find_chat
from backends.messages import Stored, create_chat, finish_message, finish_orphans
from backends.storage import Change, Row, Storage
from handlers.load_file import load_file
from schemas.chats import ChatMessage, ChatUserMessage, ChatWithMessages, TextResponse
from schemas.users import AuthenticatedUser
from settings import Settings
from tests.conftest import BOTH
from tests.world import ALICE, WORLD, uuid

ENGINES = BOTH

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ME = uuid(900)
USER = AuthenticatedUser(ALICE, "alice@acme.example", "Alice", None, 0)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened:
        await load_file(opened, WORLD)
        yield opened


def unsure(orphan: Stored, closing: UUID) -> None:
    raise AssertionError("the database has said all")


async def unfinished(storage: Storage, number: int, title: str = "") -> ChatWithMessages:
    """A stored chat whose one message nobody has answered."""
    message = ChatMessage(
        uuid(number), ChatUserMessage("What is it?", ALICE, "Alice", None), [], {}, [], {}, NOW, None, is_completed=False
    )
    chat = ChatWithMessages(
        uuid(1000 + number), title, False, [message.id], {message.id: message}, NOW, NOW, ALICE, ALICE, "Alice", None
    )
    await create_chat(storage, chat, message, USER, ME)
    return chat


async def answer(storage: Storage, chat: ChatWithMessages) -> None:
    (message,) = chat.messages.values()
    part = TextResponse(uuid(5), "The answer", None, True)
    message.response_message_ids, message.response_messages = [part.id], {part.id: part}
    assert await finish_message(storage, chat, message, (), ME)


async def message_of(storage: Storage, chat: ChatWithMessages) -> ChatMessage:
    found = await find_chat(storage, ALICE, chat.id)
    assert found
    (message,) = found[0].messages.values()
    return message


async def test_dead_messages_are_finished_as_they_stand_and_their_chats_get_a_title(storage: Storage) -> None:
    untitled, titled = await unfinished(storage, 1), await unfinished(storage, 2, title="Mine")
    assert {orphan.chat_id async for orphan in finish_orphans(storage, ME, unsure)} == {untitled.id, titled.id}
    assert [orphan async for orphan in finish_orphans(storage, ME, unsure)] == []
    for chat, title in ((untitled, "What is it?"), (titled, "Mine")):
        found = await find_chat(storage, ALICE, chat.id)
        assert found
        assert found[0].title == title
        message = await message_of(storage, chat)
        assert (message.is_completed, message.final_reasoning_message) == (True, "Interrupted")


async def test_the_living_and_those_of_other_chats_are_left_alone(storage: Storage) -> None:
    first, second = await unfinished(storage, 1), await unfinished(storage, 2)
    assert [orphan async for orphan in finish_orphans(storage, ME, unsure, {uuid(1)}, first.id)] == []
    assert [orphan.id async for orphan in finish_orphans(storage, ME, unsure, (), first.id)] == [uuid(1)]
    assert not (await message_of(storage, second)).is_completed


class Overtaken:
    """A storage in which a run ends right after its message was read as unfinished."""

    def __init__(self, storage: Storage, chat: ChatWithMessages) -> None:
        self.storage = storage
        self.chat = chat

    async def fetch_all(self, query: Select[tuple[object, ...]], **values: object) -> list[Row]:
        found = await self.storage.fetch_all(query, **values)
        await answer(self.storage, self.chat)
        return found

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        return await self.storage.write(*changes, only_if=only_if)


async def test_a_message_that_is_answered_while_it_is_found_dead_keeps_its_answer(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    assert [orphan async for orphan in finish_orphans(Overtaken(storage, chat), ME, unsure)] == []
    message = await message_of(storage, chat)
    assert message.final_reasoning_message is None
    assert [part.message for part in message.response_messages.values() if isinstance(part, TextResponse)] == ["The answer"]
