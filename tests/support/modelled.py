"""A house with a model behind it, over real HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from settings import Settings
from tests.programs.model import Exchange, Script, StandIn, serving
from tests.support.client import TIMEOUT_S, Frame, fold, unsettled
from tests.support.database import as_stored, stored_chat
from tests.support.house import House, open_house

KEY = "the key of the tests"


@asynccontextmanager
async def modelled(settings: Settings, answer: Script, title: Script | None = None) -> AsyncIterator[tuple[House, StandIn]]:
    """A house whose model follows the script `answer`, and `title` when a title is asked for."""

    async def script(exchange: Exchange) -> None:
        await (title or make_title if exchange.is_title else answer)(exchange)

    async with serving(script) as model:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", KEY)
            patch.setenv("OPENAI_BASE_URL", model.url)
            async with open_house(replace(settings, agent="openai", model="m", title_model="t")) as house:
                yield house, model
        with anyio.fail_after(TIMEOUT_S):
            while model.open:
                await anyio.lowlevel.checkpoint()


async def make_title(exchange: Exchange) -> None:
    await exchange.start()
    await exchange.delta(content="A ")
    await exchange.delta(content="title")
    await exchange.end()


async def say_hello(exchange: Exchange) -> None:
    await exchange.start()
    for word in ("Hello", ", ", "world"):
        await exchange.delta(content=word)
    await exchange.end()


def asked(model: StandIn) -> list[dict[str, Any]]:
    """The requests for answers, without those for titles."""
    return [exchange.request for exchange in model.exchanges if not exchange.is_title]


def message_of(frames: list[Frame]) -> dict[str, Any]:
    """The last message of a good stream."""
    chat = frames[-1]["payload"]
    return dict(chat["messages"][chat["message_ids"][-1]])


def texts(message: dict[str, Any]) -> list[str]:
    """The texts of its answer."""
    return [message["response_messages"][id]["message"] for id in message["response_message_ids"]]


def assert_good(house: House, frames: list[Frame]) -> None:
    """Check that the stream adds up to what is stored."""
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert as_stored(frames[-1]["payload"]) == stored_chat(house.database, frames[-1]["payload"]["id"])
    assert message_of(frames)["is_completed"]
