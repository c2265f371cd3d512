"""A chat's life, as its connections see it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client, Frame
from tests.support.database import opened
from tests.support.house import House, open_house


@dataclass
class Life:
    """A house whose agent is held, and one of Alice's connections to it."""

    house: House
    agent: HeldAgent
    client: Client


@pytest.fixture
async def life(settings: Settings) -> AsyncIterator[Life]:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        yield Life(house, agent, client)


async def until(client: Client, event: str, **wanted: object) -> Frame:
    """Read on to the next frame of this event with these values."""
    while True:
        frame = await client.frame()
        if frame["event"] == event and all(frame.get(key) == value for key, value in wanted.items()):
            return frame


async def first_delta(client: Client) -> Frame:
    """Read on to where a held run has begun to answer."""
    return await until(client, "generatingResponseMessage")


def answer_of(chat: dict[str, Any], number: int = -1) -> str:
    message = chat["messages"][chat["message_ids"][number]]
    return "".join(message["response_messages"][id]["message"] for id in message["response_message_ids"])


async def posted(life: Life, prompt: str, **rest: object) -> dict[str, Any]:
    """The chat after a post that nothing holds up."""
    life.agent.let_go(prompt)
    chat: dict[str, Any] = (await life.client.post(prompt=prompt, **rest))[-1]["payload"]
    return chat


def share(house: House, chat_id: str, user_id: UUID, role: str) -> None:
    with opened(house.database) as connection:
        connection.execute(
            "INSERT INTO asset_permissions VALUES (?, 'chat', 'user', ?, ?, '2026-01-01 00:00:00', '2026-01-01 00:00:00')",
            (chat_id, str(user_id), role),
        )
