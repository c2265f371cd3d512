"""Readers are shared fairly: what one user asks for holds up neither another's chats nor anybody's login."""

import asyncio
from typing import Any
from uuid import UUID

import anyio
import anyio.lowlevel
from sqlalchemy import Select, func, literal, select

from backends import open_storage
from backends.accounts import find_user
from backends.storage import Storage
from backends.turns import Turns
from settings import Settings
from tests.support.client import TIMEOUT_S
from tests.support.house import BOTH
from tests.support.storages import template
from tests.support.world import ALICE, BOB, CAROL

__all__ = ["template"]  # the fixture

ENGINES = BOTH
MANY = 12  # reads of one user, several times what is read at once


def slow(engine: str) -> Select[Any]:
    """A read that takes about a tenth of a second."""
    if engine == "postgres":
        return select(func.pg_sleep(0.1))
    numbers = select(literal(1).label("n")).cte(recursive=True)
    numbers = numbers.union_all(select(numbers.c.n + 1).where(numbers.c.n < 400_000))
    return select(func.count()).select_from(numbers)


async def test_a_small_read_and_another_users_large_one_wait_behind_none_of_those_that_wait(
    settings: Settings, engine: str
) -> None:
    order: list[str] = []

    async def read(storage: Storage, user_id: UUID, name: str) -> None:
        await storage.fetch_all(slow(engine), turn=user_id)
        order.append(name)

    with anyio.fail_after(TIMEOUT_S):
        async with open_storage(settings) as storage, anyio.create_task_group() as tasks:
            for _ in range(MANY):
                tasks.start_soon(read, storage, ALICE, "alice")
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(read, storage, BOB, "bob")
            assert await find_user(storage, ALICE) is None  # as a login does
            order.append("login")
    assert len(order) == MANY + 2
    assert order.index("bob") <= 6  # two were being read, and two more may have begun as fast
    assert order.index("login") <= 4


async def test_a_read_whose_caller_is_cancelled_gives_its_turn_back(settings: Settings, engine: str) -> None:
    with anyio.fail_after(TIMEOUT_S):
        async with open_storage(settings) as storage:
            for _ in range(3):
                reads = [asyncio.create_task(storage.fetch_all(slow(engine), turn=ALICE)) for _ in range(MANY)]
                await anyio.wait_all_tasks_blocked()
                for task in reads:
                    task.cancel()
                await asyncio.wait(reads)
            assert len(await storage.fetch_all(slow(engine), turn=BOB)) == 1


async def served(turns: Turns, *users: UUID) -> list[UUID]:
    """In which order these users get a turn, who have all come while the only one was taken."""
    order: list[UUID] = []

    async def wait(user_id: UUID) -> None:
        await turns.take(user_id)
        order.append(user_id)
        turns.give_back()

    await turns.take(ALICE)
    async with anyio.create_task_group() as tasks:
        for user_id in users:
            tasks.start_soon(wait, user_id)
        await anyio.wait_all_tasks_blocked()
        turns.give_back()
    return order


async def test_users_take_turns_in_the_order_in_which_they_came() -> None:
    turns = Turns(1)
    order = await served(turns, ALICE, ALICE, ALICE, BOB, BOB, CAROL)
    assert order == [ALICE, BOB, CAROL, ALICE, BOB, ALICE]
    await turns.take(BOB)  # all were given back


async def test_a_turn_that_comes_to_one_who_is_cancelled_goes_to_the_next() -> None:
    turns = Turns(1)
    await turns.take(ALICE)
    first, second, third = (asyncio.create_task(turns.take(user_id)) for user_id in (ALICE, BOB, CAROL))
    await anyio.wait_all_tasks_blocked()
    second.cancel()
    await anyio.wait_all_tasks_blocked()
    turns.give_back()  # to the first, which is cancelled before it runs
    first.cancel()
    with anyio.fail_after(TIMEOUT_S):
        await third
    turns.give_back()
    assert turns._free == 1
