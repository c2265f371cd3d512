"""What an agent asks its user: shown, stored, answered once, and given to the next run with what the last one remembered."""

from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import uuid4

import anyio
import pytest

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ApprovalNeeded, Finished, Remembered, ResponseChunk, ToolStarted
from backends.agents.own import OwnAgent
from settings import Settings
from tests.support.client import Client, Frame, fold, is_end, unsettled
from tests.support.database import as_stored, stored_chat
from tests.support.failures import assert_internal
from tests.support.house import open_house
from tests.support.life import share
from tests.support.modelled import message_of, texts
from tests.support.world import BOB

SCHEMA = {"type": "object", "properties": {"limit": {"type": "integer"}}}


class Deleter:
    """Asks before it deletes, and counts how often it has deleted."""

    def __init__(self) -> None:
        self.deleted = 0
        self.tasks: list[AgentTask] = []

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        self.tasks.append(task)
        if task.approvals:
            said = task.approvals[0]
            if said.approved:
                self.deleted += 1
            yield ResponseChunk(f"approved: {said.approved}, value: {said.value}, state: {task.state}")
            return
        yield ResponseChunk("I will delete it.")
        yield ToolStarted("call", "Deleting", "delete")
        yield Remembered({"step": 7})
        yield ApprovalNeeded("call", "Delete it?", SCHEMA)
        yield Finished()
        yield ResponseChunk("never said")
        self.deleted += 1


async def ask(client: Client, **more: Any) -> tuple[str, list[Frame]]:
    """The chat in which the agent has asked, and the stream."""
    frames = await client.post(prompt="Delete it", **more)
    return frames[-1]["payload"]["id"], frames


def yes(value: object = None) -> list[dict[str, Any]]:
    return [{"id": "call", "approved": True, "value": value}]


async def test_a_question_ends_the_run_and_stands_in_the_message(settings: Settings) -> None:
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, frames = await ask(client)
        message = message_of(frames)
        assert message["approvals"] == [
            {"id": "call", "title": "Delete it?", "schema": SCHEMA, "approved": None, "value": None},
        ]
        assert message["final_reasoning_message"] == "Waits for your approval"
        assert (message["is_completed"], message["finish_reason"], texts(message)) == (True, "stop", ["I will delete it."])
        (step,) = message["reasoning_messages"].values()
        assert (step["status"], step["tool"]) == ("loading", {"name": "delete", "call_id": "call"})
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        assert stored_chat(house.database, chat_id) == as_stored(frames[-1]["payload"])
        await client.send({"id": chat_id}, "/chats/get")
        assert (await client.frame())["payload"] == frames[-1]["payload"]
    assert agent.deleted == 0
    assert "step" not in str(frames)


@pytest.mark.parametrize("approved", [True, False])
async def test_an_answer_is_a_message_in_which_the_agent_goes_on(settings: Settings, approved: bool) -> None:
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
        said = await client.post(chat_id=chat_id, approvals=[{"id": "call", "approved": approved, "value": {"limit": 3}}])
        assert texts(message_of(said)) == [f"approved: {approved}, value: {{'limit': 3}}, state: {{'step': 7}}"]
        chat = said[-1]["payload"]
        assert message_of(said)["request_message"] is None
        asked = chat["messages"][chat["message_ids"][0]]
        assert [question["approved"] for question in asked["approvals"]] == [approved]
        (step,) = asked["reasoning_messages"].values()
        ended = ("completed", "Approved") if approved else ("failed", "Denied")
        assert (step["status"], step["secondary_title"]) == ended
        assert unsettled(fold(said)) == unsettled(chat)
        assert stored_chat(house.database, chat_id) == as_stored(chat)
    assert agent.deleted == approved


async def test_of_two_answers_at_once_one_is_taken(settings: Settings) -> None:
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
        for _ in range(2):
            await client.send({"chat_id": chat_id, "approvals": yes()})
        ends: list[Frame] = []
        while len(ends) < 2:
            frame = await client.frame()
            if is_end(frame):
                ends.append(frame)
    assert [end["error"] and end["error"]["message"] for end in ends] == [None, "approvals[0].id: already answered"]
    assert agent.deleted == 1


async def test_a_retry_of_an_answer_does_nothing_twice(settings: Settings) -> None:
    agent, id = Deleter(), str(uuid4())
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
        first = await client.post(chat_id=chat_id, approvals=yes(), message_id=id)
        again = await client.post(chat_id=chat_id, approvals=yes(), message_id=id)
        assert [frame["event"] for frame in again] == ["complete"]
        assert again[-1]["payload"] == first[-1]["payload"]
    assert agent.deleted == 1


