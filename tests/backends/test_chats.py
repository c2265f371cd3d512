"""Chats in the database: what a dead server left behind is finished, and what is finished meanwhile is left alone."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import delete, insert, update

from backends.chats import find_chat
from backends.family import delete_chats
from backends.messages import add_message, finish_message, replace_message
from backends.orphans import finish_orphans
from backends.storage import Storage
from backends.stored import Stored
from backends.tables import asset_permissions, chats, nodes
from schemas.assets import CHAT, AssetPermissionRole
from schemas.chats import ChatWithMessages, TextResponse, Usage
from tests.support.house import BOTH
from tests.support.stored import ME, NOW, OWNER, USER, Between, message_of, storage, unfinished, unsure
from tests.support.world import ACME, ALICE, BOB, CAROL, uuid

__all__ = ["storage"]  # the fixture

ENGINES = BOTH


async def answer(storage: Storage, chat: ChatWithMessages) -> None:
    (message,) = chat.messages.values()
    part = TextResponse(uuid(5), "The answer", None, True)
    message.response_message_ids, message.response_messages = [part.id], {part.id: part}
    assert await finish_message(storage, chat, message, (), OWNER)


async def test_dead_messages_are_finished_as_they_stand_and_their_chats_get_a_title(storage: Storage) -> None:
    untitled, titled = await unfinished(storage, 1), await unfinished(storage, 2, title="Mine")
    assert {orphan.chat_id async for orphan in finish_orphans(storage, ME, unsure)} == {untitled.id, titled.id}
    assert [orphan async for orphan in finish_orphans(storage, ME, unsure)] == []
    for chat, title in ((untitled, "What is it?"), (titled, "Mine")):
        found = await find_chat(storage, ALICE, chat.id)
        assert found
        assert found.chat.title == title
        message = await message_of(storage, chat)
        assert (message.is_completed, message.final_reasoning_message) == (True, "Interrupted")


async def test_to_a_chat_that_was_deleted_since_it_was_read_nothing_is_added_but_its_answer_ends(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    (message,) = chat.messages.values()
    await delete_chats(storage, [chat.id])
    for seen in (chat.updated_at, None):
        assert not await add_message(storage, chat, replace(message, id=uuid(7)), USER, OWNER, seen)
        assert not await replace_message(storage, chat, message, OWNER, seen)
    await answer(storage, chat)


async def test_the_living_and_those_of_other_chats_are_left_alone(storage: Storage) -> None:
    first, second = await unfinished(storage, 1), await unfinished(storage, 2)
    assert [orphan async for orphan in finish_orphans(storage, ME, unsure, {uuid(1)}, first.id)] == []
    assert [orphan.id async for orphan in finish_orphans(storage, ME, unsure, (), first.id)] == [uuid(1)]
    assert not (await message_of(storage, second)).is_completed


async def test_a_message_that_is_answered_while_it_is_found_dead_keeps_its_answer(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    assert [orphan async for orphan in finish_orphans(Between(storage, lambda: answer(storage, chat)), ME, unsure)] == []
    message = await message_of(storage, chat)
    assert message.final_reasoning_message is None
    assert [part.message for part in message.response_messages.values() if isinstance(part, TextResponse)] == ["The answer"]


async def test_a_chat_whose_answer_is_stored_while_it_is_read_is_read_before_it_or_after(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    named = replace(chat, title="About it", updated_at=NOW + timedelta(seconds=9))
    found = await find_chat(Between(storage, lambda: answer(storage, named)), ALICE, chat.id)
    after = await find_chat(storage, ALICE, chat.id)
    assert found
    assert after
    assert (found.chat.title, found.chat.updated_at, found.chat.messages[uuid(1)].is_completed) == ("", NOW, False)
    assert (found.running and found.running.id, after.running) == (uuid(1), None)
    assert (after.chat.title, after.chat.updated_at) == (named.title, named.updated_at)
    assert after.chat.messages[uuid(1)].is_completed


async def test_what_is_said_after_a_permission_was_taken_away_is_not_read(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    role = {"identity_type": "user", "identity_id": BOB, "role": "can_view", "created_at": NOW, "updated_at": NOW}
    await storage.write(insert(asset_permissions).values(asset_id=chat.id, asset_type=CHAT, **role))

    async def revoke() -> None:
        await storage.write(delete(asset_permissions).where(asset_permissions.c.asset_id == chat.id))
        await answer(storage, chat)

    found = await find_chat(Between(storage, revoke), BOB, chat.id)
    assert found
    assert found.roles == {AssetPermissionRole.CAN_VIEW}
    assert found.chat.messages[uuid(1)].response_messages == {}
    assert await find_chat(storage, BOB, chat.id) is None


async def test_a_chat_comes_with_who_answers_in_it(storage: Storage) -> None:
    chat = await unfinished(storage, 1)
    for node, change in ((None, None), (ME, insert(nodes).values(id=ME, renewals=0)), (None, delete(nodes))):
        if change is not None:
            await storage.write(change)
        found = await find_chat(storage, ALICE, chat.id)
        assert found
        assert found.running == Stored(uuid(1), chat.id, ALICE, OWNER, node)
    await answer(storage, chat)
    found = await find_chat(storage, ALICE, chat.id)
    assert found
    assert found.running is None


@pytest.mark.parametrize("usage", [None, Usage("m", 11, None, 0)])
async def test_why_an_answer_ended_and_what_it_took_is_read_as_it_was_stored(storage: Storage, usage: Usage | None) -> None:
    chat = await unfinished(storage, 1)
    (message,) = chat.messages.values()
    message.finish_reason, message.usage = "length", usage
    await answer(storage, chat)
    found = await message_of(storage, chat)
    assert (found.finish_reason, found.usage) == ("length", usage)


async def test_a_chat_without_messages_is_a_chat_and_all_roles_count(storage: Storage) -> None:
    row = {"title": "Empty", "created_by": ALICE, "created_at": NOW, "updated_at": NOW, "deleted_at": None}
    await storage.write(insert(chats).values(id=uuid(7), **row))
    for identity_type, id, role in (("user", CAROL, "can_edit"), ("organization", ACME, "can_view"), ("user", BOB, "owner")):
        who = {"identity_type": identity_type, "identity_id": id, "role": role, "created_at": NOW, "updated_at": NOW}
        await storage.write(insert(asset_permissions).values(asset_id=uuid(7), asset_type=CHAT, **who))
    for user_id, roles in ((CAROL, {"can_edit", "can_view"}), (ALICE, {"owner", "can_view"}), (BOB, {"owner"})):
        found = await find_chat(storage, user_id, uuid(7))
        assert found
        assert (found.chat.title, found.chat.message_ids, found.running) == ("Empty", [], None)
        assert found.roles == {AssetPermissionRole(role) for role in roles}
    await storage.write(update(chats).values(deleted_at=NOW))
    assert await find_chat(storage, ALICE, uuid(7)) is None
