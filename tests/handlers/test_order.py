"""The order of a chat's messages is the one in which they were stored, whatever the clocks say and whoever stored them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

import pytest

from handlers import initialize_chat
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client
from tests.support.database import as_stored, opened, stored_chat, where
from tests.support.house import BOTH, House, open_house
from tests.support.linked import open_nodes
from tests.support.ordering import got, prompts_of, said
from tests.support.world import ORG_METRIC, REVENUE

ENGINES = BOTH
STEP = timedelta(seconds=2)


class Clock:
    """A wall clock that is set back by STEP whenever it is read."""

    def __init__(self) -> None:
        self.steps = 0

    def now(self, zone: timezone) -> datetime:
        self.steps += 1
        return datetime.now(zone) - self.steps * STEP


@pytest.fixture
def stepping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initialize_chat, "datetime", Clock())


@asynccontextmanager
async def talk(house: House, agent: HeldAgent, *prompts: str) -> AsyncIterator[Client]:
    async with house.connect() as client:
        for prompt in prompts:
            agent.let_go(prompt)
        yield client


async def test_a_clock_that_is_set_back_does_not_order_messages(settings: Settings, stepping: None) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, talk(house, agent, "one", "two", "three") as client:
        first = await said(client, "one")
        second = await said(client, "two", chat_id=first["id"])
        third = await said(client, "three", chat_id=first["id"])
        assert second["messages"][second["message_ids"][1]]["created_at"] < first["created_at"]
        assert prompts_of(third) == ["one", "two", "three"]
        assert await got(client, first["id"]) == third
        assert as_stored(third) == stored_chat(where(settings), first["id"])
        assert [message.request_message and message.request_message.request for message in agent.tasks[-1].history] == [
            "one",
            "two",
        ]


async def test_nodes_whose_clocks_differ_agree_on_the_order(settings: Settings, stepping: None) -> None:
    agent = HeldAgent()
    async with (
        open_nodes(settings, agent) as (a, b),
        talk(a.house, agent, "0", "1", "2", "3") as on_a,
        talk(b.house, agent) as on_b,
    ):
        chat = await said(on_a, "0")
        await on_b.stream()
        for number in (1, 2, 3):
            poster, other = (on_b, on_a) if number % 2 else (on_a, on_b)
            chat = await said(poster, str(number), chat_id=chat["id"])
            assert (await other.stream())[-1]["payload"] == chat
        assert prompts_of(chat) == ["0", "1", "2", "3"]
        assert await got(on_a, chat["id"]) == chat == await got(on_b, chat["id"])


async def test_the_assets_of_the_newest_message_come_first(settings: Settings, stepping: None) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, talk(house, agent, "one", "two", "three") as client:
        chat = await said(client, "one", asset_id=str(REVENUE), asset_type="metric")
        chat = await said(client, "two", chat_id=chat["id"])
        with opened(house.database) as connection:
            connection.execute(
                "INSERT INTO messages_to_files VALUES (?, ?, 1, '2025-01-01 00:00:00')",
                (chat["message_ids"][1], str(ORG_METRIC)),
            )
        await said(client, "three", chat_id=chat["id"])
        assert [asset.id for asset in agent.tasks[-1].assets] == [ORG_METRIC, REVENUE]