async def test_a_restarted_server_takes_the_answer(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(Deleter().answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        said = await client.post(chat_id=chat_id, approvals=yes(), prompt="Yes, do")
    assert agent.deleted == 1
    (task,) = agent.tasks
    assert (task.prompt, task.state, task.approvals[0].title) == ("Yes, do", {"step": 7}, "Delete it?")
    assert message_of(said)["request_message"]["request"] == "Yes, do"


REFUSED: list[tuple[Callable[[str], dict[str, Any]], str]] = [
    (lambda chat: {"approvals": yes()}, "approvals need the chat_id of the chat that asks"),
    (lambda chat: {"chat_id": chat, "approvals": [{"id": "x", "approved": True}]}, "there is no such question in this chat"),
    (
        lambda chat: {"chat_id": chat, "approvals": [{"id": "call"}]},
        "missing required field `approved` - at `$.payload.approvals[0]`",
    ),
    (lambda chat: {"chat_id": chat, "approvals": [*yes(), *yes()]}, "approvals[1].id: already answered"),
    (lambda chat: {"chat_id": chat, "approvals": yes() * 101}, "length <= 100 - at `$.payload.approvals`"),
    (lambda chat: {"chat_id": chat}, "a prompt is required unless an asset is provided"),
]


@pytest.mark.parametrize(("payload", "says"), REFUSED)
async def test_what_answers_nothing_is_refused(settings: Settings, payload: Callable[[str], dict[str, Any]], says: str) -> None:
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
        error = await client.refusal(payload(chat_id))
        assert error["code"] == "BAD_REQUEST"
        assert says in error["message"]
        assert texts(message_of(await client.post(chat_id=chat_id, approvals=yes())))
    assert agent.deleted == 1


async def test_all_questions_are_answered_at_once_and_only_while_they_are_the_last(settings: Settings) -> None:
    async def answer(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        if task.prompt == "Ask":
            yield ApprovalNeeded("one", "One?")
            yield ApprovalNeeded("two", "Two?")
        else:
            yield ResponseChunk("well")

    async with open_house(settings, agent=OwnAgent(answer)) as house, house.connect() as client:
        chat_id = (await client.post(prompt="Ask"))[-1]["payload"]["id"]
        one = {"chat_id": chat_id, "approvals": [{"id": "one", "approved": True}]}
        assert (await client.refusal(one))["message"] == "approvals must answer all questions at once, also 'two'"
        await client.post(prompt="Never mind", chat_id=chat_id)
        assert (await client.refusal(one))["message"] == "approvals[0].id: the chat has gone on without an answer"


async def test_who_may_only_view_a_chat_may_not_answer(settings: Settings) -> None:
    agent = Deleter()
    async with open_house(settings, agent=OwnAgent(agent.answer)) as house, house.connect() as client:
        chat_id, _ = await ask(client)
        async with house.connect(BOB) as other:
            assert (await other.refusal({"chat_id": chat_id, "approvals": yes()}))["code"] == "NOT_FOUND"
            share(house, chat_id, BOB, "can_view")
            assert (await other.refusal({"chat_id": chat_id, "approvals": yes()}))["code"] == "UNAUTHORIZED"
    assert agent.deleted == 0


@pytest.mark.parametrize("end", ["raises", "is stopped"])
async def test_a_run_that_does_not_end_by_itself_asks_nothing(
    settings: Settings, caplog: pytest.LogCaptureFixture, end: str
) -> None:
    async def answer(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        yield ApprovalNeeded("call", "Delete it?")
        if end == "raises":
            raise RuntimeError("too bad")
        await anyio.sleep_forever()

    async with open_house(settings, agent=OwnAgent(answer)) as house, house.connect() as client:
        await client.send({"prompt": "Ask"})
        begun = await client.until("generatingReasoningMessage")
        chat_id = begun[-1]["payload"]["chat_id"]
        if end == "is stopped":
            await client.send({"id": chat_id}, "/chats/stop")
        await client.stream()
        await client.send({"id": chat_id}, "/chats/get")
        message = message_of([await client.frame()])
        assert "approvals" not in message
        assert [step["status"] for step in message["reasoning_messages"].values()] == ["failed"]
        error = await client.refusal({"chat_id": chat_id, "approvals": yes()})
        assert error["message"] == "approvals[0].id: there is no such question in this chat"


async def test_an_agent_asks_no_more_than_one_post_can_answer(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async def answer(task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        for number in range(101):
            yield ApprovalNeeded(f"{number}", "And?")

    async with open_house(settings, agent=OwnAgent(answer)) as house, house.connect() as client:
        assert_internal((await client.post(prompt="Ask"))[-1], caplog)
    assert "more than 100 questions" in caplog.text
