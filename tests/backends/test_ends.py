"""Ends in the database, for nodes that tell them in the place of others."""

from collections.abc import AsyncIterator
from uuid import UUID

import anyio
import pytest

from backends import open_storage
from backends.ends import ENDS_AT_ONCE, End, find_all_running, find_ends, take_over
from backends.messages import Owner, create_chat, finish_message
from backends.nodes import Membership
from backends.storage import Storage
from schemas.chats import ChatMessage, ChatWithMessages
from schemas.users import AuthenticatedUser
from settings import Settings
from tests.support.containers import NOW
from tests.support.house import BOTH
from tests.support.settling import settle
from tests.support.world import ALICE, MISSING, uuid

ENGINES = BOTH
USER = AuthenticatedUser(ALICE, "alice@acme.example", "Alice", None, expires_at=0)
DEAD = Owner(uuid(900), None)


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    await settle(settings)
    async with open_storage(settings) as opened:
        yield opened


async def asked(storage: Storage, number: int, owner: Owner) -> tuple[ChatWithMessages, ChatMessage]:
    message = ChatMessage(uuid(number), None, [], {}, [], {}, NOW, None, False)
    chat = ChatWithMessages(
        uuid(number + 1000), "", False, [message.id], {message.id: message}, NOW, NOW, ALICE, ALICE, "Alice", None
    )
    await create_chat(storage, chat, message, USER, owner)
    return chat, message


async def answered(storage: Storage, number: int, owner: Owner) -> UUID:
    chat, message = await asked(storage, number, owner)
    assert await finish_message(storage, chat, message, (), owner)
    return message.id


async def test_an_end_has_its_owner_and_whether_that_one_lives(storage: Storage) -> None:
    living = Membership(storage)
    await living.enter()
    me = Owner(living.lease.id, None)
    chat, going_on = await asked(storage, 1, me)
    of_living, of_dead = await answered(storage, 2, me), await answered(storage, 3, DEAD)
    assert await find_ends(storage, [going_on.id, of_living, of_dead, MISSING]) == {
        going_on.id: End(me, True, False),
        of_living: End(me, True, True),
        of_dead: End(DEAD, False, True),
    }
    running = await find_all_running(storage)
    assert (running.messages, running.chats) == ({going_on.id}, {(chat.id, ALICE)})


async def test_any_number_of_ends_is_found(storage: Storage) -> None:
    ids = [await answered(storage, number, DEAD) for number in range(ENDS_AT_ONCE + 2)]
    for count in (1, ENDS_AT_ONCE, ENDS_AT_ONCE + 1):
        assert list((await find_ends(storage, ids[:count])).values()) == [End(DEAD, False, True)] * count


async def test_of_many_who_take_an_end_over_one_does(storage: Storage) -> None:
    id, took = await answered(storage, 1, DEAD), list[bool]()

    async def take() -> None:
        took.append(await take_over(storage, id, DEAD))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(take)
    assert sorted(took) == [False] * 4 + [True]
    end = (await find_ends(storage, [id]))[id]
    assert end.owner != DEAD
    assert await take_over(storage, id, end.owner)  # and again, when whoever took it has died


async def test_what_is_being_answered_cannot_be_taken_over(storage: Storage) -> None:
    _, message = await asked(storage, 1, DEAD)
    assert not await take_over(storage, message.id, DEAD)
