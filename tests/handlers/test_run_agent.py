"""An agent's time: its silence counts, and what it waits for while nobody takes what it says does not."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import anyio
import anyio.lowlevel
import pytest

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ResponseChunk
from backends.lease import Lease
from backends.metrics import Traffic
from handlers.channel import Channel, Errand
from handlers.run_agent import AgentClock, run_agent, supervised
from handlers.runs import Run
from handlers.services import Services, Timeouts
from tests.support.client import TIMEOUT_S
from tests.support.containers import transcript
from tests.support.world import uuid

HASTY = Timeouts(first_token=0.1, between_tokens=0.1, run=TIMEOUT_S)
HASTY_NOT = Timeouts(first_token=1000, between_tokens=1000, run=1000)


async def under_supervision(work: Any, timeouts: Timeouts = HASTY) -> bool:
    """What becomes of the work with nobody who stops it."""
    services = SimpleNamespace(timeouts=timeouts, runs=SimpleNamespace(left_behind=set()))
    return await supervised(cast(Services, services), work, asyncio.get_running_loop().create_future())


async def test_while_nobody_takes_what_it_says_its_time_stands_still() -> None:
    channel = Channel(capacity=1)
    said: list[Any] = ["one", "two"]

    async def say(clock: AgentClock) -> None:
        await channel.send(said, clock.stopped)

    async with aclosing(channel.flushes(Traffic())) as flushes, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(under_supervision, say))
        await anyio.sleep(3 * HASTY.between_tokens)
        heard = await anext(flushes)
        while len(heard) < len(said):
            heard += await anext(flushes)
        assert heard == said
    channel.close()


async def silence(clock: AgentClock) -> None:
    await anyio.sleep_forever()


async def silence_after_a_token(clock: AgentClock) -> None:
    clock.came()
    await anyio.sleep_forever()


async def silence_after_a_wait(clock: AgentClock) -> None:
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


async def chatter(clock: AgentClock) -> None:
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
    channel = Channel(capacity=1)
    grown = transcript()
    grown.chat.title, grown.wants_title = "", True
    run = Run(uuid(1), uuid(2), uuid(3), Lease(), transcript=grown)
    run.channel = channel
    backends, runs = SimpleNamespace(agent=Untitled()), SimpleNamespace(left_behind=set())
    services = SimpleNamespace(timeouts=HASTY_NOT, backends=backends, runs=runs)
    checkpoints = SimpleNamespace(due=math.inf)
    await channel.send([Errand()])  # what fills the channel
    async with anyio.create_task_group() as tasks:
        arguments = (services, run, AgentTask("Go"), grown, checkpoints)
        tasks.start_soon(run_agent, *cast(Any, arguments))
        while grown.wants_title:
            await anyio.lowlevel.checkpoint()
        run.stop()
    async with aclosing(channel.flushes(Traffic())) as flushes:
        heard = await anext(flushes)
        while len(heard) < 2:
            heard += await anext(flushes)
    frame, _ = cast(Any, heard[1])
    channel.close()
    assert frame.title == grown.chat.title
