"""What travels from a run to its frames: the first of a burst at once, the rest in flushes, everything in order, none twice."""

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from typing import cast

import anyio
import anyio.lowlevel
import pytest

from backends.agent_events import ReasoningChunk, ResponseChunk
from backends.lease import Lease
from backends.metrics import Traffic
from handlers.channel import UNJOINED, Channel, Entry, Errand
from handlers.growing import Delta, Growing
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

LONG_S = 1000.0  # a window that no test waits for
SHORT_S = 0.05
ANSWER, OTHER = (Growing(ThreadEvent.GENERATING_RESPONSE_MESSAGE, partial(response, uuid(2), uuid(id))) for id in (4, 5))
FAILED = WsError(WsErrorCode.INTERNAL_SERVER_ERROR, "failed")


def delta(text: str, of: Growing = ANSWER) -> Delta:
    return Delta(of, [text])


def plain(flush: list[Entry]) -> list[object]:
    """The entries of a flush, to compare: of a delta its chunks as one, and the text that they belong to."""
    return [("".join(entry.chunks), entry.text) if isinstance(entry, Delta) else entry for entry in flush]


@asynccontextmanager
async def stream(window: float, capacity: int = 100) -> AsyncIterator[tuple[Channel, AsyncGenerator[list[Entry], None]]]:
    """A channel, and what its stream takes. The first delta has been taken."""
    channel = Channel(window, capacity)
    with closing(channel):
        async with aclosing(channel.flushes(Traffic())) as flushes:
            await channel.send([delta("first")])
            assert plain(await anext(flushes)) == [("first", ANSWER)]
            yield channel, flushes


async def test_the_first_delta_leaves_at_once_and_the_next_wait_for_the_window_and_are_joined() -> None:
    async with stream(SHORT_S) as (channel, flushes):
        flushed = time.monotonic()
        await channel.send([delta("a")])
        await channel.send([delta("b"), delta("c"), delta("d", OTHER), delta("e")])
        assert plain(await anext(flushes)) == [("abc", ANSWER), ("d", OTHER), ("e", ANSWER)]
        assert time.monotonic() - flushed >= SHORT_S * 0.9  # clocks differ by a little


async def test_a_delta_that_comes_while_the_stream_waits_for_its_window_joins_the_one_before_it() -> None:
    async with stream(LONG_S) as (channel, flushes), anyio.create_task_group() as tasks:
        await channel.send([delta("a")])

        async def hear() -> None:
            assert plain(await anext(flushes)) == [("abc", ANSWER), FAILED]

        tasks.start_soon(hear)
        await anyio.wait_all_tasks_blocked()
        await channel.send([delta("b")])
        await channel.send([delta("c"), FAILED])


@pytest.mark.parametrize("how", ["item", "errand", "close"])
async def test_what_is_no_delta_does_not_wait_for_the_window_and_neither_does_what_stands_before_it(how: str) -> None:
    async with stream(LONG_S) as (channel, flushes), anyio.create_task_group() as tasks:
        await channel.send([delta("a")])
        if how == "item":
            await channel.send([FAILED])
        elif how == "errand":
            tasks.start_soon(channel.tell, lambda: lambda: None)
            await anyio.wait_all_tasks_blocked()
        else:
            channel.close()
        with anyio.fail_after(TIMEOUT_S):
            first, *others = await anext(flushes)
        assert plain([first]) == [("a", ANSWER)]
        assert len(others) == (how != "close")
        for errand in others:
            if isinstance(errand, Errand):
                errand.run(is_ours=True)


async def test_a_delta_does_not_join_one_that_an_answer_has_told_of() -> None:
    async with stream(LONG_S) as (channel, flushes), anyio.create_task_group() as tasks:
        await channel.send([delta("a")])
        tasks.start_soon(channel.tell, lambda: lambda: None)
        await anyio.wait_all_tasks_blocked()
        await channel.send([delta("b")])
        before, errand, after = await anext(flushes)
        assert plain([before, after]) == [("a", ANSWER), ("b", ANSWER)]
        assert isinstance(errand, Errand)
        errand.run(is_ours=True)


@pytest.mark.parametrize("texts", [[ANSWER], [ANSWER, OTHER]])
async def test_an_agent_that_fills_the_channel_within_a_window_waits_until_it_is_taken_and_that_is_at_once(
    texts: list[Growing],
) -> None:
    async with stream(LONG_S, capacity=100) as (channel, flushes), anyio.create_task_group() as tasks:
        put = 0

        async def say() -> None:
            nonlocal put
            for number in range(250):
                await channel.send([delta("x", texts[number % len(texts)])])
                put += 1

        tasks.start_soon(say)
        await anyio.wait_all_tasks_blocked()
        assert put <= 101
        heard = 0
        with anyio.fail_after(TIMEOUT_S):
            while heard < 200:
                heard += sum(len(cast(Delta, entry).chunks) for entry in await anext(flushes))
        await channel.send([FAILED])
        await anext(flushes)
        await anyio.wait_all_tasks_blocked()
        assert put == 250


async def test_an_agent_that_waits_for_room_hears_of_the_streams_end() -> None:
    async with stream(LONG_S, capacity=10) as (channel, flushes), anyio.create_task_group() as tasks:

        async def say() -> None:
            with pytest.raises(anyio.BrokenResourceError):
                await channel.send(delta("x") for _ in range(1000))

        tasks.start_soon(say)
        await anyio.wait_all_tasks_blocked()
        await flushes.aclose()


async def test_after_the_streams_end_each_send_says_so() -> None:
    async with stream(LONG_S, capacity=2) as (channel, flushes):
        await flushes.aclose()
        for _ in range(5):
            with pytest.raises(anyio.BrokenResourceError):
                await channel.send([delta("x")])


async def test_the_last_entries_of_a_closed_channel_are_flushed() -> None:
    async with stream(LONG_S) as (channel, flushes):
        await channel.send([delta("a"), delta("b")])
        channel.close()
        assert [plain(flush) async for flush in flushes] == [[("ab", ANSWER)]]


async def test_with_a_window_of_0_each_delta_stays_as_it_was_put() -> None:
    async with stream(0) as (channel, flushes):
        await channel.send([delta("a"), delta("b")])
        assert plain(await anext(flushes)) == [("a", ANSWER), ("b", ANSWER)]
        await channel.send([delta("x") for _ in range(UNJOINED + 1)])
        assert len(await anext(flushes)) == UNJOINED  # the others, so that everybody gets a turn
        assert len(await anext(flushes)) == 1


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
        self.channel = Channel(capacity=1)
        self.flushes = self.channel.flushes(Traffic())
        self.transcript = transcript()
        self.run = Run(uuid(1), uuid(2), uuid(3), Lease(), transcript=self.transcript)
        self.run.channel = self.channel
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
                for entry in await anext(self.flushes):
                    if isinstance(entry, Delta):
                        self.told.append("".join(entry.chunks))
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
