"""When deltas leave: the first of a burst at once, the rest in flushes, everything in order, and the sum the same."""

from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace

import anyio
import pytest

from backends.agent import ReasoningChunk, ResponseChunk
from backends.metrics import Traffic
from handlers.flushing import in_flushes
from handlers.runs import Passenger
from schemas.errors import WsError, WsErrorCode
from schemas.events import ThreadEvent
from settings import Settings
from tests.agents import ScriptedAgent
from tests.client import Client, fold, unsettled, untitled
from tests.conftest import open_house
from tests.test_joining import response
from tests.world import uuid


def delta(text: str) -> Passenger:
    return response(uuid(2), uuid(4), text), ThreadEvent.GENERATING_RESPONSE_MESSAGE


FAILED = WsError(WsErrorCode.INTERNAL_SERVER_ERROR, "failed")


class Clock:
    """A time that moves only by sleeping, and what is put into the channel meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.meanwhile: list[Passenger] = []
        self.send, self.receive = anyio.create_memory_object_stream[Passenger](100)
        monkeypatch.setattr("handlers.flushing.time.monotonic", lambda: self.now)
        monkeypatch.setattr("handlers.flushing.anyio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(round(seconds, 6))
        self.put(*self.meanwhile)
        self.meanwhile = []

    def put(self, *passengers: Passenger) -> None:
        for passenger in passengers:
            self.send.send_nowait(passenger)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock(monkeypatch)
    yield made
    made.send.close()
    made.receive.close()


async def test_the_first_delta_leaves_at_once_and_the_next_wait_for_the_window_and_are_joined(clock: Clock) -> None:
    clock.put(delta("a"))
    async with aclosing(in_flushes(clock.receive, 0.010, Traffic())) as flushes:
        assert await anext(flushes) == [delta("a")]
        assert clock.slept == []
        clock.now += 0.004
        clock.put(delta("b"), delta("c"))
        clock.meanwhile = [delta("d"), FAILED]
        assert await anext(flushes) == [delta("bcd"), FAILED]
        assert clock.slept == [0.006]
        clock.now += 0.010
        clock.put(delta("e"))
        assert await anext(flushes) == [delta("e")]
        assert clock.slept == [0.006]


async def test_an_agent_that_fills_the_channel_within_a_window_is_waited_for_less_until_it_no_longer_does(clock: Clock) -> None:
    many = [delta("x") for _ in range(100)]
    clock.put(delta("a"))
    async with aclosing(in_flushes(clock.receive, 0.016, Traffic())) as flushes:
        await anext(flushes)
        for filled in (many, many, many[:50], many[:50], many[:10], many[:10]):
            clock.put(delta("x"))
            clock.meanwhile = filled[1:]
            assert await anext(flushes) == [delta("x" * len(filled))]
    assert clock.slept == [0.016, 0.008, 0.004, 0.004, 0.004, 0.016]


async def test_what_is_no_delta_does_not_wait(clock: Clock) -> None:
    clock.put(delta("a"))
    async with aclosing(in_flushes(clock.receive, 0.010, Traffic())) as flushes:
        await anext(flushes)
        clock.put(FAILED)
        assert await anext(flushes) == [FAILED]
    assert clock.slept == []


async def test_the_last_items_of_a_closed_channel_are_flushed(clock: Clock) -> None:
    clock.put(delta("a"), delta("b"))
    clock.send.close()
    async with aclosing(in_flushes(clock.receive, 0.010, Traffic())) as flushes:
        assert [flush async for flush in flushes] == [[delta("ab")]]


async def test_a_window_of_0_joins_nothing_and_waits_for_nothing(clock: Clock) -> None:
    clock.put(delta("a"), delta("b"))
    async with aclosing(in_flushes(clock.receive, 0, Traffic())) as flushes:
        assert await anext(flushes) == [delta("a")]
        assert await anext(flushes) == [delta("b")]
    assert clock.slept == []


async def test_a_burst_arrives_in_few_frames_that_say_the_same_on_all_connections(settings: Settings) -> None:
    words = [ReasoningChunk("Thinking", f"{number} ") for number in range(500)]
    agent = ScriptedAgent(*words, *(ResponseChunk(f"{number} ") for number in range(5000)))
    async with (
        open_house(replace(settings, flush_ms=10), agent) as house,
        house.connect() as client,
        house.connect() as other,
    ):
        frames = await client.post(prompt="Count")
        assert await other.stream() == frames
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert len(untitled(frames)) < 500
    assert str(range(5000)[-1]) in str(frames[-1])


async def test_a_slow_agent_is_heard_word_by_word(settings: Settings) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two"))
    agent.gate = anyio.Event()
    async with open_house(replace(settings, flush_ms=1000), agent) as house, house.connect() as client:
        await client.send({"prompt": "Count"})
        frames = [await client.frame()]
        while "one " not in str(frames[-1]):
            frames.append(await client.frame())
        agent.gate.set()
        await finish(client)


async def finish(client: Client) -> None:
    assert (await client.stream())[-1]["event"] == "complete"
