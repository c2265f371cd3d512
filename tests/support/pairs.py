"""Two servers of one database, and who waits on one for what runs on the other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import Client
from tests.support.house import House
from tests.support.linked import Node, open_nodes


@dataclass
class Pair:
    """Two nodes, and a connection of Alice's to each."""

    agent: HeldAgent
    a: Node
    b: Node
    on_a: Client
    on_b: Client

    @property
    def database(self) -> Any:
        return self.a.house.database


@pytest.fixture
async def pair(settings: Settings) -> AsyncIterator[Pair]:
    agent = HeldAgent()
    async with open_nodes(settings, agent) as (a, b), a.house.connect() as on_a, b.house.connect() as on_b:
        yield Pair(agent, a, b, on_a, on_b)


def is_waiting(house: House, chat_id: str, behind: int = 0) -> bool:
    """Whether a post waits here for another node's, and so many behind it."""
    runs = house.services.runs
    run, turns = runs.in_chat(UUID(chat_id)), runs._turns.get(UUID(chat_id))
    return bool(run and run._waiting and turns and turns.statistics().tasks_waiting == behind)
