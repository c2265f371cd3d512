"""Agents of the OpenAI Agents SDK behind a real server, with its own scripted model in place of a real one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, TracingProcessor, Usage, function_tool, handoff, set_trace_processors
from agents.testing import ModelStep, ScriptedModel, assistant_message
from agents.testing.model import _stream_events_for_step
from openai.types.responses.response_reasoning_item import ResponseReasoningItem

from settings import Settings
from tests.support.failures import assert_internal
from tests.support.framed import left, named, stopped, thoughts, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_openai_agents import call, content, forever
from tests.support.world import REVENUE


async def test_text_thoughts_tools_and_usage_are_told_once(settings: Settings) -> None:
    @function_tool
    async def look_up(word: str) -> str:
        return f"found {word}"

    thought = ResponseReasoningItem(id="r", type="reasoning", summary=[{"type": "summary_text", "text": "hm"}])
    first = ModelStep(
        [thought, assistant_message("Let me see."), call(0, "look_up", '{"word":"a"}')], Usage(1, 3, output_tokens=4)
    )
    second = ModelStep([assistant_message("It is a.")], Usage(1, 10, output_tokens=20))
    agent = Agent("Helper", model=ScriptedModel([first, second]), tools=[look_up])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
    message = message_of(frames)
    assert texts(message) == ["Let me see.\n\nIt is a."]
    assert thoughts(message) == ["hm"]
    assert tools(message) == [("Look up", "look_up", "completed", '{"word":"a"}\n\nfound a')]
    assert message["usage"]["model"]
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (13, 24)


async def test_parallel_tools_run_at_once_and_each_has_its_own_step(settings: Settings) -> None:
    both = asyncio.Barrier(2)

    @function_tool
    async def one() -> str:
        await both.wait()
        return "1"

    @function_tool
    async def two() -> dict[str, int]:
        await both.wait()
        return {"two": 2}

    model = ScriptedModel([[call(1, "one", "{}"), call(2, "two", "{}")], [assistant_message("Done")]])
    agent = Agent("Helper", model=model, tools=[one, two])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert tools(message) == [("One", "one", "completed", "{}\n\n1"), ("Two", "two", "completed", '{}\n\n{"two": 2}')]
    assert texts(message) == ["Done"]


async def test_a_model_that_does_not_stream_and_its_output_are_told(settings: Settings) -> None:
    def whole(step: ModelStep) -> Any:
        """A model that streams nothing but its response as a whole."""

        async def stream(_: Any) -> AsyncIterator[Any]:
            yield _stream_events_for_step(step, preserve_raw_usage=False)[-1]

        return ModelStep.stream(stream)

    @function_tool
    async def look_up() -> str:
        return "found"

    steps = [ModelStep([assistant_message("Wait."), call(0, "look_up", "{}")]), ModelStep([assistant_message("All at once")])]
    agent = Agent("Helper", model=ScriptedModel(map(whole, steps)), tools=[look_up])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert tools(message) == [("Look up", "look_up", "completed", "{}\n\nfound")]
    assert texts(message) == ["Wait.\n\nAll at once"]


async def test_another_agent_that_takes_over_is_told_as_a_call(settings: Settings) -> None:
    other = Agent("Other", model=ScriptedModel([[assistant_message("Here I am")]]))
    name = handoff(other).tool_name
    agent = Agent("Helper", model=ScriptedModel([[call(0, name, "{}")]]), handoffs=[other])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert [step[:3] for step in tools(message)] == [("Transfer to other", name, "completed")]
    assert texts(message) == ["Here I am"]


async def test_the_history_and_the_assets_are_given(settings: Settings) -> None:
    model = ScriptedModel([[assistant_message("Hello")], [assistant_message("Again")]])
    agent = Agent("Helper", instructions="Be brief", model=model)
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
        await client.post(prompt="And?", chat_id=chat["id"])
    about, first, *others = content(model.calls[1])
    assert about.startswith("system: ")
    assert '"name": "Revenue"' in about
    assert first.endswith("Hi")
    assert others == ["assistant: Hello", "user: And?"]
    assert model.calls[1].system_instructions == "Be brief"


async def test_a_tool_that_raises_has_failed_and_the_run_goes_on(settings: Settings) -> None:
    @function_tool
    async def find() -> str:
        raise RuntimeError("a secret")

    agent = Agent("Helper", model=ScriptedModel([[call(0, "find", "{}")], [assistant_message("Sorry")]]), tools=[find])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    ((_, _, status, _),) = tools(message)
    assert (status, texts(message)) == ("failed", ["Sorry"])


@pytest.mark.parametrize("where", ["tool", "model"])
async def test_an_error_fails_the_run_and_keeps_what_was_said(
    settings: Settings, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    @function_tool(failure_error_function=None)
    async def find() -> str:
        await asyncio.sleep(0)
        raise RuntimeError("broken")

    @function_tool
    async def well() -> str:
        return "well"

    last = [call(1, "find", "{}")] if where == "tool" else RuntimeError("broken")
    model = ScriptedModel([[assistant_message("Well. "), call(0, "well", "{}")], last])
    agent = Agent("Helper", model=model, tools=[find, well])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
        (message,) = (await client.frame())["payload"]["messages"].values()
    assert texts(message) == ["Well. "]
    assert [step[1:3] for step in tools(message)] == [("well", "completed"), *[("find", "failed")] * (where == "tool")]


async def test_a_stop_cancels_the_run(settings: Settings) -> None:
    model, closed = forever()
    async with open_house(settings, agent=named(Agent("Helper", model=model))) as house, house.connect() as client:
        message, seconds = await stopped(client)
        assert closed.is_set()
    assert (message["finish_reason"], texts(message)) == ("stopped", ["Well. "])
    assert seconds < 1


async def test_an_answer_that_is_closed_cancels_the_run() -> None:
    model, closed = forever()
    assert await left(named(Agent("Helper", model=model))) < 1
    assert closed.is_set()


async def test_no_traces_are_made_which_would_be_sent_to_openai(settings: Settings) -> None:
    class Processor(TracingProcessor):
        def __getattribute__(self, name: str) -> Any:
            used.append(name)
            return super().__getattribute__(name)

        def on_trace_start(self, *_: Any) -> None: ...
        def on_trace_end(self, *_: Any) -> None: ...
        def on_span_start(self, *_: Any) -> None: ...
        def on_span_end(self, *_: Any) -> None: ...
        def shutdown(self) -> None: ...
        def force_flush(self) -> None: ...

    used: list[str] = []
    set_trace_processors([Processor()])
    agent = Agent("Helper", model=ScriptedModel([[assistant_message("Hello")]], emit_traces=True))
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == ["Hello"]
    set_trace_processors([])
    assert [name for name in used if name.startswith("on_")] == []
