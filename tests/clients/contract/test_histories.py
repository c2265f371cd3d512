"""Whatever befalls the connections of a client, it ends up with what the server has. `--seeds 0-999` tries more histories."""

import asyncio
from contextlib import AsyncExitStack, suppress
from uuid import UUID

import pytest

from tests.support.contract import agrees, chat_of, opened, posted_once, text_of
from tests.support.driver import Driver, Refused, driving
from tests.support.history import Story, story
from tests.support.hostile import Hostile
from tests.support.paced import said, told

DONE_S = 60  # for a story with long back-offs in it
THOUGHT = "This was a thought."  # which the paced agent takes back


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        first, last = metafunc.config.getoption("--seeds").split("-")
        metafunc.parametrize("seed", range(int(first), int(last) + 1))


async def unrefused(driver: Driver) -> None:
    """A person who logs in again whenever the token was refused twice."""
    while True:
        await asyncio.sleep(0.2)  # `until` would be left pending at the end
        with suppress(Refused):  # before it is opened it has no state
            if await driver.says("state") == "refused":
                await driver.says("connect")


async def told_story(story: Story, driver: Driver, *others: Driver) -> None:
    reads = {}
    chat = ""
    for number, prompt in enumerate(story.prompts):
        name = f"answer {number}"
        if story.follow_up and number == len(story.prompts) - 1:
            chat = await chat_of(driver, (await driver.done("answer 0", DONE_S))["id"])
        await driver.post(name, prompt=prompt, **({"chatId": chat} if chat else {}))
        reads[name] = prompt, driver.will("read", name, within=2 * DONE_S)
    for name, (prompt, reading) in reads.items():
        message = await driver.done(name, DONE_S)
        assert text_of(message) == said(prompt) == await driver.text(name)
        for other in others:
            await other.says("openChat", chat=await chat_of(driver, message["id"]))
        read = await asyncio.wait_for(reading, DONE_S)
        thought = read.removesuffix(said(prompt))
        assert story.is_lossy or thought == "" or ("thought" in told(prompt) and THOUGHT.startswith(thought)), read


async def test_after_any_history_the_client_has_what_the_server_has(
    driver: Driver, kind: str, hostile: Hostile, user: UUID, port: int, seed: int
) -> None:
    told = story(seed)
    async with AsyncExitStack() as stack:
        devices = [driver, *([await stack.enter_async_context(driving(kind))] if told.bystander else [])]
        hostile.history, hostile.posts, hostile.blocked = told.lines, told.posts, 403 if told.blocked else 0
        for each in devices:
            await opened(each, hostile, user, **({"sse": True} if told.sse else {}))
        logging_in = [asyncio.ensure_future(unrefused(each)) for each in devices]
        try:
            await told_story(told, *devices)
            for each in devices:
                await agrees(each, port, user)
            await posted_once(port, user, *told.prompts)
        except BaseException as error:
            error.add_note(f"{told}\n--seeds {seed}-{seed}; ways {[way.partition('?')[0] for way in hostile.ways]}")
            raise
        finally:
            for waiting in logging_in:
                waiting.cancel()
            await asyncio.gather(*logging_in, return_exceptions=True)
        for each in devices:
            await each.says("close")
            assert await each.exited() == 0
