"""Redis killed, stopped, cut off, or too slow: every frame is heard once and in order, or who misses one has to come again."""

import math
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from backends.frame import Frame
from backends.lease import Lease
from backends.redis import link as redis_link
from backends.redis import sent as redis_sent
from backends.redis import wire as redis_wire
from backends.redis.broker import RedisBroker
from backends.resume import ResumeLimits
from schemas.events import WsEvent
from tests.support.proxy import Proxy
from tests.support.redis import RedisServer, node, place_in, redis_server
from tests.support.redis_town import Folding, Town, away, back, server, town
from tests.support.telling import Ear, delta, said
from tests.support.waiting import until
from tests.support.world import ALICE, BOB, CAROL, uuid

__all__ = ["server"]  # the fixture


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is noticed within half a second."""
    monkeypatch.setattr(redis_link, "REDIS_ANSWER_S", 0.3)
    monkeypatch.setattr(redis_link, "PING_S", 0.1)


hasty = pytest.mark.usefixtures("_hasty")


async def recovered(broker: RedisBroker, since: str) -> bool:
    async with broker.subscribe(ALICE, Ear("probe"), since) as resumption:
        assert resumption
        return resumption.recovered


async def test_a_redis_that_is_killed_and_comes_back_empty(server: RedisServer) -> None:
    async with town(server) as it:
        it.say(20)
        server.kill()
        it.say(20)
        await it.all_connected(False)
        it.say(20)
        assert all(len(ear.heard) >= 60 for ear in it.ears)  # at its own node nobody waits for Redis
        server.start()
        await it.all_connected()
        it.say(20)
        await it.check()
        for each in it.nodes:
            assert not await recovered(each, it.places[0])
            assert await recovered(each, "")


async def test_a_redis_that_comes_back_with_what_it_had_some_time_ago(tmp_path: Path) -> None:
    with redis_server("--dir", str(tmp_path)) as server:
        async with town(server) as it:
            it.say(5)
            await it.check()
            assert server.command("SAVE") == b"+OK\r\n"
            it.say(5)
            await it.check()
            between = place_in(server.url, ALICE)
            server.kill()
            it.say(5)
            server.start()
            await it.all_connected()
            it.say(20)
            await it.check()
            for each in it.nodes:
                assert not await recovered(each, it.places[0])
                assert not await recovered(each, between)
            late = Ear("numbered late")
            async with it.nodes[0].subscribe(ALICE, late, "") as start:
                assert start
                assert start.offset >= max(it.ears[0].offsets)
                it.nodes[1].publish(ALICE, said("b"), None)
                await until(lambda: late.heard == ["b"])


async def test_a_redis_whose_clock_is_behind_that_of_the_one_before(server: RedisServer) -> None:
    ear, ahead = Ear("numbered"), "3000000000000000"
    async with node(server.url) as a:
        place = f"threadcast:{{{ALICE}}}:place:{a._logs.run_id}"
        server.command("HSET", place, "epoch", "e" * 16, "base", ahead, "offset", ahead, "forgotten", ahead, "bytes", "0")
        async with a.subscribe(ALICE, ear, ""):
            server.kill()
            await until(lambda: not a.connected)
            server.start()
            await until(lambda: a.connected)
            a.publish(ALICE, said("1"), None)
            await until(lambda: ear.heard == ["1"])
            assert ear.offsets[0] > int(ahead)


async def test_what_was_said_long_before_redis_was_lost_is_not_said_again(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_sent, "RECENT_S", 0.2)
    async with node(server.url) as a:
        a.publish(ALICE, said("old"), None)
        await a.flush()
        await anyio.sleep(0.3)
        ear = Ear("ear")
        async with node(server.url) as b, b.subscribe(ALICE, ear, None):
            server.kill()
            await until(lambda: not (a.connected or b.connected))
            server.start()
            await until(lambda: a.connected and b.connected)
            a.publish(ALICE, said("new"), None)
            await until(lambda: "new" in ear.heard)
            assert ear.heard == ["new"]


async def test_what_a_lost_redis_had_been_told_just_before_is_told_to_the_next(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_sent, "RECENT_S", 0.3)
    async with town(server) as it:
        await away(it)
        it.say()
        await it.nodes[1].flush()
        server.kill()
        await it.all_connected(False)
        await anyio.sleep(0.5)  # an outage makes nothing older
        server.start()
        await back(it)
        await it.check()


async def test_again_and_again(server: RedisServer) -> None:
    async with town(server) as it:
        for _ in range(5):
            it.say(10)
            server.kill()
            it.say(10)
            server.start()
            it.say(10)
            await it.all_connected()
        await it.check()


@pytest.mark.parametrize("seconds", [1.0, 2.0])
async def test_a_redis_that_stops_for_a_moment(server: RedisServer, seconds: float) -> None:
    async with town(server) as it:
        it.say(20)
        with server.stopped():
            it.say(20)
            await anyio.sleep(seconds / 2)
            it.say(20)
            await anyio.sleep(seconds / 2)
        it.say(20)
        await it.check()


@hasty
async def test_a_redis_that_stops_for_longer(server: RedisServer) -> None:
    async with town(server) as it:
        it.say(20)
        with server.stopped():
            it.say(20)
            await it.all_connected(False)
            it.say(20)
            await anyio.sleep(1)  # so that tries to connect wait in its queue, too
        await it.all_connected()
        it.say(20)
        await it.check()
        assert not await recovered(it.nodes[1], it.places[1])


async def test_a_node_that_is_cut_off_again_and_again(server: RedisServer) -> None:
    async with town(server) as it:
        for number in range(20):
            it.say(10)
            if number % 2:
                await anyio.sleep(0.002 * number)
            it.proxy.cut()
            it.say(10)
            if number % 3 == 0:
                await it.all_connected()
        await it.all_connected()
        await it.check()


@hasty
async def test_a_node_that_hears_nothing_for_a_while(server: RedisServer) -> None:
    async with town(server) as it:
        it.say(20)
        it.proxy.hold()
        it.say(20)
        await until(lambda: not it.nodes[0].connected)
        it.say(20)
        it.proxy.let_go()
        it.say(20)
        await it.all_connected()
        await it.check()


async def test_a_slow_line(server: RedisServer) -> None:
    async with town(server) as it:
        it.proxy.delay = 0.03
        for _ in range(10):
            it.say(10)
            await anyio.sleep(0.01)
        await it.check()
        assert len({len(ear.offsets) for ear in it.ears}) == 1


async def test_who_was_told_nothing_meanwhile_resumes_as_if_nothing_had_been(server: RedisServer) -> None:
    async with town(server) as it:
        async with it.nodes[0].subscribe(BOB, Ear("bob"), "") as bob:
            assert bob
            it.say(5)
            await it.check()
            it.proxy.cut()
            await until(lambda: not it.nodes[0].connected)
            it.nodes[1].publish(ALICE, said("b 5"), None)
            await it.all_connected()
            it.nodes[0].publish(ALICE, said("a 5"), None)
            it.said += 1
            await it.check()
        for each in it.nodes:
            assert all([await recovered(each, place) for place in it.places])
            async with each.subscribe(BOB, Ear("later"), f"{bob.epoch}:{bob.offset}") as resumption:
                assert resumption
                assert resumption.recovered


async def test_who_connects_during_an_outage_in_which_nobody_else_speaks_is_served_through_it(server: RedisServer) -> None:
    async with town(server) as it:
        here, there = it.nodes
        there.publish(ALICE, said("x 0"), None)
        await until(lambda: all(ear.heard == ["x 0"] for ear in it.ears))
        await away(it)
        plain, numbered = Ear("plain late"), Ear("numbered late")
        async with (
            here.subscribe(ALICE, plain, None),
            here.subscribe(ALICE, numbered, "") as start,
            here.subscribe(ALICE, Ear("later"), it.places[0]) as lost,
        ):
            assert start
            assert lost
            assert (start.recovered, lost.recovered) == (True, False)
            here.publish(ALICE, said("x 1"), None)
            assert plain.heard == numbered.heard == ["x 1"]
            await back(it)
            there.publish(ALICE, said("x 2"), None)
            here.publish(ALICE, said("x 3"), None)
            for ear in (plain, numbered):
                await until(lambda ear=ear: sorted(ear.heard) == ["x 1", "x 2", "x 3"])  # type: ignore[misc]
            await away(it)  # they have not come in this one
            there.publish(ALICE, said("x 4"), None)
            async with here.subscribe(BOB, Ear("bob"), None):
                pass
            assert not here._registry.late
            await back(it)
            for ear in (plain, numbered):
                await until(lambda ear=ear: "x 4" in ear.heard)  # type: ignore[misc]
                assert not ear.is_cut
            assert not await recovered(here, f"{start.epoch}:{numbered.offsets[-1]}")


async def test_who_connects_during_an_outage_in_which_others_speak_is_cut_and_told_none_of_it(server: RedisServer) -> None:
    async with town(server) as it:
        here = it.nodes[0]
        it.say(5)
        await it.check()
        await away(it)
        it.say(5)
        await it.nodes[1].flush()
        plain, numbered, bob = Ear("plain late"), Ear("numbered late"), Ear("bob")
        async with (
            here.subscribe(ALICE, plain, None),
            here.subscribe(ALICE, numbered, ""),
            here.subscribe(BOB, bob, None),
        ):
            await back(it)
            assert (plain.heard, numbered.heard, bob.heard) == ([], [], [])
            assert (plain.is_cut, numbered.is_cut, bob.is_cut) == (True, True, False)
            await it.check()


async def test_a_node_that_finds_redis_for_the_first_time_tells_nothing_old(server: RedisServer) -> None:
    proxy = Proxy(server.port)
    async with node(server.url) as b, proxy.serving() as port:
        b.publish(ALICE, said("old"), None)
        async with b.subscribe(ALICE, Ear("there"), ""):
            await b.flush()
        proxy.refuses = True
        alice, bob = Ear("alice"), Ear("bob")
        async with node(f"redis://127.0.0.1:{port}/0") as a, a.subscribe(ALICE, alice, None), a.subscribe(BOB, bob, ""):
            proxy.refuses = False
            await until(lambda: a.connected)
            b.publish(BOB, said("new"), None)
            await until(lambda: bob.heard == ["new"])
            assert (alice.heard, alice.is_cut, bob.is_cut) == ([], True, False)


async def test_a_node_that_was_away_for_longer_than_the_log_reaches_back_says_so(server: RedisServer) -> None:
    async with town(server, ResumeLimits(20, 2**20, 60)) as it:
        bob = Ear("bob")
        async with it.nodes[0].subscribe(BOB, bob, None):
            it.nodes[1].publish(BOB, said("1"), None)
            it.say(5)
            await it.check()
            it.proxy.refuses = True
            it.proxy.cut()
            await until(lambda: not it.nodes[0].connected)
            for number in range(50):
                it.nodes[1].publish(ALICE, said(str(number)), None)
            it.nodes[1].publish(BOB, said("2"), None)
            await it.nodes[1].flush()
            it.proxy.refuses = False
            await it.all_connected()
            assert [ear.is_cut for ear in it.ears] == [True, True, False, False]
            await until(lambda: bob.heard == ["1", "2"])
            assert not bob.is_cut


def end(text: str) -> Frame:
    return said(text, event=WsEvent.POST_THREAD)


async def test_deltas_that_wait_through_an_outage_are_joined_and_all_arrive(server: RedisServer) -> None:
    async with town(server, bound=50_000) as it:
        here, there = it.nodes
        ears = [Folding(user) for user in ("carol", "bob")]
        async with there.subscribe(CAROL, ears[0], None), there.subscribe(BOB, ears[1], None):
            await away(it)
            for number in range(2000):
                for user in (CAROL, BOB):
                    here.publish(user, delta(1, f"{number} "), None)
                assert here.wire._backlog._size <= 51_000
            await back(it)
            for ear in ears:
                await until(lambda ear=ear: ear.text.endswith("1999 "))  # type: ignore[misc]
                assert ear.text == "".join(f"{number} " for number in range(2000))


async def test_ends_that_wait_through_an_outage_are_lost_last(server: RedisServer) -> None:
    async with town(server, bound=50_000) as it:
        here, there = it.nodes
        ear = Ear("ear")
        async with there.subscribe(ALICE, ear, None):
            await away(it)
            for number in range(20):
                for _ in range(10):
                    here.publish(ALICE, said("x" * 2000), None)
                here.publish(ALICE, end(f"end {number}"), None)
                assert here.wire._backlog._size <= 51_000
            await back(it)
            await until(lambda: ear.is_cut)
            assert [text for text in ear.heard if "end" in text] == [f"end {number}" for number in range(20)]
            assert len(ear.heard) < 50
            assert not await recovered(there, it.places[1])
            assert await recovered(there, "")


def unsure(lease: Lease) -> None:
    lease.renew(-math.inf)


@asynccontextmanager
async def hearing(it: Town) -> AsyncIterator[tuple[Ear, Ear, list[bytes]]]:
    """What Carol hears from the first node at the second, what Bob does, and the notices there."""
    carol, bob, notices = Ear("carol"), Ear("bob"), list[bytes]()
    there = it.nodes[1]
    async with there.subscribe(CAROL, carol, None), there.subscribe(BOB, bob, None):
        with there.listen(notices.append):
            yield carol, bob, notices


async def test_what_waits_of_a_run_whose_lease_was_lost_is_told_to_nobody_but_its_end(server: RedisServer) -> None:
    async with town(server) as it, hearing(it) as (carol, bob, _):
        here, lease = it.nodes[0], Lease()
        here.publish(CAROL, said("before"), None, lease)
        await until(lambda: carol.heard == ["before"])
        await away(it)
        for number in range(3):
            here.publish(CAROL, said(str(number)), None, lease)
        here.publish(CAROL, end("end"), None)
        here.publish(BOB, said("other"), None)
        lease.lose()
        await back(it)
        await until(lambda: bob.heard == ["other"] and carol.heard[-1] == "end")
        assert carol.heard == ["before", "end"]
        await it.check()


@pytest.mark.parametrize("held", [True, False])
async def test_what_waits_is_held_while_its_lease_is_unsure_and_holds_up_nobody_else(server: RedisServer, held: bool) -> None:
    async with town(server) as it, hearing(it) as (carol, bob, notices):
        here, lease = it.nodes[0], Lease()
        mine = Ear("numbered")
        async with here.subscribe(CAROL, mine, "") as start:
            assert start
            await away(it)
            for number in range(3):
                here.publish(CAROL, said(str(number)), None, lease)
            unsure(lease)
            await back(it)
            here.publish(CAROL, said("answer"), None)
            here.publish(BOB, said("other"), None)
            here.tell(b"notice")
            await until(lambda: bob.heard == ["other"] and notices == [b"notice"])
            assert mine.heard == ["0", "1", "2", "answer"]
            assert carol.heard == []
            if held:
                lease.renew(math.inf)
            else:
                lease.lose()
            whole = ["0", "1", "2", "answer"] if held else ["answer"]
            await until(lambda: len(carol.heard) == len(whole))
            assert carol.heard == whole
            here.publish(CAROL, said("last"), None)
            await until(lambda: carol.heard[-1] == mine.heard[-1] == "last")
            assert carol.heard == [*whole, "last"]
            assert mine.heard == ["0", "1", "2", "answer", "last"]
            async with it.nodes[1].subscribe(CAROL, Ear("again"), f"{start.epoch}:{start.offset}") as lost:
                assert lost
                assert not lost.recovered
            await it.check()


async def test_a_lease_that_becomes_unsure_holds_up_no_numbered_connection_here(server: RedisServer) -> None:
    async with town(server) as it, hearing(it) as (carol, _, _):
        here, lease, mine = it.nodes[0], Lease(), Ear("numbered")
        async with here.subscribe(CAROL, mine, "") as start:
            assert start
            here.publish(CAROL, said("0"), None, lease)
            unsure(lease)
            here.publish(CAROL, said("1"), None)
            await until(lambda: mine.heard == ["0", "1"])
            assert (mine.offsets, carol.heard) == ([0, 0], [])
            it.say(5)
            await until(lambda: len(it.ears[0].heard) == 10)
            lease.renew(math.inf)
            it.say(5)
            await until(lambda: carol.heard == ["0", "1"])
            await it.check()
            async with it.nodes[1].subscribe(CAROL, Ear("again"), f"{start.epoch}:{start.offset}") as lost:
                assert lost
                assert not lost.recovered


@pytest.mark.parametrize("becomes", ["sure", "lost", "neither"])
async def test_what_may_have_been_sent_is_sent_again_when_its_lease_is_sure(
    server: RedisServer, becomes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_wire, "SETTLE_S", 5.0 if becomes == "sure" else 0.2)
    async with town(server) as it, hearing(it) as (carol, _, _):
        here, there, lease = *it.nodes, Lease()
        async with there.subscribe(CAROL, Ear("numbered"), "") as start:
            assert start
            it.proxy.hold()
            here.publish(CAROL, said("0"), None, lease)
            await until(lambda: here.wire._sent._asked)
            it.proxy.refuses = True
            it.proxy.cut()
            await until(lambda: not here.connected)
            unsure(lease)
            it.proxy.let_go()
            it.proxy.refuses = False
            if becomes == "lost":
                lease.lose()
            elif becomes == "sure":
                await until(lambda: bool(it.proxy._writers))
                await anyio.sleep(0.3)  # in which it would be connected, did it not wait
                assert not here.connected
                lease.renew(math.inf)
            await it.all_connected()
            here.publish(CAROL, end("end"), None)
            await until(lambda: "end" in carol.heard)
            assert carol.heard == (["0", "end"] if becomes == "sure" else ["end"])
            async with there.subscribe(CAROL, Ear("again"), f"{start.epoch}:{start.offset}") as resumed:
                assert resumed
                assert resumed.recovered is (becomes != "neither")


@hasty
@pytest.mark.parametrize("link_is_lost", [False, True])
async def test_what_is_held_up_on_its_way_for_longer_than_its_lease_is_sure_is_not_spoken(
    server: RedisServer, link_is_lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "REDIS_ANSWER_S", 0.3 if link_is_lost else 5.0)
    monkeypatch.setattr(redis_link, "UNANSWERED", 3 if link_is_lost else 100)
    async with town(server) as it, hearing(it) as (carol, _, _):
        here, lease, mine = it.nodes[0], Lease(), Ear("numbered")
        async with here.subscribe(CAROL, mine, ""):
            it.proxy.hold()
            lease.renew(time.monotonic() + 0.2)
            here.publish(CAROL, said("0"), None, lease)
            await until(lambda: not lease.is_sure)
            if link_is_lost:
                await until(lambda: not here.connected)
                lease.lose()
            it.proxy.let_go()
            await it.all_connected()
            await until(lambda: mine.heard == ["0"])
            it.nodes[1].publish(CAROL, said("b"), None)
            await until(lambda: "b" in carol.heard)
            await anyio.sleep(0.2)  # in which it would be told
            assert carol.heard == ["b"]
            if not link_is_lost:
                assert here.connected
                lease.renew(math.inf)
                await until(lambda: carol.heard == ["b", "0"])
            here.publish(CAROL, said("last"), None)
            await until(lambda: carol.heard[-1] == mine.heard[-1] == "last")
            await it.check()


async def test_a_redis_that_does_not_keep_up_is_as_good_as_away(server: RedisServer) -> None:
    async with town(server, bound=50_000) as it:
        here, there = it.nodes
        ears = [Folding("here"), Folding("there")]
        async with here.subscribe(CAROL, ears[0], ""), there.subscribe(CAROL, ears[1], ""):
            with server.stopped():
                for number in range(200):
                    for user in (CAROL, *map(uuid, range(5))):
                        here.publish(user, delta(1, f"{number} "), None)
                assert not here.connected  # at once, and not by a time-out
                assert ears[0].text.endswith("199 ")
            await it.all_connected()
            here.publish(CAROL, delta(1, "last"), None)
            for ear in ears:
                await until(lambda ear=ear: ear.text.endswith("last"))  # type: ignore[misc]
                assert ear.text == "".join(f"{number} " for number in range(200)) + "last"


async def test_a_node_starts_without_redis_and_finds_it_later(server: RedisServer) -> None:
    server.kill()
    ear, other = Ear("a"), Ear("b")
    async with node(server.url) as a, a.subscribe(ALICE, ear, ""), a.subscribe(ALICE, other, None):
        a.publish(ALICE, said("1"), None)
        assert (ear.heard, other.heard, a.connected) == (["1"], ["1"], False)
        server.start()
        await until(lambda: a.connected)
        async with node(server.url) as b:
            b.publish(ALICE, said("2"), None)
            a.publish(ALICE, said("3"), None)
            await until(lambda: len(ear.heard) == len(other.heard) == 3)


async def test_scripts_that_redis_has_forgotten_are_loaded_again(server: RedisServer) -> None:
    async with town(server) as it:
        it.say(5)
        await it.check()
        server.command("SCRIPT", "FLUSH")
        it.say(5)
        await it.all_connected()
        it.say(5)
        await it.check()


async def test_the_loss_and_the_return_are_logged_once_each(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "threadcast")
    async with node(server.url) as a:
        caplog.clear()
        server.kill()
        await until(lambda: not a.connected)
        await anyio.sleep(0.5)  # some tries
        server.start()
        await until(lambda: a.connected)
    assert [record.getMessage() for record in caplog.records] == ["redis is away: ConnectionError", "redis is there"]


async def test_a_full_redis_is_away_once_until_there_is_room(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "threadcast")
    async with town(server) as it:
        caplog.clear()
        server.command("CONFIG", "SET", "maxmemory", "1")
        it.say(3)
        await it.all_connected(False)
        await anyio.sleep(1.5)  # many tries, of which nobody hears anything
        assert not any(each.connected for each in it.nodes)
        it.say(3)
        server.command("CONFIG", "SET", "maxmemory", "0")
        await it.all_connected()
        it.say(3)
        await it.check()
    assert sorted(record.getMessage() for record in caplog.records) == [
        *["redis is away: OutOfMemoryError"] * 2,
        *["redis is there"] * 2,
    ]


@hasty
async def test_a_link_that_is_good_for_moments_only_is_tried_less_and_less_often(
    server: RedisServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "threadcast")
    monkeypatch.setattr(redis_wire, "LONGEST_RECONNECT_S", 60.0)
    async with node(server.url) as a:
        caplog.clear()
        for number in range(1, 6):
            await until(lambda: a.connected)
            server.command("CLIENT", "KILL", "TYPE", "pubsub")
            await until(lambda number=number: len(caplog.records) >= 2 * number - 1)  # type: ignore[misc]
            assert caplog.records[2 * number - 2].getMessage().startswith("redis is away")
        began = anyio.current_time()
        await until(lambda: a.connected)
        assert anyio.current_time() - began > 0.7 * redis_wire.FIRST_RECONNECT_S * 2**4


async def test_a_line_that_is_found_closed_while_it_is_pinged_is_a_lost_one(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "PING_S", 0)
    async with aclosing(redis_link.open_pool(server.url)) as pool, redis_link.linked(pool) as link:
        connection = link._listening

        async def send(*words: str, check_health: bool) -> None:  # as the client's own, between two of its steps
            await connection.disconnect(nowait=True)
            connection._writer.write(b"")  # type: ignore[union-attr]

        monkeypatch.setattr(connection, "send_command", send)
        with pytest.raises(ConnectionError, match="closed meanwhile"):
            await link.watch()
