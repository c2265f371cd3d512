"""How often and how much: exactly so, each user and each connection by themselves, and a refusal costs nothing."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import replace
from typing import cast

import anyio
import anyio.lowlevel
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from backends import limits
from backends.limits import FrameRate, MemoryQuota, MemoryRateLimit, Quota, RateLimit
from backends.redis.limits import RedisRateLimit, open_redis_quota
from backends.redis.link import open_pool
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, untitled
from tests.support.database import rows
from tests.support.house import House, open_house
from tests.support.waiting import begun, until
from tests.support.world import ALICE, BOB, MISSING, REVENUE, uuid


@asynccontextmanager
async def rate_limit(kind: str, rate: str, request: pytest.FixtureRequest) -> AsyncIterator[RateLimit]:
    """Of each kind one."""
    if kind == "memory":
        yield MemoryRateLimit(rate)
        return
    pool = open_pool(request.getfixturevalue("redis").url, 16, 1.0)
    async with aclosing(pool):
        yield RedisRateLimit(pool, rate)


@asynccontextmanager
async def quota_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Quota]:
    """Of each kind one."""
    if kind == "memory":
        yield MemoryQuota()
        return
    pool = open_pool(request.getfixturevalue("redis").url, 16, 1.0)
    async with aclosing(pool), open_redis_quota(pool, "things") as quota:
        yield quota


KINDS = pytest.mark.parametrize("kind", ["memory", "redis"])


@KINDS
async def test_the_last_allowed_passes_and_the_next_is_told_when_to_come_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with rate_limit(kind, "3/minute", request) as limit:
        assert [await limit.hit(ALICE) for _ in range(3)] == [None, None, None]
        wait = await limit.hit(ALICE)
        assert wait is not None
        assert 50 < wait <= 60  # the window has only just opened
        assert await limit.hit(BOB) is None


@KINDS
async def test_posts_at_once_are_counted_one_by_one(kind: str, request: pytest.FixtureRequest) -> None:
    answers: list[int | None] = []
    async with rate_limit(kind, "10/minute", request) as limit:

        async def hit() -> None:
            answers.append(await limit.hit(ALICE))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(hit)
    assert answers.count(None) == 10


@KINDS
async def test_a_user_has_so_many_at_once_and_room_again_when_one_leaves(kind: str, request: pytest.FixtureRequest) -> None:
    entered: list[str] = []
    async with quota_of(kind, request) as quota:

        async def enter(id: str) -> None:
            if await quota.enter(ALICE, id, 5):
                entered.append(id)

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(enter, str(number))
        assert len(entered) == 5
        assert await quota.enter(BOB, "b", 5)
        for id in entered[:2]:
            quota.leave(ALICE, id)
            quota.leave(ALICE, id)  # once more changes nothing
        with anyio.fail_after(TIMEOUT_S):
            while not await quota.enter(ALICE, "later", 4):
                await anyio.lowlevel.checkpoint()
        assert not await quota.enter(ALICE, "too many", 4)


class Times:
    """Both clocks of a process, to be set."""

    def __init__(self) -> None:
        self.now, self.wall = 0.0, 1e9

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.wall


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    times = Times()
    monkeypatch.setattr(limits, "time", times)
    return times


async def test_a_user_who_stays_away_is_forgotten(times: Times) -> None:
    limit = MemoryRateLimit("1/minute")
    for number in range(100):
        times.now += 1
        await limit.hit(uuid(number))
    assert list(limit._windows) == [uuid(number) for number in range(40, 100)]


async def test_a_window_ends_when_it_said_whatever_the_wall_clock_does(times: Times) -> None:
    limit = MemoryRateLimit("2/minute")
    assert [await limit.hit(ALICE) for _ in range(3)] == [None, None, 60]
    times.wall -= 3600
    assert await limit.hit(ALICE) == 60
    times.now += 59.5
    assert [await limit.hit(BOB), await limit.hit(ALICE)] == [None, 1]
    times.now += 0.5
    assert [await limit.hit(ALICE) for _ in range(3)] == [None, None, 60]
    assert [await limit.hit(BOB), await limit.hit(BOB)] == [None, 60]


async def test_a_refused_post_reaches_its_sender_only_and_writes_nothing(settings: Settings) -> None:
    async with (
        open_house(replace(settings, rate_limit="3/minute")) as house,
        house.connect() as client,
        house.connect() as other,
        house.connect(BOB) as bob,
    ):
        for bad in ({}, {"asset_id": str(REVENUE)}, {"prompt": 5}):
            assert (await client.refusal(bad))["code"] == "BAD_REQUEST"  # not counted
        assert (await client.refusal({"metric_id": str(MISSING)}))["code"] == "NOT_FOUND"  # counted: it was looked up
        for _ in range(2):
            assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"
            assert len(untitled(await other.stream())) == 4
        before = rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")
        for payload in ({"metric_id": str(REVENUE)}, {"prompt": "Hi"}):
            error = await client.refusal(payload)
            assert error["code"] == "TOO_MANY_REQUESTS"
            assert f"retry in {error['retry_after']} seconds" in error["message"]
        assert (rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")) == before
        assert (await other.refusal({}))["code"] == "BAD_REQUEST"  # and nothing came before
        assert (await bob.post(prompt="And I?"))[-1]["event"] == "complete"


def test_a_connection_has_so_many_frames_in_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    rate = FrameRate(3)
    assert [rate.hit() for _ in range(5)] == [True, True, True, False, False]
    now += 0.999
    assert not rate.hit()
    now += 0.001
    assert [rate.hit() for _ in range(4)] == [True, True, True, False]


async def test_a_frame_too_many_is_refused_and_the_others_are_answered(settings: Settings) -> None:
    limited = replace(settings, frames_per_second=3)
    async with open_house(limited) as house, house.connect() as client, house.connect() as other:
        for number in range(5):
            await client.send({}, "/chats/list", id=str(number))
        await client.send("not an object", "/chats/list", id="5")
        await client.socket.send("no JSON")
        came = [await client.frame() for _ in range(7)]
        (unread,) = [frame for frame in came if frame["route"] == "/"]
        assert (unread["event"], unread["error"]["code"]) == ("error", "TOO_MANY_REQUESTS")
        frames = sorted((frame for frame in came if frame is not unread), key=lambda frame: str(frame["request_id"]))
        assert [frame["error"] and frame["error"]["code"] for frame in frames] == [None] * 3 + ["TOO_MANY_REQUESTS"] * 3
        assert {(frame["route"], frame["event"]) for frame in frames} == {("/chats/list", "getChatsList")}
        assert "1 second" in frames[3]["error"]["message"]
        assert {frame["error"]["retry_after"] for frame in (unread, *frames[3:])} == {1}
        assert (await other.post(prompt="And I?"))[-1]["event"] == "complete"
        figures = house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": "frames"})
        assert figures == 4


def refused(house: House, limit: str) -> float | None:
    return house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": limit})


async def test_a_user_has_so_many_connections_and_the_next_is_closed_with_4029(settings: Settings) -> None:
    async with open_house(replace(settings, max_connections_per_user=3)) as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.connect()) for _ in range(3)]
        bob = await stack.enter_async_context(house.connect(BOB))
        async with house.connect() as fourth:
            with suppress(ConnectionClosedError):
                await fourth.socket.send('{"route": "/chats/post", "payload": {"prompt": "unheard"}}')
            assert await fourth.close_code() == 4029
        assert (refused(house, "connections_per_user"), len(house.services.connections)) == (1, 4)
        assert (await clients[0].post(prompt="Hi"))[-1]["event"] == "complete"
        for client in clients[1:]:
            assert (await client.stream())[-1]["event"] == "complete"
        assert (await bob.post(prompt="Hi"))[-1]["event"] == "complete"
        await clients[1].socket.close()
        await until(lambda: len(house.services.connections) == 3)
        async with house.connect() as another:
            assert (await another.post(prompt="Hi"))[-1]["event"] == "complete"
        assert rows(house.database, "SELECT * FROM messages WHERE request = 'unheard'") == []
        await until(lambda: len(house.services.connections) == 3)
        for client in (clients[0], clients[2], bob):
            await client.socket.close()
        await until(lambda: len(house.services.connections) == 0)
        quota = house.backends.connection_quota
        assert isinstance(quota, MemoryQuota)
        assert not quota.members


async def test_a_process_has_so_many_connections_and_the_next_upgrade_is_refused(settings: Settings) -> None:
    full = replace(settings, max_connections=2)
    async with open_house(full) as house, house.connect() as alice, house.connect(BOB) as bob:
        for _ in range(2):
            with pytest.raises(InvalidStatus) as refusal:
                async with house.connect(BOB):
                    pass
            response = refusal.value.response
            error = json.loads(response.body)
            assert (response.status_code, error["code"]) == (503, "SERVICE_UNAVAILABLE")
            assert error["retry_after"] == int(response.headers["Retry-After"]) == 10
        assert refused(house, "connections") == 2
        assert (await alice.post(prompt="Hi"))[-1]["event"] == "complete"
        await bob.socket.close()
        await until(lambda: len(house.services.connections) == 1)
        async with house.connect(BOB) as again:
            assert (await again.post(prompt="Hi"))[-1]["event"] == "complete"


async def test_connections_that_come_at_once_are_counted_one_by_one(settings: Settings) -> None:
    codes: list[int | None] = []

    async def knock(house: House) -> None:
        async with house.connect() as client:
            await client.socket.send("?")
            if (await client.socket.recv())[:1]:
                codes.append(None)
                await full.wait()

    full = anyio.Event()
    async with open_house(replace(settings, max_connections_per_user=5)) as house, anyio.create_task_group() as tasks:

        async def knock_or_be_refused() -> None:
            try:
                await knock(house)
            except ConnectionClosedError as closed:
                codes.append(closed.rcvd.code if closed.rcvd else 1006)
            if len(codes) == 20:
                full.set()

        for _ in range(20):
            tasks.start_soon(knock_or_be_refused)
    assert (codes.count(None), codes.count(4029)) == (5, 15)


async def test_a_user_has_so_many_runs_and_the_next_post_is_refused(settings: Settings) -> None:
    agent = HeldAgent()
    limited = replace(settings, max_runs_per_user=2)
    async with open_house(limited, agent) as house, house.connect() as client, house.connect(BOB) as bob:
        chat = (await begun(client, "one", message_id=str(uuid(70))))[0]["payload"]["id"]
        await client.send({"prompt": "two", "chat_id": chat})  # waits for its turn, and counts
        runs = cast(MemoryQuota, house.backends.run_quota).members
        await until(lambda: len(runs[ALICE]) == 2)
        for payload in ({"prompt": "three"}, {"metric_id": str(REVENUE)}):
            await client.send(payload)
            (*_, frame) = await client.until("postThread")
            assert (frame["error"]["code"], frame["send_method"]) == ("TOO_MANY_REQUESTS", "SenderOnly")
            assert f"retry in {frame['error']['retry_after']} seconds" in frame["error"]["message"]
        await client.send({"prompt": "one", "message_id": str(uuid(70))}, id="retry")  # joins, and runs nothing
        (*_, joined) = await client.until("initializeChat")
        assert joined["request_id"] == "retry"
        await begun(bob, "one")
        agent.let_go("one")
        await client.until("complete")
        agent.let_go("four")
        await client.send({"prompt": "four"})  # there is room again
        await client.until("complete")
        agent.let_go("two")
        await client.until("complete")
        assert refused(house, "runs") == 2
        await until(lambda: not runs)  # nobody is remembered who runs nothing
        assert [row["request"] for row in rows(house.database, "SELECT request FROM messages ORDER BY request")] == [
            "four",
            "one",
            "one",
            "two",
        ]
