"""Graphs of LangGraph behind a real server, with a scripted chat model in place of a real one."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("langgraph")

from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from backends.agents.own import NoAgent
from settings import Settings
from tests.support.failures import assert_internal
from tests.support.framed import left, named, stopped, thoughts, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_langgraph import call, content, graph, script, used
from tests.support.world import REVENUE


async def test_text_thoughts_tools_and_usage_are_told_once(settings: Settings) -> None:
    async def look_up(word: str) -> str:
        """Look a word up."""
        return f"found {word}"

    thought = AIMessageChunk([{"type": "reasoning", "reasoning": "hm"}])
    model = script(
        [thought, "Let me ", "see.", *call(0, "look_up", '{"word":', '"a"}'), used(3, 4)],
        ["It ", "is ", "a.", used(10, 20)],
    )
    async with open_house(settings, agent=named(graph(model, [look_up]))) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
    message = message_of(frames)
    assert texts(message) == ["Let me see.\n\nIt is a."]
    assert thoughts(message) == ["hm"]
    assert tools(message) == [("Look up", "look_up", "completed", '{"word":"a"}\n\nfound a')]
    assert message["usage"] == {"model": "scripted", "input_tokens": 13, "output_tokens": 24, "reasoning_tokens": 2}


async def test_parallel_tools_run_at_once_and_each_has_its_own_step(settings: Settings) -> None:
    both = asyncio.Barrier(2)

    async def one() -> str:
        """One."""
        await both.wait()
        return "1"

    async def two() -> str:
        """Two."""
        await both.wait()
        return "2"

    model = script([*call(0, "one", "{}"), *call(1, "two", "{}")], ["Done"])
    async with open_house(settings, agent=named(graph(model, [one, two]))) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert tools(message) == [("One", "one", "completed", "{}\n\n1"), ("Two", "two", "completed", "{}\n\n2")]
    assert texts(message) == ["Done"]


async def test_a_model_that_does_not_stream_and_a_node_without_one_are_told(settings: Settings) -> None:
    class Whole(GenericFakeChatModel):
        disable_streaming: bool = True

    said = AIMessage("", tool_calls=[{"id": "1", "name": "look_up", "args": {}}])

    async def look_up() -> str:
        """Look up."""
        return "found"

    framed = graph(Whole(messages=iter([said, AIMessage("All at once")])), [look_up])
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert tools(message) == [("Look up", "look_up", "completed", "{}\n\nfound")]
    assert texts(message) == ["All at once"]

    builder = StateGraph(MessagesState).add_node("fixed", lambda state: {"messages": [AIMessage("No model")]})
    async with (
        open_house(settings, agent=named(builder.add_edge(START, "fixed").compile())) as house,
        house.connect() as client,
    ):
        assert texts(message_of(await client.post(prompt="Hi"))) == ["No model"]


async def test_a_message_that_a_node_makes_of_its_models_words_is_told_once_and_a_router_not_at_all(settings: Settings) -> None:
    async def route(state: MessagesState) -> dict[str, Any]:
        await script(["left"]).with_config(tags=["nostream"]).ainvoke(state["messages"])
        return {}

    async def ask(state: MessagesState) -> dict[str, Any]:
        answer = await script(["One ", "answer", used(1, 1)]).ainvoke(state["messages"])
        return {"messages": [AIMessage(answer.text, usage_metadata=answer.usage_metadata)]}

    builder = StateGraph(MessagesState).add_node("route", route).add_node("ask", ask)
    framed = builder.add_edge(START, "route").add_edge("route", "ask").compile()
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert (texts(message), message["usage"]["input_tokens"]) == (["One answer"], 1)


async def test_what_a_graph_within_the_graph_says_is_told_as_it_comes(settings: Settings) -> None:
    inner = graph(script(["In", "side"]))
    framed = StateGraph(MessagesState).add_node("inner", inner).add_edge(START, "inner").compile()
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
    assert texts(message_of(frames)) == ["Inside"]
    chunks = [frame["payload"] for frame in frames if frame["event"] == "generatingResponseMessage"]
    assert [each["response_message"]["message_chunk"] for each in chunks][:2] == ["In", "side"]


@pytest.mark.parametrize("kept", [True, False])
async def test_the_history_is_the_threads_or_the_chats(settings: Settings, kept: bool) -> None:
    model = script(["Hello"], ["Again"])
    framed = graph(model, checkpointer=InMemorySaver() if kept else None)
    async with open_house(settings, agent=named(framed)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
        second = message_of(await client.post(prompt="And?", chat_id=chat["id"]))
    assert texts(second) == ["Again"]
    (about, *first), (system, *others) = model.asked
    assert [message.text for message in first][-1].endswith("Hi")
    assert content(others)[1:] == ["ai: Hello", "human: And?"]
    assert others[0].text.endswith("Hi")
    assert about.text == system.text
    assert '"name": "Revenue"' in system.text


@pytest.mark.parametrize("where", ["tool", "model"])
async def test_an_error_fails_the_run_and_keeps_what_was_said(
    settings: Settings, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    async def find() -> str:
        """Find it."""
        raise RuntimeError("broken")

    model = script(["Well. ", *(call(0, "find", "{}") if where == "tool" else [RuntimeError("broken")])])
    async with open_house(settings, agent=named(graph(model, [find]))) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
        (message,) = (await client.frame())["payload"]["messages"].values()
    assert texts(message) == ["Well. "]
    assert [step[2] for step in tools(message)] == ["failed"] * (where == "tool")


async def test_a_tool_that_is_called_wrongly_has_failed_and_the_run_goes_on(settings: Settings) -> None:
    async def find(number: int) -> str:
        """Find it."""
        return "found"

    model = script(call(0, "find", '{"number": "x"}'), ["Sorry"])
    async with open_house(settings, agent=named(graph(model, [find]))) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    ((_, _, status, text),) = tools(message)
    assert (status, texts(message)) == ("failed", ["Sorry"])
    assert "integer" in text


async def test_a_stop_cancels_the_run(settings: Settings) -> None:
    model = script(["Well. ", None])
    async with open_house(settings, agent=named(graph(model))) as house, house.connect() as client:
        message, seconds = await stopped(client)
        assert model.closed
    assert (message["finish_reason"], texts(message)) == ("stopped", ["Well. "])
    assert seconds < 1


async def test_an_answer_that_is_closed_cancels_the_run() -> None:
    model = script(["Well. ", None])
    assert await left(named(graph(model))) < 1
    assert model.closed


def test_a_graph_that_is_not_compiled_is_refused() -> None:
    with pytest.raises(NoAgent, match=r"is of StateGraph, which has no `answer`, and must be .* a compiled graph of LangGraph"):
        named(StateGraph(MessagesState))
