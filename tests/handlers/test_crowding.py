"""New connections of a user who has as many as they may, of which some are dead: the dead make room, the living stay."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio

from settings import Settings
from tests.support.client import TIMEOUT_S, Client
from tests.support.house import House, open_house, settings_in
from tests.support.postgres import Postgres
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer
from tests.support.waiting import until
from tests.support.world import ALICE, BOB

NEVER_S = 3600  # between pings, which would find the dead, too


class Network:
    """A network on which a device is, until it leaves it: from then on nothing gets through, and nobody is told."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._proxy = Proxy(int(house.url.split("/")[2].split(":")[1]))

    async def connect(self, stack: AsyncExitStack, count: int) -> list[Client]:
        """So many connections through it. What is still on its way ends with the stack."""
        port = await stack.enter_async_context(self._proxy.serving())
        options: dict[str, Any] = {"host": "127.0.0.1", "port": port, "close_timeout": 0, "ping_interval": None}
        return [await stack.enter_async_context(self._house.connect(**options)) for _ in range(count)]

    async def leave(self) -> None:
        # What a device took before it left would look like a sign of life.
        await until(lambda: all(each._line is not None and not each._line.unsent for each in self._house.services.connections))
        self._proxy.hold()


async def answers(client: Client) -> None:
    """The connection is open, and the server reads from it."""
    with anyio.fail_after(TIMEOUT_S):
        await client.socket.send("?")
        while (await client.frame())["error"] is None:
            pass


async def test_after_a_change_of_network_each_dead_connection_makes_room_for_a_new_one(settings: Settings) -> None:
    crowded = replace(settings, max_connections_per_user=6, ping_seconds=NEVER_S)
    async with open_house(crowded) as house, AsyncExitStack() as stack, anyio.create_task_group() as tasks:
        before = Network(house)
        await before.connect(stack, 4)
        living = [await stack.enter_async_context(house.connect()) for _ in range(2)]
        await before.leave()
        new: list[Client] = []

        async def come() -> None:
            async with house.connect() as client:
                await answers(client)
                new.append(client)
                await done.wait()

        done = anyio.Event()
        for _ in range(4):
            tasks.start_soon(come)
        await until(lambda: len(new) == 4)
        assert len(house.services.connections) == 6
        async with house.connect() as one_too_many:
            assert await one_too_many.close_code() == 4029
        for client in living + new:
            await answers(client)
        assert house.backends.metrics.registry.get_sample_value("threadcast_closes_total", {"code": "1011"}) == 4
        done.set()


async def test_the_one_that_was_silent_for_longest_goes_and_the_other_stays(settings: Settings) -> None:
    crowded = replace(settings, max_connections_per_user=2, ping_seconds=NEVER_S)
    async with open_house(crowded) as house, AsyncExitStack() as stack:
        network = Network(house)
        first, _ = await network.connect(stack, 2)
        heard_at = max(each.heard_at for each in house.services.connections)
        await until(lambda: asyncio.get_running_loop().time() > heard_at)  # uvloop's clock counts milliseconds
        await answers(first)
        last = max(house.services.connections, key=lambda each: each.heard_at)
        await network.leave()
        newcomer = await stack.enter_async_context(house.connect())
        await answers(newcomer)
        assert last in house.services.connections
        assert len(house.services.connections) == 2


async def test_another_users_connections_are_let_be(settings: Settings) -> None:
    crowded = replace(settings, max_connections_per_user=1, ping_seconds=NEVER_S)
    async with open_house(crowded) as house, AsyncExitStack() as stack:
        network = Network(house)
        await network.connect(stack, 1)
        await network.leave()
        async with house.connect(BOB) as bob, house.connect(BOB) as one_too_many:
            assert await one_too_many.close_code() == 4029
            await answers(bob)
            assert {each.user.id for each in house.services.connections} == {ALICE, BOB}


async def test_a_dead_connection_to_another_server_makes_room_too(
    tmp_path: Path, postgres: Postgres, redis: RedisServer
) -> None:
    with postgres.database("settled") as url:
        on_both = replace(settings_in(tmp_path, url), broker_url=redis.url)
        crowded = replace(on_both, max_connections_per_user=2, ping_seconds=NEVER_S)
        async with open_house(crowded) as here, open_house(crowded) as there, AsyncExitStack() as stack:
            network = Network(here)
            await network.connect(stack, 1)
            living = await stack.enter_async_context(there.connect())
            await network.leave()
            newcomer = await stack.enter_async_context(there.connect())
            for client in (living, newcomer):
                await answers(client)
            assert len(here.services.connections) == 0
