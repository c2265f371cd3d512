"""An agent's time: its silence counts, and what it waits for while nobody takes what it says does not."""

import asyncio
import math
from collections.abc import AsyncGenerator
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from backends.agent import AgentEvent, AgentTask, ResponseChunk
from backends.nodes import Lease
from handlers.run_agent import Clock, run_agent, send_all, supervised
from handlers.runs import Run
from handlers.services import Services, Timeouts
from schemas.chats import ChatWithMessages, TextResponse
from tests.client import TIMEOUT_S
from tests.test_transcript import transcript
from tests.world import uuid

HASTY = Timeouts(first_token=0.1, between_tokens=0.1, run=TIMEOUT_S)
HASTY_NOT = Timeouts(first_token=1000, between_tokens=1000, run=1000)


async def under_supervision(work: Any, timeouts: Timeouts = HASTY) -> bool:
    """What becomes of the work with nobody who stops it."""
    services = SimpleNamespace(timeouts=timeouts, runs=SimpleNamespace(left_behind=set()))
    return await supervised(cast(Services, services), work, asyncio.get_running_loop().create_future())


async def test_while_nobody_takes_what_it_says_its_time_stands_still() -> None:
    tx, rx = anyio.create_memory_object_stream[Any](1)
    said: list[Any] = ["one", "two"]

    async def say(clock: Clock) -> None:
        await send_all(tx, transcript(), said, clock.stopped)

    with tx, rx:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(under_supervision, say))
            while not tx.statistics().tasks_waiting_send:
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(3 * HASTY.between_tokens)
            assert [await rx.receive(), await rx.receive()] == said


class Joining:
    """A run whose channel is full, and who joins it: `told` is what it hears from then on."""

    def __init__(self) -> None:
        self.tx, self.rx = anyio.create_memory_object_stream[Any](1)
        self.transcript = transcript()
        self.run = Run(uuid(1), uuid(2), uuid(3), self.tx, Lease(), transcript=self.transcript)
        self.told: list[str] = []
        self.tx.send_nowait(None)

    async def say(self, word: str) -> None:
        await send_all(self.tx, self.transcript, self.transcript.apply(ResponseChunk(word)))

    async def join(self) -> None:
        await self.run.tell(self.snapshot)

    def snapshot(self, chat: ChatWithMessages) -> None:
        (message,) = chat.messages.values()
        texts = [part.message for part in message.response_messages.values() if isinstance(part, TextResponse)]
        self.told.append(f"all so far: {texts}")

    async def hear(self, count: int) -> None:
        with anyio.fail_after(TIMEOUT_S):
            while len(self.told) < count:
                passenger = await self.rx.receive()
                if isinstance(passenger, tuple):
                    self.told.append(passenger[0].response_message.message_chunk)
                else:
                    passenger()


async def test_who_joins_while_a_word_waits_for_room_gets_it_once() -> None:
    it = Joining()
    with it.tx, it.rx:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.say, "word")
            await anyio.lowlevel.checkpoint()
            assert it.transcript.is_ahead
            tasks.start_soon(it.hear, 2)
            it.rx.receive_nowait()  # there is room, and the word does not know yet
            await it.join()
    assert it.told == ["word", "all so far: ['word']"]


async def test_what_is_said_while_who_joins_waits_for_room_comes_after_what_they_get() -> None:
    it = Joining()
    with it.tx, it.rx:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(it.join)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(it.hear, 2)
            it.rx.receive_nowait()
            await it.say("word")
    assert it.told == ["all so far: []", "word"]


async def silence(clock: Clock) -> None:
    await anyio.sleep_forever()


async def silence_after_a_token(clock: Clock) -> None:
    clock.came()
    await anyio.sleep_forever()


async def silence_after_a_wait(clock: Clock) -> None:
    with clock.stopped():
        await anyio.sleep(2 * HASTY.between_tokens)
    await anyio.sleep_forever()


@pytest.mark.parametrize("agent", [silence, silence_after_a_token, silence_after_a_wait])
async def test_its_silence_ends_it(agent: Any) -> None:
    with anyio.move_on_after(TIMEOUT_S):
        with pytest.raises(TimeoutError):
            await under_supervision(agent)
        return
    raise AssertionError("it went on for ever")


async def chatter(clock: Clock) -> None:
    while True:
        clock.came()
        await anyio.sleep(0.01)


async def test_an_agent_that_never_falls_silent_ends_with_its_run_time() -> None:
    with anyio.fail_after(TIMEOUT_S), pytest.raises(TimeoutError):
        await under_supervision(chatter, Timeouts(first_token=TIMEOUT_S, between_tokens=TIMEOUT_S, run=0.2))


async def test_the_time_between_tokens_counts_from_the_first_however_long_that_one_may_take() -> None:
    with anyio.fail_after(TIMEOUT_S), pytest.raises(TimeoutError):
        await under_supervision(silence_after_a_token, Timeouts(first_token=1000, between_tokens=0.1, run=1000))


class Untitled:
    """Has no title, and says nothing."""

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        for word in list[str]():
            yield word

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        await anyio.sleep_forever()
        yield ResponseChunk("never")

    async def aclose(self) -> None:
        pass


async def test_what_waits_for_room_when_the_run_is_stopped_is_told_all_the_same() -> None:
    tx, rx = anyio.create_memory_object_stream[Any](1)
    grown = transcript()
    grown.chat.title, grown.wants_title = "", True
    run = Run(uuid(1), uuid(2), uuid(3), tx, Lease(), transcript=grown)
    backends, runs = SimpleNamespace(agent=Untitled()), SimpleNamespace(left_behind=set())
    services = SimpleNamespace(timeouts=HASTY_NOT, backends=backends, runs=runs)
    checkpoints = SimpleNamespace(due=math.inf)
    with tx, rx:
        tx.send_nowait("what fills the channel")
        async with anyio.create_task_group() as tasks:
            arguments = (services, run, AgentTask("Go"), grown, checkpoints)
            tasks.start_soon(run_agent, *cast(Any, arguments))
            while grown.wants_title:
                await anyio.lowlevel.checkpoint()
            run.stop()
        said: list[Any] = [rx.receive_nowait(), rx.receive_nowait()]
    assert said[1][0].title == grown.chat.title
