"""Checkpoints: what has been told is stored while it is told, only for the run whose message it is, and until its end."""

import json
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import anyio
import pytest

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ReasoningChunk, ResponseChunk
from backends.messages import Owner, checkpoint_message, finish_message, replace_message
from backends.orphans import finish_orphans
from backends.storage import Storage
from backends.stored import find_message
from handlers.store_answer import MANY
from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.database import rows
from tests.support.house import BOTH, open_house
from tests.support.life import until as frame_of
from tests.support.linked import open_nodes
from tests.support.stored import ME, Between, message_of, storage, unfinished, unsure
from tests.support.waiting import begun, until
from tests.support.world import uuid

__all__ = ["storage"]  # the fixture

ENGINES = BOTH
SAID = "SELECT * FROM messages"


class Talkative:
    """Thinks, says a title, says its words, and waits to be let go."""

    def __init__(self, *words: str) -> None:
        self.words = words or ("word ", "word ", "word ")
        self.gate = anyio.Event()

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        yield "Said early"

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield ReasoningChunk("Thinking", "Hm")
        for word in self.words:
            yield ResponseChunk(word)
        await self.gate.wait()
        yield ResponseChunk("end")

    async def aclose(self) -> None:
        pass


def texts(row: dict[str, Any]) -> list[str]:
    return [part["message"] for part in json.loads(row["response_messages"])]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.store_answer.LATEST_S", 0.01)
    monkeypatch.setattr("handlers.store_answer.LATEST_AGAIN_S", 0.01)


async def test_what_is_told_is_stored_while_the_run_goes_on_with_all_its_parts_closed(settings: Settings, soon: None) -> None:
    agent = Talkative()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go"})
        await until(lambda: any(texts(row) == ["word word word "] for row in rows(house.database, SAID)))
        (row,) = rows(house.database, SAID)
        assert (bool(row["is_completed"]), row["final_reasoning_message"]) == (False, None)
        (part,), (step,) = json.loads(row["response_messages"]), json.loads(row["reasoning_messages"])
        assert (part["is_final_message"], step["status"], step["message"]) == (True, "completed", "Hm")
        await until(lambda: rows(house.database, "SELECT title FROM chats") == [{"title": "Said early"}])
        agent.gate.set()
        end = (await client.stream())[-1]["payload"]
        assert texts(rows(house.database, SAID)[0]) == ["word word word end"]
        assert next(iter(end["messages"].values()))["final_reasoning_message"].startswith("Reasoned")


async def test_many_characters_are_stored_sooner(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.store_answer.LATEST_S", 1000.0)
    agent = Talkative("One ", "x" * MANY)
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go"})
        await until(lambda: any(texts(row) for row in rows(house.database, SAID)))
        agent.gate.set()
        await client.stream()


async def test_a_checkpoint_that_fails_harms_nothing_and_the_next_has_all(
    settings: Settings, soon: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fails = True

    async def failing(*arguments: Any) -> bool:
        if fails:
            raise OSError("away")
        return await checkpoint_message(*arguments)

    monkeypatch.setattr("handlers.store_answer.checkpoint_message", failing)
    agent = Talkative()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go"})
        await until(lambda: "the text so far of message" in caplog.text)
        assert texts(rows(house.database, SAID)[0]) == []
        fails = False
        await until(lambda: texts(rows(house.database, SAID)[0]) == ["word word word "])
        agent.gate.set()
        assert (await client.stream())[-1]["event"] == "complete"


R1, R2 = Owner(ME, uuid(101)), Owner(ME, uuid(102))


async def test_a_checkpoint_that_comes_after_the_end_changes_nothing(storage: Storage) -> None:
    chat = await unfinished(storage, 1, owner=R1)
    (message,) = chat.messages.values()
    message.final_reasoning_message = "Reasoned for 1 second"
    assert await finish_message(storage, chat, message, (), R1)
    assert not await checkpoint_message(storage, chat, message, R1)
    assert (await message_of(storage, chat)).is_completed


async def test_a_run_that_was_replaced_on_the_same_node_stores_nothing_more(storage: Storage) -> None:
    chat = await unfinished(storage, 1, owner=R1)
    (message,) = chat.messages.values()
    assert await replace_message(storage, chat, message, R2, None)
    assert not await checkpoint_message(storage, chat, message, R1)
    assert not await finish_message(storage, chat, message, (), R1)
    stored = await find_message(storage, message.id)
    assert stored
    assert stored.owner == R2
    assert await finish_message(storage, chat, message, (), R2)


async def test_a_late_closing_does_not_hit_the_run_that_has_replaced_what_it_was_for(storage: Storage) -> None:
    chat = await unfinished(storage, 1, owner=R1)
    (message,) = chat.messages.values()

    async def run_again() -> None:
        assert await replace_message(storage, chat, message, R2, None)

    assert [orphan async for orphan in finish_orphans(Between(storage, run_again), ME, unsure)] == []
    assert not (await message_of(storage, chat)).is_completed


async def test_a_message_of_a_node_of_the_version_before_is_closed_too(storage: Storage) -> None:
    await unfinished(storage, 1, owner=Owner(uuid(7), None))
    assert [orphan.id async for orphan in finish_orphans(storage, ME, unsure)] == [UUID(int=uuid(1).int)]


async def test_the_node_that_closes_a_dead_nodes_run_keeps_what_was_told(
    settings: Settings, soon: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.nodes.RENEW_S", 0.05)
    monkeypatch.setattr("backends.nodes.LEASE_S", 0.3)
    async with open_nodes(settings, HeldAgent()) as (a, b), a.house.connect() as here, b.house.connect() as there:
        await begun(here, "one")
        await until(lambda: texts(rows(a.house.database, SAID)[0]) == ["one begins"])
        a.die()
        end = await frame_of(there, "complete")
        assert "Interrupted" in str(end["payload"])
        assert "one begins" in str(end["payload"])
