"""Limits over two nodes, and what is left of them when Redis or a node is away."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from limits import parse
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter

from backends.redis import limits as redis_limits
from backends.redis.limits import RedisQuota, RedisRateLimit, open_redis_quota
from backends.redis.link import open_pool
from tests.support.client import TIMEOUT_S
from tests.support.house import open_house, settings_in
from tests.support.redis import RedisServer, redis_server
from tests.support.waiting import until
from tests.support.world import ALICE


@asynccontextmanager
async def quota(url: str) -> AsyncIterator[RedisQuota]:
    pool = open_pool(url, 16, 1.0)
    async with aclosing(pool), open_redis_quota(pool, "things") as opened:
        yield opened


def members(redis: RedisServer) -> int:
    return int(redis.command("ZCARD", f"threadcast:{{{ALICE}}}:things")[1:])


async def test_posts_are_counted_over_all_nodes(redis: RedisServer) -> None:
    async with aclosing(open_pool(redis.url, 16, 1.0)) as a, aclosing(open_pool(redis.url, 16, 1.0)) as b:
        limits = [RedisRateLimit(pool, "10/minute") for pool in (a, b)]
        answers = [await limits[number % 2].hit(ALICE) for number in range(12)]
    assert answers[:10] == [None] * 10
    assert all(answer is not None and 50 < answer <= 60 for answer in answers[10:])


@pytest.mark.parametrize("hangs", [True, False])
async def test_without_redis_a_node_counts_posts_for_itself_and_nobody_waits_for_long(
    hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert redis_limits.COUNT_ANSWER_S <= 1
    monkeypatch.setattr(redis_limits, "COUNT_ANSWER_S", 0.2)
    monkeypatch.setattr(redis_limits, "ASK_AGAIN_S", 60.0)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis_server())
        pool = await stack.enter_async_context(aclosing(open_pool(server.url, 16, 1.0)))
        limit = RedisRateLimit(pool, "3/minute")
        things = await stack.enter_async_context(quota(server.url))
        assert await limit.hit(ALICE) is None
        assert await things.enter(ALICE, "1", 3)
        if hangs:
            stack.enter_context(server.stopped())
        else:
            server.kill()
        started = time.monotonic()
        assert [await limit.hit(ALICE) for _ in range(3)] == [None] * 3
        assert await limit.hit(ALICE) is not None
        assert [await things.enter(ALICE, id, 3) for id in "234"] == [True, True, False]
        things.leave(ALICE, "2")
        assert await things.enter(ALICE, "5", 3)
        assert time.monotonic() - started < 2  # one time-out each, and not one for each question


async def test_what_a_user_has_is_counted_over_all_nodes(redis: RedisServer) -> None:
    async with quota(redis.url) as a, quota(redis.url) as b:
        assert [await (a, b)[number % 2].enter(ALICE, str(number), 5) for number in range(7)] == [True] * 5 + [False] * 2
        assert members(redis) == 5
        a.leave(ALICE, "0")
        await until(lambda: members(redis) == 4)
        assert await b.enter(ALICE, "later", 5)
        for id in "24":
            a.leave(ALICE, id)
        for id in ("1", "3", "later"):
            b.leave(ALICE, id)
        await until(lambda: members(redis) == 0)
        assert not a.here.members
        assert not b.here.members


async def test_a_node_that_dies_frees_its_share_and_one_that_lives_keeps_it(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_limits, "MEMBER_LEASE_S", 2)
    monkeypatch.setattr(redis_limits, "RENEW_MEMBERS_S", 0.3)
    async with quota(redis.url) as living:
        async with quota(redis.url) as dead:
            assert await dead.enter(ALICE, "dead", 2)
            assert await living.enter(ALICE, "living", 2)
        assert not await living.enter(ALICE, "next", 2)
        with anyio.fail_after(TIMEOUT_S):
            while not await living.enter(ALICE, "next", 2):
                await anyio.lowlevel.checkpoint()
        await anyio.sleep(2.5)  # longer than a lease
        assert members(redis) == 2


async def test_after_redis_clock_was_set_back_by_an_hour_nobody_is_refused_for_an_hour(redis: RedisServer) -> None:
    async with aclosing(open_pool(redis.url, 16, 1.0)) as pool, quota(redis.url) as things:
        limit = RedisRateLimit(pool, "1/minute")
        assert await limit.hit(ALICE) is None
        count = f"threadcast:limits:LIMITER/{ALICE}/1/1/minute"
        assert redis.command("EXPIRE", count, "3660") == b":1\r\n"
        answer = await limit.hit(ALICE)
        assert answer is not None
        assert 50 < answer <= 60
        later = int(time.time()) + 3630
        redis.command("ZADD", f"threadcast:{{{ALICE}}}:things", str(later), "dead")
        assert not await things.enter(ALICE, "1", 1)
        score = redis.command("ZSCORE", f"threadcast:{{{ALICE}}}:things", "dead")
        assert float(score.split(b"\r\n")[1]) <= later - 3590


async def test_a_node_of_the_version_before_counts_the_same_posts(redis: RedisServer) -> None:
    async with aclosing(open_pool(redis.url, 16, 1.0)) as pool:
        before: Any = {"implementation": "redispy", "key_prefix": "threadcast:limits", "connection_pool": pool}
        older, rate = FixedWindowRateLimiter(RedisStorage("async+redis://", **before)), parse("3/minute")
        limit = RedisRateLimit(pool, "3/minute")
        assert await older.hit(rate, str(ALICE))
        assert [await limit.hit(ALICE), await limit.hit(ALICE)] == [None, None]
        assert not await older.hit(rate, str(ALICE))


async def test_who_entered_during_an_outage_counts_afterwards_and_who_left_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_limits, "RENEW_MEMBERS_S", 0.2)
    monkeypatch.setattr(redis_limits, "ASK_AGAIN_S", 0.2)
    with redis_server() as server:
        async with quota(server.url) as a:
            assert await a.enter(ALICE, "before", 5)
            server.kill()
            assert await a.enter(ALICE, "during", 5)
            a.leave(ALICE, "before")
            server.start()
            await until(lambda: members(server) == 1)
            async with quota(server.url) as b:
                assert await b.enter(ALICE, "other", 2)
                assert not await b.enter(ALICE, "too many", 2)


async def test_a_user_has_so_many_connections_over_all_servers(tmp_path: Path, redis: RedisServer) -> None:
    settings = replace(settings_in(tmp_path), broker_url=redis.url, max_connections_per_user=3)
    async with open_house(settings) as here, open_house(settings) as there, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.connect()) for house in (here, there, here)]
        async with there.connect() as fourth:
            assert await fourth.close_code() == 4029
        await clients[0].socket.close()
        await until(lambda: len(here.services.connections) == 1)
        key = f"threadcast:{{{ALICE}}}:connections"
        await until(lambda: redis.command("ZCARD", key) == b":2\r\n")
        async with there.connect() as another:
            assert (await another.post(prompt="Hi"))[-1]["event"] == "complete"
