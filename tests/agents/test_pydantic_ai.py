"""Agents of Pydantic AI behind a real server, with its own models for tests in place of a real one."""

import asyncio

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.function import DeltaThinkingPart
from pydantic_ai.models.test import TestModel

from settings import Settings
from tests.support.failures import assert_internal
from tests.support.framed import left, named, stopped, thoughts, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_pydantic_ai import Script, call, content, forever
from tests.support.world import REVENUE


async def test_text_thoughts_tools_and_usage_are_told_once(settings: Settings) -> None:
    script = Script(
        ["Let me ", "see.", {9: DeltaThinkingPart(content="hm")}, *call(10, "look_up", '{"word":', '"a"}')],
        ["It ", "is ", "a."],
    )
    agent = Agent(script.model)

    @agent.tool_plain
    def look_up(word: str) -> str:
        return f"found {word}"

    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_good(house, frames)
    message = message_of(frames)
    assert texts(message) == ["Let me see.\n\nIt is a."]
    assert thoughts(message) == ["hm"]
    assert tools(message) == [("Look up", "look_up", "completed", '{"word":"a"}\n\nfound a')]
    assert message["usage"]["model"] == "function::stream"
    assert (message["usage"]["input_tokens"], message["usage"]["output_tokens"]) == (100, 15)


async def test_parallel_tools_run_at_once_and_each_has_its_own_step(settings: Settings) -> None:
    both = asyncio.Barrier(2)
    agent = Agent(Script([*call(0, "one", "{}"), *call(1, "two", "{}")], ["Done"]).model)

    @agent.tool_plain
    async def one() -> str:
        await both.wait()
        return "1"

    @agent.tool_plain
    async def two() -> dict[str, int]:
        await both.wait()
        return {"two": 2}

    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert tools(message) == [
        ("One", "one", "completed", "{}\n\n1"),
        ("Two", "two", "completed", '{}\n\n{"two":2}'),
    ]
    assert texts(message) == ["Done"]


async def test_a_model_that_does_not_stream_and_its_output_are_told(settings: Settings) -> None:
    agent = Agent(TestModel(custom_output_text="All at once"), tools=[])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == ["All at once"]
    counting = Agent(TestModel(), output_type=list[int])
    async with open_house(settings, agent=named(counting)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    assert (texts(message), tools(message)) == (["[0]"], [])


async def test_the_history_the_assets_and_the_agents_own_prompts_are_given(settings: Settings) -> None:
    script = Script(["Hello"], ["Again"])
    agent = Agent(script.model, system_prompt="A system", instructions="Be brief")
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
        await client.post(prompt="And?", chat_id=chat["id"])
    system, hi, hello, follow_up = content(script.asked[1])
    assert (system, hello, follow_up) == ("system-prompt: A system", "text: Hello", "user-prompt: And?")
    assert hi.endswith("Hi")
    for told in script.told:
        assert told.instructions is not None
        assert told.instructions.startswith("Be brief")
        assert '"name": "Revenue"' in told.instructions


async def test_a_tool_that_asks_for_another_try_has_failed_and_the_run_goes_on(settings: Settings) -> None:
    agent = Agent(Script(call(0, "find", "{}"), ["Sorry"]).model)

    @agent.tool_plain
    def find() -> str:
        raise ModelRetry("not there")

    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    ((_, _, status, text),) = tools(message)
    assert status == "failed"
    assert "not there" in text
    assert texts(message) == ["Sorry"]


@pytest.mark.parametrize("where", ["tool", "model"])
async def test_an_error_fails_the_run_and_keeps_what_was_said(
    settings: Settings, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    last = call(9, "find", "{}") if where == "tool" else [RuntimeError("broken")]
    agent = Agent(Script(["Well. ", *last]).model)

    @agent.tool_plain
    def find() -> str:
        raise RuntimeError("broken")

    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
        (message,) = (await client.frame())["payload"]["messages"].values()
    assert texts(message) == ["Well. "]
    assert [step[2] for step in tools(message)] == ["failed"] * (where == "tool")


async def test_a_stop_cancels_the_run(settings: Settings) -> None:
    model, closed = forever()
    async with open_house(settings, agent=named(Agent(model))) as house, house.connect() as client:
        message, seconds = await stopped(client)
        assert closed.is_set()
    assert (message["finish_reason"], texts(message)) == ("stopped", ["Well. "])
    assert seconds < 1


async def test_an_answer_that_is_closed_cancels_the_run() -> None:
    model, closed = forever()
    assert await left(named(Agent(model))) < 1
    assert closed.is_set()
