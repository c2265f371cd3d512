"""Redis killed, stopped, cut off, or too slow: every frame is heard once and in order, or who misses one has to come again."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from backends import redis_link
from backends.frame import Frame
from backends.redis import RedisBroker
from backends.resume import ResumeLimits
from schemas.chats import TextResponse
from schemas.events import GeneratingResponseMessage, WsEvent
from schemas.frames import WsResponseMessage
from tests.proxy import Proxy
from tests.redis import RedisServer, node, place_in, redis_server
from tests.test_broker import Ear, said
from tests.test_connection import until
from tests.test_resume import delta
from tests.world import ALICE, BOB, CAROL

ROOMY = ResumeLimits(entries=10_000, size=2**24, seconds=60)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is noticed within half a second."""
    monkeypatch.setattr(redis_link, "ANSWER_S", 0.3)
    monkeypatch.setattr(redis_link, "PING_S", 0.1)


hasty = pytest.mark.usefixtures("_hasty")


@dataclass
class Town:
    """Two nodes, the first behind a proxy, each with a connection of Alice's that is numbered and one that is not."""

    proxy: Proxy
    nodes: tuple[RedisBroker, RedisBroker]
    ears: list[Ear]
    places: list[str]
    said: int = 0

    def say(self, count: int = 1) -> None:
        """Both nodes speak."""
        for _ in range(count):
            for name, each in zip("ab", self.nodes, strict=True):
                each.publish(ALICE, said(f"{name} {self.said}"), None)
            self.said += 1

    async def all_connected(self, connected: bool = True) -> None:
        await until(lambda: all(each.connected is connected for each in self.nodes))

    async def check(self) -> None:
        """That within 5 s everybody has heard all, each speaker's words once and in order, and offsets only increase."""
        for ear in self.ears:
            await until(lambda ear=ear: len(ear.heard) >= 2 * self.said)  # type: ignore[misc]
            for name in "ab":
                assert [text for text in ear.heard if text[0] == name] == [f"{name} {number}" for number in range(self.said)]
            offsets = [offset for offset in ear.offsets if offset]
            if ear.id.startswith("numbered"):
                assert offsets == sorted(set(offsets))
            assert not ear.is_cut
        for each in self.nodes:
            await each.flush()
            assert each.connected
            assert not each._unheard
            assert each._unheard_size == 0
            assert each.wire.is_idle


@asynccontextmanager
async def town(server: RedisServer, limits: ResumeLimits = ROOMY, bound: int = 2**20) -> AsyncIterator[Town]:
    proxy = Proxy(server.port)
    async with (
        proxy.serving() as port,
        node(f"redis://127.0.0.1:{port}/0", limits, bound) as a,
        node(server.url, limits, bound) as b,
        AsyncExitStack() as stack,
    ):
        made = Town(proxy, (a, b), [], [])
        for broker in made.nodes:
            for since in ("", None):
                ear = Ear(f"{'plain' if since is None else 'numbered'} {len(made.ears)}")
                resumption = await stack.enter_async_context(broker.subscribe(ALICE, ear, since))
                made.ears.append(ear)
                if resumption:
                    made.places.append(f"{resumption.epoch}:{resumption.offset}")
        yield made


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
        place = f"threadcast:{{{ALICE}}}:place:{a._logs.life}"
        server.command("HSET", place, "epoch", "e" * 16, "base", ahead, "offset", ahead, "forgotten", ahead, "bytes", "0")
        async with a.subscribe(ALICE, ear, ""):
            server.kill()
            await until(lambda: not a.connected)
            server.start()
            await until(lambda: a.connected)
            a.publish(ALICE, said("1"), None)
            await until(lambda: ear.heard == ["1"])
            assert ear.offsets[0] > int(ahead)


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


async def test_who_connects_during_an_outage_is_served_and_hears_the_others_afterwards(server: RedisServer) -> None:
    async with town(server) as it:
        it.proxy.refuses = True
        it.proxy.cut()
        await until(lambda: not it.nodes[0].connected)
        plain, numbered = Ear("plain late"), Ear("numbered late")
        async with (
            it.nodes[0].subscribe(ALICE, plain, None),
            it.nodes[0].subscribe(ALICE, numbered, "") as start,
            it.nodes[0].subscribe(ALICE, Ear("later"), it.places[0]) as lost,
        ):
            assert start
            assert lost
            assert (start.recovered, lost.recovered) == (True, False)
            it.say(10)
            assert plain.heard == numbered.heard == [f"a {number}" for number in range(10)]
            it.proxy.refuses = False
            it.ears += [plain, numbered]
            await it.all_connected()
            it.say(10)
            await it.check()
            assert not await recovered(it.nodes[0], f"{start.epoch}:{numbered.offsets[-1]}")


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


def end(text: str) -> WsResponseMessage:
    message = said(text)
    message.event = WsEvent.POST_THREAD
    return message


class Folding(Ear):
    """Puts the deltas together."""

    text = ""

    def put(self, frame: Frame) -> None:
        match frame.message.payload:
            case GeneratingResponseMessage(TextResponse(message_chunk=str(chunk))):
                self.text += chunk
            case _:
                super().put(frame)


async def away(it: Town) -> None:
    """Keep the first node from Redis."""
    it.proxy.refuses = True
    it.proxy.cut()
    await until(lambda: not it.nodes[0].connected)


async def back(it: Town) -> None:
    it.proxy.refuses = False
    await it.all_connected()


async def test_deltas_that_wait_through_an_outage_are_joined_and_all_arrive(server: RedisServer) -> None:
    async with town(server, bound=50_000) as it:
        here, there = it.nodes
        ears = [Folding(user) for user in ("carol", "bob")]
        async with there.subscribe(CAROL, ears[0], None), there.subscribe(BOB, ears[1], None):
            await away(it)
            for number in range(2000):
                for user in (CAROL, BOB):
                    here.publish(user, delta(1, f"{number} ").message, None)
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
            await until(lambda: "end 19" in ear.heard)
            assert [text for text in ear.heard if "end" in text] == [f"end {number}" for number in range(20)]
            assert len(ear.heard) < 50
            assert not await recovered(there, it.places[1])
            assert await recovered(there, "")


async def test_a_redis_that_does_not_keep_up_is_as_good_as_away(server: RedisServer) -> None:
    async with town(server, bound=50_000) as it:
        here, there = it.nodes
        ears = [Folding("here"), Folding("there")]
        async with here.subscribe(CAROL, ears[0], ""), there.subscribe(CAROL, ears[1], ""):
            with server.stopped():
                for number in range(200):
                    here.publish(CAROL, delta(1, f"{number} ").message, None)
                assert not here.connected  # at once, and not by a time-out
                assert ears[0].text.endswith("199 ")
            await it.all_connected()
            here.publish(CAROL, delta(1, "last").message, None)
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
