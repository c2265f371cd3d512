"""A chat has a size past which nothing makes it grow: not posts, and not an answer that never ends."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ReasoningChunk, ResponseChunk
from backends.chats import find_chat
from backends.messages import MESSAGE_BYTES
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import fold, unsettled
from tests.support.database import rows
from tests.support.house import BOTH, House, open_house
from tests.support.over_http import request
from tests.support.world import ALICE

ENGINES = BOTH
BYTES = 20_000
FULL = {"code": "BAD_REQUEST", "message": "the chat is full, start another"}
THIRD = ScriptedAgent(ResponseChunk("x" * 6000))  # of what a chat may have, with its prompt


class EndlessAgent:
    """Says the same again and again."""

    def __init__(self, *events: AgentEvent, title: str = "A title") -> None:
        self.events = events
        self.made_title = title
        self.said = self.closed = 0

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        yield self.made_title

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            for _ in count():
                for event in self.events:
                    self.said += 1
                    yield event
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


def small(settings: Settings) -> Settings:
    return replace(settings, chat_bytes=BYTES)


async def size(house: House, chat_id: str) -> int:
    found = await find_chat(house.backends.storage, ALICE, UUID(chat_id))
    assert found
    return sum(found.sizes.values())


async def test_a_post_to_a_full_chat_is_refused_and_writes_nothing(settings: Settings) -> None:
    async with open_house(small(settings), THIRD) as house, house.connect() as client:
        first, last = str(uuid4()), str(uuid4())
        chat_id = (await client.post(prompt="One", message_id=first))[-1]["payload"]["id"]
        await client.post(prompt="Two", chat_id=chat_id)
        await client.post(prompt="Three", chat_id=chat_id, message_id=last)
        before = rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")
        assert await client.refusal({"prompt": "Four" * 1000, "chat_id": chat_id}) == FULL
        post = b'{"prompt": "%s", "chat_id": "%s"}' % (b"Four" * 1000, chat_id.encode())
        assert (await request(house, post, house.token()))[:2] == (400, FULL)
        assert (rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")) == before

        (again,) = await client.post(prompt="Three", chat_id=chat_id, message_id=last, once=True)  # a retry is no post
        assert len(again["payload"]["messages"]) == 3
        await client.send({"id": chat_id}, "/chats/get")
        assert len((await client.frame())["payload"]["messages"]) == 3
        assert (await client.post(prompt="Four" * 1000))[-1]["event"] == "complete"  # in another chat


async def test_a_message_of_a_full_chat_may_be_replaced_and_what_it_discards_makes_room(settings: Settings) -> None:
    async with open_house(small(settings), EndlessAgent(ResponseChunk("x" * 100))) as house, house.connect() as client:
        id = str(uuid4())
        chat_id = (await client.post(prompt="One", message_id=id))[-1]["payload"]["id"]
        assert await client.refusal({"prompt": "Two", "chat_id": chat_id}) == FULL
        assert (await client.post(prompt="Again", chat_id=chat_id, message_id=id))[-1]["event"] == "complete"
        assert BYTES - MESSAGE_BYTES < await size(house, chat_id) < BYTES + MESSAGE_BYTES


@pytest.mark.parametrize(
    "events",
    [
        [ResponseChunk("word ")],
        [ResponseChunk("😀" * 25)],
        [ReasoningChunk("Thinking", "word ")],
        [ReasoningChunk("Thinking", "."), ResponseChunk(".")],
        [ReasoningChunk("One", ""), ReasoningChunk("Two", "")],
    ],
    ids=["text", "emoji", "reasoning", "steps", "empty steps"],
)
async def test_an_answer_that_never_ends_ends_when_the_chat_is_full_and_keeps_what_was_told(
    settings: Settings, events: list[Any]
) -> None:
    agent = EndlessAgent(*events)
    async with open_house(small(settings), agent) as house, house.connect() as client:
        frames = await client.post(prompt="Go")
        chat = frames[-1]["payload"]
        (message,) = chat["messages"].values()
        assert (message["final_reasoning_message"], message["is_completed"]) == ("Full", True)
        assert unsettled(fold(frames)) == unsettled(chat)
        assert BYTES * 0.9 < await size(house, chat["id"]) < BYTES + MESSAGE_BYTES
        assert agent.closed == 1
        assert await client.refusal({"prompt": "Go on", "chat_id": chat["id"]}) == FULL
        sample = house.backends.metrics.registry.get_sample_value
        assert sample("threadcast_runs_ended_total", {"end": "full"}) == 1


async def test_prompts_count_as_the_json_that_they_become(settings: Settings) -> None:
    async with open_house(small(settings), ScriptedAgent(ResponseChunk("x"))) as house, house.connect() as client:
        control = "\u0001" * 1500  # six bytes each
        chat_id = (await client.post(prompt=control))[-1]["payload"]["id"]
        assert await size(house, chat_id) > 9000
        await client.post(prompt=control, chat_id=chat_id)
        assert await client.refusal({"prompt": control, "chat_id": chat_id}) == FULL


async def test_a_title_that_never_ends_is_read_no_further(settings: Settings) -> None:
    class Titled(ScriptedAgent):
        async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
            while True:
                yield "about it "

    agent = Titled(ResponseChunk("Well."))
    async with open_house(settings, agent) as house, house.connect() as client:
        chat = (await client.post(prompt="Go"))[-1]["payload"]
    assert chat["title"].startswith("about it about it")
    assert len(chat["title"]) <= 200
