"""Two nodes on one Redis: whoever is connected to either hears all, once and in order, and resumes on any."""

import random
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from backends import open_backends
from backends.frame import Frame
from backends.redis.broker import RedisBroker
from backends.redis.outgoing import Order
from backends.resume import ResumeLimits
from schemas.frames import WsSendMethod
from settings import Settings, SettingsError
from tests.support.house import SECRET
from tests.support.redis import RedisServer, node, redis_server
from tests.support.telling import Ear, delta, said, told
from tests.support.waiting import until
from tests.support.world import ALICE, BOB, uuid

ROOMY = ResumeLimits(entries=10_000, size=2**24, seconds=60)


class Reader:
    """A client that can resume: it has all frames that it was ever given."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.place = ""
        self.lost = 0

    @asynccontextmanager
    async def reading(self, broker: RedisBroker, id: str = "reader") -> AsyncIterator[None]:
        connection = Connected(id, self.frames)
        async with broker.subscribe(ALICE, connection, self.place) as resumption:
            assert resumption
            self.lost += not resumption.recovered
            self.frames += resumption.frames
            connection.given = True
            before = resumption.offset
            yield
        offsets = [frame.offset for frame in self.frames if frame.offset > before]
        self.place = f"{resumption.epoch}:{offsets[-1] if offsets else before}"

    def check(self) -> None:
        offsets = [frame.offset for frame in self.frames]
        assert offsets == sorted(set(offsets))
        assert self.lost == 0


class Connected:
    def __init__(self, id: str, frames: list[Frame]) -> None:
        self.id = id
        self.frames = frames
        self.given = False

    def put(self, frame: Frame) -> None:
        assert self.given
        self.frames.append(frame)

    def cut(self) -> None:
        raise AssertionError("cut")


@pytest.fixture
async def nodes(redis: RedisServer) -> AsyncIterator[tuple[RedisBroker, RedisBroker]]:
    async with node(redis.url, ROOMY) as a, node(redis.url, ROOMY) as b:
        yield a, b


Nodes = tuple[RedisBroker, RedisBroker]


async def test_all_connections_on_both_nodes_hear_all_in_order(nodes: Nodes) -> None:
    ears = [Ear(str(number)) for number in range(4)]
    async with AsyncExitStack() as stack:
        for number, ear in enumerate(ears):
            await stack.enter_async_context(nodes[number // 2].subscribe(ALICE, ear, "" if number % 2 == 0 else None))

        async def say(speaker: int) -> None:
            for number in range(200):
                nodes[speaker].publish(ALICE, said(f"{speaker} {number}"), None)
                if number % 7 == 0:
                    await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(say, 0)
            tasks.start_soon(say, 1)
        for ear in ears:
            await until(lambda ear=ear: len(ear.heard) == 400)  # type: ignore[misc]
            for speaker in "01":
                mine = [text for text in ear.heard if text.startswith(speaker)]
                assert mine == [f"{speaker} {number}" for number in range(200)]
    numbered = ears[::2]
    assert numbered[0].heard == numbered[1].heard
    assert numbered[0].offsets == numbered[1].offsets == sorted(set(numbered[0].offsets))


@pytest.mark.parametrize("seed", range(12))
async def test_a_client_that_is_cut_at_random_and_resumes_anywhere_has_all_of_both_streams(nodes: Nodes, seed: int) -> None:
    chance = random.Random(seed)
    reader, witness = Reader(), Reader()
    done = anyio.Event()

    async def say(speaker: int) -> None:
        for number in range(300):
            nodes[speaker].publish(ALICE, delta(speaker + 1, f"{number} "), None)
            if chance.random() < 0.1:
                await anyio.sleep(chance.random() / 200)

    async def read() -> None:
        while not done.is_set():
            async with reader.reading(chance.choice(nodes)):
                await anyio.sleep(chance.random() / 50)

    async with nodes[0].subscribe(BOB, Ear("bob"), ""), witness.reading(nodes[1], "witness"):
        async with anyio.create_task_group() as tasks:
            async with reader.reading(nodes[0]):
                pass  # its place is before all
            tasks.start_soon(read)
            async with anyio.create_task_group() as speaking:
                speaking.start_soon(say, 0)
                speaking.start_soon(say, 1)
            done.set()
        async with reader.reading(nodes[0]):
            await until(lambda: told(reader.frames) == told(witness.frames) and len(witness.frames) == 600)
    for each in (reader, witness):
        each.check()
    assert told(reader.frames) == {str(uuid(n)): "".join(f"{number} " for number in range(300)) for n in (1, 2)}


class HeldRead:
    """Lets the test say when a place is read, and when its answer comes."""

    def __init__(self, broker: RedisBroker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broker = broker
        self.asked = anyio.Event()
        self._order = broker.wire.order
        monkeypatch.setattr(broker.wire, "order", self.hold)

    def hold(self, order: Order) -> None:
        self.held = order
        self.asked.set()

    async def read(self) -> None:
        answered = anyio.Event()

        def keep(answer: object) -> None:
            self.answer = answer
            answered.set()

        self._order(Order(self.held.command, keep))
        await answered.wait()

    def let_go(self) -> None:
        self.held.answered(self.answer)


@pytest.mark.parametrize("speaker", [0, 1])
@pytest.mark.parametrize(("before", "between"), [(0, 0), (0, 3), (2, 0), (2, 3)])
@pytest.mark.parametrize("resumes", [False, True])
async def test_what_is_said_while_a_place_is_looked_up_is_heard_once(
    nodes: Nodes, speaker: int, before: int, between: int, resumes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first connection of a user: it is there, then its place is read, then the answer comes, and frames at any point."""
    count = 0

    async def say(frames: int) -> None:
        nonlocal count
        for _ in range(frames):
            nodes[speaker].publish(ALICE, said(str(count)), None)
            count += 1
        await nodes[speaker].flush()
        await until(lambda: nodes[0]._logs.floor == nodes[1]._logs.floor)  # and the other one has heard it

    reader = Reader()
    async with reader.reading(nodes[1]):
        pass
    await say(2)
    if not resumes:
        reader.place = ""
    held = HeldRead(nodes[0], monkeypatch)
    async with anyio.create_task_group() as tasks:
        left = anyio.Event()

        async def read() -> None:
            async with reader.reading(nodes[0]):
                await left.wait()

        tasks.start_soon(read)
        await held.asked.wait()
        await say(before)
        await held.read()
        await say(between)
        held.let_go()
        await say(2)
        left.set()
    texts = [frame.message.error.message for frame in reader.frames if frame.message.error]
    assert texts == [str(number) for number in range(0 if resumes else 2 + before, count)]
    reader.check()


