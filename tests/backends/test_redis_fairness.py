"""One user's large frames, and the others': nobody waits for them, loses anything by them, or pays for them with the link."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from backends.redis import broker as redis
from backends.redis import wire as redis_wire
from backends.redis.link import linked, open_pool
from backends.redis.log import Channels
from schemas.frames import WsSendMethod
from tests.support.redis import RedisServer
from tests.support.redis_town import Folding, away, back, server, town
from tests.support.telling import Ear, delta, said
from tests.support.waiting import until
from tests.support.world import BOB, CAROL

__all__ = ["server"]  # the fixture


@asynccontextmanager
async def listening(server: RedisServer) -> AsyncIterator[list[bytes]]:
    """What is published of frames, until the block ends."""
    published: list[bytes] = []

    async with linked(open_pool(server.url)) as link, anyio.create_task_group() as tasks:
        await link.listen(Channels.of(0)[:1])

        async def listen() -> None:
            async for _, data in link.messages():
                published.append(data)

        tasks.start_soon(listen)
        yield published
        tasks.cancel_scope.cancel()


async def test_a_user_for_whom_it_does_not_keep_up_is_served_as_if_it_were_away_and_nobody_else_is(server: RedisServer) -> None:
    async with town(server, bound=400_000) as it:
        here, there = it.nodes
        ears, bob = [Folding("here"), Folding("there")], Ear("bob")
        async with (
            here.subscribe(CAROL, ears[0], "") as start,
            there.subscribe(CAROL, ears[1], ""),
            here.subscribe(BOB, bob, ""),
        ):
            assert start
            with server.stopped():
                here.publish(BOB, said("first"), None)
                for number in range(200):
                    here.publish(CAROL, delta(1, f"{number} "), None)
                assert ears[0].text.startswith("0 1 2 ")  # her share is full: at once, and without an offset
                assert here.connected
                assert bob.heard == []
            here.publish(BOB, said("second"), None)
            here.publish(CAROL, delta(1, "last"), None)
            for ear in ears:
                await until(lambda ear=ear: ear.text.endswith("last"))  # type: ignore[misc]
                assert ear.text == "".join(f"{number} " for number in range(200)) + "last"
            await until(lambda: bob.heard == ["first", "second"])
            assert all(bob.offsets)
            async with there.subscribe(CAROL, Ear("again"), f"{start.epoch}:{start.offset}") as lost:
                assert lost
                assert not lost.recovered
            assert not ears[1].is_cut
            await it.check()


async def test_what_one_connection_is_answered_stays_in_its_node_and_keeps_its_place(server: RedisServer) -> None:
    async with town(server, bound=10_000_000) as it:
        here, there = it.nodes
        asking, other, elsewhere = Ear("asking"), Ear("other"), Ear("elsewhere")
        async with (
            here.subscribe(CAROL, asking, ""),
            here.subscribe(CAROL, other, ""),
            there.subscribe(CAROL, elsewhere, ""),
            listening(server) as published,
        ):
            for number in range(10):
                here.publish(CAROL, said(f"{number}"), None)
                here.publish(CAROL, said(f"{number}" * 200_000, WsSendMethod.SENDER_ONLY), "asking")
            here.publish(CAROL, said("for elsewhere", WsSendMethod.SENDER_ONLY), "elsewhere")
            await until(lambda: len(asking.heard) == 20 and elsewhere.heard[-1:] == ["for elsewhere"])
            assert [text[0] for text in asking.heard] == [f"{number // 2}" for number in range(20)]
            assert asking.offsets == list(range(asking.offsets[0], asking.offsets[0] + 20))
            assert [len(text) for text in asking.heard] == [1, 200_000] * 10
            assert other.heard == [f"{number}" for number in range(10)]
            assert elsewhere.heard == [*other.heard, "for elsewhere"]
            await until(lambda: len(published) == 21)
            assert max(len(each) for each in published) < 1000


async def test_who_loses_frames_is_cut_at_the_other_nodes_and_nobody_else_is(server: RedisServer) -> None:
    async with town(server, bound=100_000) as it:
        here, there = it.nodes
        mine, numbered, plain, bob = Ear("mine"), Ear("numbered"), Ear("plain"), Ear("bob")
        async with (
            here.subscribe(CAROL, mine, ""),
            there.subscribe(CAROL, numbered, "") as start,
            there.subscribe(CAROL, plain, None),
            there.subscribe(BOB, bob, None),
        ):
            assert start
            with server.stopped():
                for number in range(40):
                    here.publish(BOB, said(f"{number}"), None)
                    here.publish(CAROL, said(f"{number}".ljust(10_000)), None)
                assert here.connected
            await until(lambda: numbered.is_cut and plain.is_cut)
            assert [text.strip() for text in mine.heard] == [f"{number}" for number in range(40)]
            await until(lambda: len(bob.heard) == 40)
            assert [mine.is_cut, bob.is_cut] == [False, False]
            async with there.subscribe(CAROL, Ear("again"), f"{start.epoch}:{start.offset}") as lost:
                assert lost
                assert not lost.recovered
            await it.check()


async def test_a_frame_that_is_too_large_for_redis_is_told_at_its_node_alone_and_the_others_are_cut(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "LARGEST_BYTES", 50_000)
    async with town(server) as it:
        here, there = it.nodes
        ears = Ear("here"), Ear("there")
        async with here.subscribe(CAROL, ears[0], ""), there.subscribe(CAROL, ears[1], ""):
            for text in ("before", "x" * 50_000, "after"):
                here.publish(CAROL, said(text), None)
            await until(lambda: len(ears[0].heard) == 3 and ears[1].is_cut)
            assert [text[:6] for text in ears[0].heard] == ["before", "xxxxxx", "after"]
            await it.check()


async def test_who_was_told_too_much_to_be_told_it_again_by_a_restarted_redis_is_cut(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_wire, "RECENT_BYTES", 30_000)
    async with town(server) as it:
        here, there = it.nodes
        carol, bob = Ear("carol"), Ear("bob")
        async with here.subscribe(CAROL, carol, None), here.subscribe(BOB, bob, None):
            await away(it)
            for number in range(20):
                there.publish(CAROL, said(f"{number}".ljust(3000)), None)
            there.publish(BOB, said("short"), None)
            await there.flush()
            server.kill()
            await it.all_connected(False)
            server.start()
            await back(it)
            await until(lambda: carol.is_cut and bob.heard == ["short"])
            assert not bob.is_cut
