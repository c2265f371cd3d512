"""What travels from a run to its frames: the first of a burst at once, the rest in flushes, everything in order, none twice."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from backends.agent import ReasoningChunk, ResponseChunk
from backends.lease import Lease
from backends.metrics import Traffic
from handlers.channel import Channel, Entry, Errand
from handlers.runs import Run
from schemas.chats import ChatWithMessages, TextResponse
from schemas.errors import WsError, WsErrorCode
from schemas.events import ThreadEvent
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, fold, unsettled, untitled
from tests.support.containers import response, transcript
from tests.support.house import open_house
from tests.support.world import uuid


def delta(text: str) -> Entry:
    return response(uuid(2), uuid(4), text), ThreadEvent.GENERATING_RESPONSE_MESSAGE


FAILED = WsError(WsErrorCode.INTERNAL_SERVER_ERROR, "failed")


class Clock:
    """A time that moves only by sleeping, and what is put into the channel meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.meanwhile: list[Entry] = []
        self.channel = Channel(100)
        monkeypatch.setattr("handlers.channel.time.monotonic", lambda: self.now)
        monkeypatch.setattr("handlers.channel.anyio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(round(seconds, 6))
        await self.channel.send(self.meanwhile)
        self.meanwhile = []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock(monkeypatch)
    with closing(made.channel):
        yield made


async def test_the_first_delta_leaves_at_once_and_the_next_wait_for_the_window_and_are_joined(clock: Clock) -> None:
    await clock.channel.send([delta("a")])
    async with aclosing(clock.channel.flushes(0.010, Traffic())) as flushes:
        assert await anext(flushes) == [delta("a")]
        assert clock.slept == []
        clock.now += 0.004
        await clock.channel.send([delta("b"), delta("c")])
        clock.meanwhile = [delta("d"), FAILED]
        assert await anext(flushes) == [delta("bcd"), FAILED]
        assert clock.slept == [0.006]
        clock.now += 0.010
        await clock.channel.send([delta("e")])
        assert await anext(flushes) == [delta("e")]
        assert clock.slept == [0.006]


async def test_an_agent_that_fills_the_channel_within_a_window_is_waited_for_less_until_it_no_longer_does(clock: Clock) -> None:
    many = [delta("x") for _ in range(100)]
    await clock.channel.send([delta("a")])
    async with aclosing(clock.channel.flushes(0.016, Traffic())) as flushes:
        await anext(flushes)
        for filled in (many, many, many[:50], many[:50], many[:10], many[:10]):
            await clock.channel.send([delta("x")])
            clock.meanwhile = filled[1:]
            assert await anext(flushes) == [delta("x" * len(filled))]
    assert clock.slept == [0.016, 0.008, 0.004, 0.004, 0.004, 0.016]


async def test_what_is_no_delta_does_not_wait(clock: Clock) -> None:
    await clock.channel.send([delta("a")])
    async with aclosing(clock.channel.flushes(0.010, Traffic())) as flushes:
        await anext(flushes)
        await clock.channel.send([FAILED])
        assert await anext(flushes) == [FAILED]
    assert clock.slept == []


async def test_the_last_items_of_a_closed_channel_are_flushed(clock: Clock) -> None:
    await clock.channel.send([delta("a"), delta("b")])
    clock.channel.close()
    async with aclosing(clock.channel.flushes(0.010, Traffic())) as flushes:
        assert [flush async for flush in flushes] == [[delta("ab")]]


async def test_a_window_of_0_joins_nothing_and_waits_for_nothing(clock: Clock) -> None:
    await clock.channel.send([delta("a"), delta("b")])
    async with aclosing(clock.channel.flushes(0, Traffic())) as flushes:
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


class Joining:
    """A run whose channel is full, and those who join it: what they hear from then on, and for each whether they were told."""

    def __init__(self) -> None:
        self.channel = Channel(1)
        self.flushes = self.channel.flushes(0, Traffic())
        self.transcript = transcript()
        self.run = Run(uuid(1), uuid(2), uuid(3), self.channel, Lease(), transcript=self.transcript)
        self.told: list[str] = []
        self.were_told: list[bool] = []

    async def say(self, word: str) -> None:
        await self.channel.send(self.transcript.apply(ResponseChunk(word)))

    async def join(self) -> None:
        self.were_told.append(await self.run.tell(self.snapshot))

    def snapshot(self, chat: ChatWithMessages) -> None:
        (message,) = chat.messages.values()
        texts = [part.message for part in message.response_messages.values() if isinstance(part, TextResponse)]
        self.told.append(f"all so far: {texts}")

    async def hear(self, count: int) -> None:
        with anyio.fail_after(TIMEOUT_S):
            while len(self.told) < count:
                ((entry),) = await anext(self.flushes)
                if isinstance(entry, tuple):
                    self.told.append(cast(Any, entry[0]).response_message.message_chunk)
                else:
                    cast(Errand, entry).run(True)


@asynccontextmanager
async def a_full_channel() -> AsyncIterator[Joining]:
    it = Joining()
    with closing(it.channel):
        async with aclosing(it.flushes):
            first = Errand()
            first.answer = partial(it.told.append, "the first")
            await it.channel.send([first])
            yield it


async def test_who_joins_while_a_word_waits_for_room_gets_it_once() -> None:
    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.say, "word")
        await anyio.lowlevel.checkpoint()
        first = it.channel._rx.receive_nowait()  # there is room, and the word does not know yet
        assert isinstance(first, Errand)
        first.run(is_ours=True)
        tasks.start_soon(it.hear, 3)
        await it.join()
    assert it.told == ["the first", "word", "all so far: ['word']"]