async def test_who_leaves_while_its_place_is_looked_up_leaves_nothing(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldRead(nodes[0], monkeypatch)
    async with anyio.create_task_group() as tasks:

        async def read() -> None:
            async with nodes[0].subscribe(ALICE, Ear("a"), ""):
                raise AssertionError

        tasks.start_soon(read)
        await held.asked.wait()
        order = held.held
        tasks.cancel_scope.cancel()
    assert not nodes[0]._users
    order.answered([b"0" * 16, b"5", 1, b"0", []])
    monkeypatch.undo()
    ear = Ear("a")
    async with nodes[0].subscribe(ALICE, ear, ""):  # from one to none to one
        nodes[1].publish(ALICE, said("x"), None)
        await until(lambda: ear.heard == ["x"])


async def test_the_last_that_leaves_takes_no_frame_from_the_first_that_comes(nodes: Nodes) -> None:
    heard: list[str] = []
    for number in range(50):
        ear = Ear(str(number))
        async with nodes[0].subscribe(ALICE, ear, None):
            nodes[1].publish(ALICE, said(str(number)), None)
            await until(lambda ear=ear, number=number: str(number) in ear.heard)  # type: ignore[misc]
        heard += ear.heard
    assert heard == [str(number) for number in range(50)]


async def test_an_answer_reaches_one_connection_on_another_node_in_its_place(nodes: Nodes) -> None:
    asker, other = Ear("asker"), Ear("other")
    async with nodes[1].subscribe(ALICE, asker, None), nodes[1].subscribe(ALICE, other, ""):
        for number in range(3):
            nodes[0].publish(ALICE, said(f"all {number}"), None)
            nodes[0].publish(ALICE, said(f"one {number}", WsSendMethod.SENDER_ONLY), "asker")
        await until(lambda: len(asker.heard) == 6 and len(other.heard) == 3)
    assert asker.heard == [f"{who} {number}" for number in range(3) for who in ("all", "one")]
    assert other.heard == [f"all {number}" for number in range(3)]


async def test_a_frame_of_either_node_says_which_connection_asked_for_it(nodes: Nodes) -> None:
    frames: list[Frame] = []
    asker = Connected("asker", frames)
    async with nodes[1].subscribe(ALICE, asker, ""):
        asker.given = True
        for each in nodes:
            each.publish(ALICE, said("one", WsSendMethod.SENDER_ONLY), "asker")
            each.publish(ALICE, said("all"), None)
        await until(lambda: len(frames) == 4)
    assert sorted(str(frame.asked_by) for frame in frames) == ["None", "None", "asker", "asker"]


async def test_notices_reach_all_other_nodes_in_order_and_a_bad_listener_breaks_nothing(redis: RedisServer) -> None:
    async with node(redis.url) as a, node(redis.url) as b, node(redis.url) as c:
        notices: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}

        def broken(notice: bytes) -> None:
            notices["b"].append(notice)
            raise ZeroDivisionError

        with a.listen(notices["a"].append), b.listen(broken), c.listen(notices["c"].append):
            for number in range(20):
                a.tell(b"\x00 %d" % number)
            await until(lambda: len(notices["b"]) == len(notices["c"]) == 20)
        assert notices["b"] == notices["c"] == [b"\x00 %d" % number for number in range(20)]
        assert notices["a"] == []
        assert b.connected


