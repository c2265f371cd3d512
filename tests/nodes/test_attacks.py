"""The scenarios of `make attack`, small enough for every run of the tests."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.programs import attacks, attacks_within
from tests.programs.crowd import crowd, opened
from tests.support.program import serving


async def test_heads_without_an_end_are_cut_off_and_nobody_else_notices(tmp_path: Path) -> None:
    await attacks.endless_heads(tmp_path, connections=8, most=2**24)


async def test_newcomers_come_in_while_more_sockets_than_there_are_descriptors_say_nothing(tmp_path: Path) -> None:
    figures = await attacks.silence(tmp_path, sockets=150, descriptors=128, seconds=0)
    assert figures["sockets"] == 150


async def test_who_asks_for_much_and_leaves_holds_up_nobody(tmp_path: Path) -> None:
    await attacks_within.gets(tmp_path, connections=4, gets=8, posts=2, words=50_000)


async def test_a_chat_without_an_end_is_full_before_long(tmp_path: Path) -> None:
    await attacks_within.full_chat(tmp_path, words=5_000)


async def test_clocks_may_be_ahead_by_a_little(tmp_path: Path) -> None:
    await attacks_within.clocks(tmp_path)


async def test_all_tabs_come_back_after_a_change_of_network(tmp_path: Path) -> None:
    await attacks_within.change_of_network(tmp_path, tabs=6)


async def test_connections_leave_half_of_the_descriptors_to_all_else(tmp_path: Path) -> None:
    users = crowd(tmp_path, 5)
    with serving(tmp_path, descriptors="128") as program:
        async with AsyncExitStack() as stack:
            for number in range(64):
                await stack.enter_async_context(opened(program, users[number % 4]))
            with pytest.raises(InvalidStatus, match="503"):
                async with opened(program, users[4]):
                    pass
            await attacks.healthy(program)
        await attacks.comes_in(program, users[4])
