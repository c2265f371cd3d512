"""An agent's time: its silence counts, and what it waits for while nobody takes what it says does not."""

from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from handlers.run_agent import Clock, in_time, send_all
from handlers.services import Timeouts
from tests.client import TIMEOUT_S

HASTY = Timeouts(first_token=0.1, between_tokens=0.1, run=TIMEOUT_S)


async def test_while_nobody_takes_what_it_says_its_time_stands_still() -> None:
    tx, rx = anyio.create_memory_object_stream[Any](1)
    with tx, rx, in_time(HASTY) as clock:
        async with anyio.create_task_group() as tasks:
            said: list[Any] = ["one", "two"]
            tasks.start_soon(partial(send_all, tx, said, clock.stopped))
            while not tx.statistics().tasks_waiting_send:
                await anyio.lowlevel.checkpoint()
            await anyio.sleep(3 * HASTY.between_tokens)
            assert [await rx.receive(), await rx.receive()] == said
        clock.came()


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
    async def answer() -> None:
        with in_time(HASTY) as clock:
            await agent(clock)

    with anyio.move_on_after(TIMEOUT_S):
        with pytest.raises(TimeoutError):
            await answer()
        return
    raise AssertionError("it went on for ever")