async def test_nodes_on_another_database_of_the_same_redis_are_not_heard(redis: RedisServer) -> None:
    server = redis.url.removesuffix("/0")
    async with node(server) as a, node(f"{server}/0") as b, node(f"{server}/1") as c, node(f"{server}?db=1") as d:
        brokers = {"a": a, "b": b, "c": c, "d": d}
        ears = {name: Ear(name) for name in brokers}
        notices: dict[str, list[bytes]] = {name: [] for name in brokers}
        async with AsyncExitStack() as stack:
            for name, broker in brokers.items():
                stack.enter_context(broker.listen(notices[name].append))
                await stack.enter_async_context(broker.subscribe(ALICE, ears[name], None))
            for name, broker in brokers.items():
                broker.tell(name.encode())
                broker.publish(ALICE, said(name), None)
                await broker.flush()
            await until(lambda: all(len(ear.heard) >= 2 for ear in ears.values()))
        assert [ears[name].heard for name in "abcd"] == [["a", "b"], ["a", "b"], ["c", "d"], ["c", "d"]]
        assert notices == {"a": [b"b"], "b": [b"a"], "c": [b"d"], "d": [b"c"]}


async def test_what_is_kept_of_a_user_expires_when_they_have_gone_and_not_before(redis: RedisServer) -> None:
    limits = ResumeLimits(entries=10, size=10_000, seconds=1)
    ear = Ear("a")
    async with node(redis.url, limits) as a:
        async with a.subscribe(ALICE, ear, "") as start:
            assert start
            a.publish(ALICE, said("x"), None)
            await until(lambda: ear.heard == ["x"])
            await anyio.sleep(2)  # for that is what is promised: to outlive its seconds
            async with a.subscribe(ALICE, Ear("b"), f"{start.epoch}:{start.offset}") as resumed:
                assert resumed
                assert resumed.recovered
        keys = [key for key in redis.command("KEYS", "threadcast:*").decode().split() if key.startswith("threadcast:")]
        assert len(keys) == 3
        for key in keys:
            ttl = int(redis.command("TTL", key)[1:])
            assert 0 <= ttl <= (86_400 if "fence" in key else 1)
        await until(lambda: b"place" not in redis.command("KEYS", "threadcast:*"))
        assert not a._users


async def test_what_is_kept_of_a_user_to_whom_nothing_is_said_does_not_expire_either(redis: RedisServer) -> None:
    limits = ResumeLimits(entries=10, size=10_000, seconds=1)
    async with (
        node(redis.url, limits) as a,
        a.subscribe(ALICE, Ear("plain"), None),
        a.subscribe(ALICE, Ear("numbered"), "") as start,
    ):
        assert start
        await anyio.sleep(2)  # as above
        async with a.subscribe(ALICE, Ear("again"), f"{start.epoch}:{start.offset}") as resumed:
            assert resumed
            assert resumed.recovered


async def test_a_log_that_redis_has_evicted_is_not_recovered(redis: RedisServer) -> None:
    ear = Ear("a")
    async with node(redis.url) as a, a.subscribe(ALICE, ear, "") as start:
        assert start
        for text in "12":
            a.publish(ALICE, said(text), None)
        await until(lambda: len(ear.heard) == 2)
        redis.command("DEL", f"threadcast:{{{ALICE}}}:log:{a._logs.run_id}")
        for since in (f"{start.epoch}:{start.offset}", f"{start.epoch}:0"):
            async with a.subscribe(ALICE, Ear("b"), since) as lost:
                assert lost
                assert not lost.recovered
        a.publish(ALICE, said("3"), None)
        await until(lambda: len(ear.heard) == 3)
        async with a.subscribe(ALICE, Ear("b"), f"{start.epoch}:{start.offset}") as lost:
            assert lost
            assert not lost.recovered
        async with a.subscribe(ALICE, Ear("b"), f"{start.epoch}:{ear.offsets[1]}") as resumed:
            assert resumed
            assert [frame.offset for frame in resumed.frames] == ear.offsets[2:]


async def test_a_wrong_password_stops_the_start_and_is_not_quoted(settings: Settings) -> None:
    with redis_server("--requirepass", "right") as server:
        for password in ("", ":wr0ng@"):
            url = server.url.replace("//", f"//{password}")
            with pytest.raises(SettingsError) as refused:
                async with open_backends(replace(settings, broker_url=url), SECRET):
                    pass
            assert "THREADCAST_BROKER_URL" in str(refused.value)
            assert "wr0ng" not in str(refused.value)
        url = server.url.replace("//", "//:right@")
        async with open_backends(replace(settings, broker_url=url), SECRET) as backends:
            assert backends.broker.connected


async def test_a_url_that_redis_does_not_understand_stops_the_start_and_is_not_quoted(settings: Settings) -> None:
    with pytest.raises(SettingsError) as refused:
        async with open_backends(replace(settings, broker_url="redis://:password@host/0?timeout=soon"), SECRET):
            pass
    assert str(refused.value) == "THREADCAST_BROKER_URL has a part that is not understood"


async def test_without_the_extra_the_start_says_what_to_install(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("backends.redis.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(SettingsError, match=r"threadcast\[redis\]"):
        async with open_backends(replace(settings, broker_url="redis://127.0.0.1:1"), SECRET):
            pass