async def test_what_is_said_while_who_joins_waits_for_room_comes_after_what_they_get() -> None:
    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        tasks.start_soon(it.join)
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(it.hear, 3)
        await it.say("word")
    assert it.told == ["the first", "all so far: []", "word"]


@pytest.mark.parametrize("seed", range(50))
async def test_each_of_many_who_join_gets_what_was_told_before_them_and_nothing_else(seed: int) -> None:
    chance = random.Random(seed)

    async def at_some_turn(act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(chance.randrange(4)):
            await anyio.lowlevel.checkpoint()
        await act()

    async def say(it: Joining) -> None:
        for number in range(20):
            await at_some_turn(partial(it.say, f"{number} "))

    async def join(it: Joining) -> None:
        for _ in range(20):
            await at_some_turn(it.join)

    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        for act in (say, join, join, join):
            tasks.start_soon(act, it)
        await it.hear(1 + 20 + 3 * 20)
    said = ""
    for told in it.told[1:]:
        if told.startswith("all so far: "):
            assert told == f"all so far: {[said] if said else []}"
        else:
            said += told


async def test_who_joins_a_stream_that_fails_is_told_that_they_were_not_told() -> None:
    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        await anext(it.flushes)
        tasks.start_soon(it.join)
        await anyio.wait_all_tasks_blocked()
        await it.flushes.aclose()
    assert it.were_told == [False]


async def test_who_joins_when_the_run_is_lost_is_told_that_they_were_not_told() -> None:
    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        await anext(it.flushes)
        tasks.start_soon(it.join)
        await anyio.wait_all_tasks_blocked()
        ((errand),) = await anext(it.flushes)
        cast(Errand, errand).run(False)
    assert (it.were_told, it.told) == ([False], [])


async def test_who_gives_up_joining_is_not_told_later() -> None:
    async with a_full_channel() as it:
        await anext(it.flushes)
        with anyio.move_on_after(0.05):
            await it.join()
        ((errand),) = await anext(it.flushes)
        cast(Errand, errand).run(True)
    assert it.told == []


async def test_who_joins_after_the_last_word_hears_when_that_has_been_told_that_they_were_not_told() -> None:
    async with a_full_channel() as it, anyio.create_task_group() as tasks:
        it.channel.close()
        tasks.start_soon(it.join)
        await anyio.wait_all_tasks_blocked()
        assert it.were_told == []
        assert [flush async for flush in it.flushes]
    assert (it.were_told, it.told) == ([False], [])


async def test_who_joins_a_stream_that_has_failed_is_told_that_they_were_not_told() -> None:
    async with a_full_channel() as it:
        await anext(it.flushes)
        await it.flushes.aclose()
        assert not await it.run.tell(it.snapshot)
        it.channel.close()
        assert not await it.run.tell(it.snapshot)
