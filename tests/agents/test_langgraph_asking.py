"""What agents of LangGraph ask their user, and the example, which does."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("langgraph")

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from settings import Settings
from tests.support.failures import assert_internal
from tests.support.framed import answers, named, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_langgraph import call, content, graph, script


def deleting(deleted: list[str], model: Any, checkpointer: Any) -> Any:
    async def delete(what: str) -> str:
        """Delete it."""
        said = interrupt({"question": f"Delete {what}?", "schema": {"type": "boolean"}})
        if said:
            deleted.append(f"{what}: {said}")
        return f"{what} is gone" if said else "kept"

    return graph(model, [delete], checkpointer)


@pytest.mark.parametrize(
    ("approved", "value", "what"),
    [(True, None, ["it: True"]), (False, None, []), (True, "twice", ["it: twice"]), (False, "never", [])],
)
async def test_a_restarted_server_goes_on_with_what_was_answered(
    settings: Settings, approved: bool, value: Any, what: list[str]
) -> None:
    deleted: list[str] = []
    saver = InMemorySaver()
    first = deleting(deleted, script(["Sure. ", *call(0, "delete", '{"what":"it"}')]), saver)
    async with open_house(settings, agent=named(first)) as house, house.connect() as client:
        asked = await client.post(prompt="Delete it")
        assert_good(house, asked)
    chat = asked[-1]["payload"]["id"]
    (question,) = message_of(asked)["approvals"]
    assert (question["title"], question["schema"]) == ("Delete it?", {"type": "boolean"})
    assert deleted == []
    model = script(["Done"], ["Later"])
    async with open_house(settings, agent=named(deleting(deleted, model, saver))) as house, house.connect() as client:
        (answer,) = answers(asked, approved)
        said = await client.post(chat_id=chat, approvals=[{**answer, "value": value}])
        assert_good(house, said)
        later = await client.post(chat_id=chat, prompt="And?")
    result = "it is gone" if approved else "kept"
    assert [step[1:] for step in tools(message_of(said))] == [("delete", "completed", result)]
    assert (texts(message_of(said)), texts(message_of(later))) == (["Done"], ["Later"])
    assert deleted == what
    assert content(model.asked[0]) == ["human: Delete it", "ai: Sure. ", f"tool: {result}"]


async def test_two_questions_at_once_have_an_answer_each(settings: Settings) -> None:
    said: dict[str, Any] = {}

    def node(name: str) -> Callable[[MessagesState], dict[str, Any]]:
        def ask(state: MessagesState) -> dict[str, Any]:
            said[name] = interrupt(f"Delete {name}?")
            return {}

        return ask

    builder = StateGraph(MessagesState).add_node("a", node("a")).add_node("b", node("b"))
    framed = builder.add_edge(START, "a").add_edge(START, "b").compile(checkpointer=InMemorySaver())
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        asked = await client.post(prompt="Delete both")
        questions = message_of(asked)["approvals"]
        assert sorted(each["title"] for each in questions) == ["Delete a?", "Delete b?"]
        given = [{"id": each["id"], "approved": each["title"] == "Delete b?"} for each in questions]
        assert "approvals" not in message_of(await client.post(chat_id=asked[-1]["payload"]["id"], approvals=given))
    assert said == {"a": False, "b": True}


async def test_a_question_without_a_checkpointer_fails_the_run_and_the_log_says_why(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    framed = deleting([], script(call(0, "delete", '{"what":"it"}')), None)
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        assert_internal((await client.post(prompt="Delete it"))[-1], caplog)
    assert "it must be compiled with a checkpointer" in caplog.text


async def test_the_example_rolls_dice(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "examples.agents.langgraph_agent"
    model = script(call(0, "roll_dice", '{"count": 0}'), ["A one"])
    monkeypatch.setattr(importlib.import_module(name), "model", lambda: model)
    async with open_house(replace(settings, agent=f"{name}:graph")) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Roll"))
    assert tools(message) == [("Roll dice", "roll_dice", "completed", '{"count": 0}\n\n[]')]
    assert texts(message) == ["A one"]
