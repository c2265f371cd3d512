"""A house whose agent speaks AG-UI, from a script, over real HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel

from settings import Settings
from tests.programs.model import Exchange, Script, StandIn, serving
from tests.support.client import TIMEOUT_S, Frame
from tests.support.house import House, open_house
from tests.support.modelled import assert_good, message_of

KEY = "the key of the tests"
Event = dict[str, Any]


@asynccontextmanager
async def remoted(settings: Settings, script: Script) -> AsyncIterator[tuple[House, StandIn]]:
    """A house whose agent follows the script."""
    async with serving(script) as agent:
        asked = replace(settings, agent=f"ag-ui:{agent.url}", ag_ui_headers={"X-Key": KEY})
        async with open_house(asked) as house:
            yield house, agent
        with anyio.fail_after(TIMEOUT_S):
            while agent.open:
                await anyio.lowlevel.checkpoint()


def saying(*events: Event) -> Script:
    """An agent that says this, whatever it is asked, in a whole run."""

    async def script(exchange: Exchange) -> None:
        await run(exchange, *events)

    return script


def in_turn(*scripts: Script) -> Script:
    """An agent that follows one script after the other, post by post."""
    left = iter(scripts)

    async def script(exchange: Exchange) -> None:
        following: Callable[[Exchange], Awaitable[None]] = next(left)
        await following(exchange)

    return script


async def begin(exchange: Exchange, *events: Event) -> None:
    await exchange.start()
    for event in (of("RUN_STARTED", **ids(exchange)), *events):
        await exchange.data(event)


async def run(exchange: Exchange, *events: Event, **finished: object) -> None:
    await begin(exchange, *events, of("RUN_FINISHED", **ids(exchange), **finished))
    await exchange.raw(b"")


def ids(exchange: Exchange) -> Event:
    return {"threadId": exchange.request["threadId"], "runId": exchange.request["runId"]}


def of(type: str, **fields: object) -> Event:
    return {"type": type, **fields}


def text(delta: str, id: str = "m1") -> Event:
    return of("TEXT_MESSAGE_CONTENT", messageId=id, delta=delta)


def call(id: str, name: str = "get_weather", args: str = "{}") -> list[Event]:
    """A call of a tool, whose input is whole."""
    return [
        of("TOOL_CALL_START", toolCallId=id, toolCallName=name),
        of("TOOL_CALL_ARGS", toolCallId=id, delta=args),
        of("TOOL_CALL_END", toolCallId=id),
    ]


def result(id: str, content: object) -> Event:
    return of("TOOL_CALL_RESULT", messageId=f"result of {id}", toolCallId=id, content=content, role="tool")


async def answered(settings: Settings, script: Script) -> list[Frame]:
    """The good stream of one prompt."""
    async with remoted(settings, script) as (house, _), house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
        return frames


def steps(frames: list[Frame]) -> list[tuple[str, str, str]]:
    """The steps of the reasoning: title, text, status."""
    parts = message_of(frames)["reasoning_messages"].values()
    return [(part["title"], part["message"], part["status"]) for part in parts]
