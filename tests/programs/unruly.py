"""Agents that raise what no program should, and agents that do not stop."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ResponseChunk
from tests.support.client import Client, Frame, is_end
from tests.support.house import House
from tests.support.world import BOB, CAROL

UNRULY = "misbehave"


async def awaits_a_cancelled_future() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def cancels_its_own_task() -> None:
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(0)


def raises(error: BaseException) -> Callable[[], Any]:
    async def act() -> None:
        raise error

    return act


DEEDS = {
    "a cancelled future": awaits_a_cancelled_future,
    "its own cancellation": cancels_its_own_task,
    "CancelledError": raises(asyncio.CancelledError()),
    "GeneratorExit": raises(GeneratorExit()),
    "BaseException": raises(BaseException("odd")),
    "SystemExit": raises(SystemExit(3)),
    "KeyboardInterrupt": raises(KeyboardInterrupt()),
    "a group": raises(BaseExceptionGroup("odd", [SystemExit(3)])),
}


class Unruly:
    """Says a word and does its deed where the prompt is UNRULY; else it says a word and waits to be let go."""

    def __init__(self, deed: Callable[[], Any], where: str) -> None:
        self.deed, self.where = deed, where
        self.gate = anyio.Event()

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        yield "A "
        if task.prompt == UNRULY and self.where == "title":
            await self.deed()
        yield "title"

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield ResponseChunk("One ")
        if task.prompt == UNRULY and self.where == "answer":
            await self.deed()
        elif task.prompt != UNRULY:
            await self.gate.wait()
        yield ResponseChunk("two")

    async def aclose(self) -> None:
        pass


@asynccontextmanager
async def others_at_work(house: House, agent: Unruly) -> AsyncIterator[None]:
    """Two users' runs have begun before the block, and come to their own whole end after it."""
    async with house.connect(BOB) as bob, house.connect(CAROL) as carol:
        begun: list[tuple[Client, list[Frame]]] = []
        for client in (bob, carol):
            await client.send({"prompt": "Wait for me"})
            begun.append((client, await client.until("generatingResponseMessage")))
        yield
        agent.gate.set()
        for client, frames in begun:
            frames += await client.stream()
            assert [frame["event"] for frame in frames if is_end(frame)] == ["complete"]
            (message,) = frames[-1]["payload"]["messages"].values()
            assert message["final_reasoning_message"].startswith("Reasoned for")
            (part,) = message["response_messages"].values()
            assert part["message"] == "One two"


class Stubborn(Unruly):
    """Swallows each of its cancellations until `released`, and goes on talking after each."""

    def __init__(self, where: str) -> None:
        super().__init__(self.stay, where)
        self.begun, self.released = anyio.Event(), asyncio.Event()

    async def stay(self) -> None:
        self.begun.set()
        while not self.released.is_set():
            with suppress(asyncio.CancelledError):
                await self.released.wait()
