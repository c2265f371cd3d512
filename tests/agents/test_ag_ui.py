"""Pydantic AI's agents over AG-UI, under a uvicorn of their own, as the agents of a real server."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import uvicorn
from ag_ui import core
from pydantic import BaseModel
from pydantic_ai import Agent, DeferredToolRequests, ModelMessage, RunContext, ToolReturn
from pydantic_ai.messages import ModelRequest, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaThinkingPart, DeltaToolCall, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.ui import StateDeps
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from settings import Settings
from tests.support.client import TIMEOUT_S
from tests.support.house import House, open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.remote import steps
from tests.support.world import REVENUE

Saying = AsyncIterator[str | dict[int, DeltaToolCall] | dict[int, DeltaThinkingPart]]


@asynccontextmanager
async def serving_agent(agent: Agent[Any, Any], requests: list[core.RunAgentInput], **options: Any) -> AsyncIterator[str]:
    """The agent's address, under a uvicorn of its own."""

    async def run(request: Request) -> Response:
        requests.append(core.RunAgentInput.model_validate_json(await request.body()))
        answer: Response = await AGUIAdapter.dispatch_request(request, agent=agent, **options)
        return answer

    app = Starlette(routes=[Route("/agent", run, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            with anyio.fail_after(TIMEOUT_S):
                while not server.started:
                    await anyio.lowlevel.checkpoint()
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}/agent"
            finally:
                server.should_exit = True


@asynccontextmanager
async def house_of(
    settings: Settings, agent: Agent[Any, Any], **options: Any
) -> AsyncIterator[tuple[House, list[core.RunAgentInput]]]:
    """A house whose agent is Pydantic AI's, and what that is asked."""
    requests: list[core.RunAgentInput] = []
    async with (
        serving_agent(agent, requests, **options) as url,
        open_house(replace(settings, agent=f"ag-ui:{url}")) as house,
    ):
        yield house, requests


def extras(value: Any) -> list[str]:
    """The keys that the protocol does not know, wherever in it."""
    if isinstance(value, BaseModel):
        return [*(value.model_extra or ()), *(key for each in vars(value).values() for key in extras(each))]
    return [key for each in value for key in extras(each)] if isinstance(value, list) else []


def last(messages: list[ModelMessage]) -> Any:
    assert isinstance(messages[-1], ModelRequest)
    return messages[-1].parts[-1]


async def weather(messages: list[ModelMessage], info: AgentInfo) -> Saying:
    """Asks its tool, and then says what that has said, and how many prompts there have been."""
    match last(messages):
        case ToolReturnPart(content=content):
            prompts = [part for each in messages for part in each.parts if isinstance(part, UserPromptPart)]
            for word in (f"{content}", ", ", f"{len(prompts)} prompts"):
                yield word
        case _:
            yield {0: DeltaThinkingPart(content="Let me look.")}
            yield "I will look. "
            yield {1: DeltaToolCall(name="get_weather", json_args='{"city": ', tool_call_id="c1")}
            yield {1: DeltaToolCall(json_args='"Köln"}')}


async def test_pydantic_ai_calls_a_tool_and_is_asked_again(settings: Settings) -> None:
    agent = Agent(FunctionModel(stream_function=weather))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        return f"sunny in {city}"

    async with house_of(settings, agent) as (house, requests), house.connect() as client:
        frames = await client.post(prompt="How is it?", asset_id=str(REVENUE), asset_type="metric")
        assert_good(house, frames)
        chat_id = frames[-1]["payload"]["id"]
        again = await client.post(prompt="And now?", chat_id=chat_id)
        assert_good(house, again)
    assert steps(frames) == [
        ("Thinking", "Let me look.", "completed"),
        ("Get weather", '{"city": "Köln"}\n\nsunny in Köln', "completed"),
    ]
    assert texts(message_of(frames)) == ["I will look. \n\nsunny in Köln, 1 prompts"]
    assert texts(message_of(again)) == ["I will look. \n\nsunny in Köln, 2 prompts"]
    assert [each.thread_id for each in requests] == [chat_id] * 2
    assert [each.run_id for each in requests] == again[-1]["payload"]["message_ids"]
    assert extras(requests) == []
    assert requests[0].context
    assert json.loads(requests[0].context[0].value)["name"] == "Revenue"


async def test_pydantic_ais_test_model_answers(settings: Settings) -> None:
    async with house_of(settings, Agent(TestModel(custom_output_text="Well."))) as (house, _), house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == ["Well."]


async def test_pydantic_ai_hears_of_a_stop(settings: Settings) -> None:
    ended = anyio.Event()

    async def endless(messages: list[ModelMessage], info: AgentInfo) -> Saying:
        try:
            while True:
                yield "and "
                await anyio.sleep(0.01)
        finally:
            ended.set()

    agent = Agent(FunctionModel(stream_function=endless))
    async with house_of(settings, agent) as (house, _), house.connect() as client:
        await client.send({"prompt": "Hi"})
        chat_id = (await client.until("generatingResponseMessage"))[0]["payload"]["id"]
        with anyio.fail_after(2):
            await client.send({"id": chat_id}, "/chats/stop")
            await ended.wait()
        assert message_of([(await client.until("complete"))[-1]])["finish_reason"] == "stopped"


class Count(BaseModel):
    """What the agent shares."""

    n: int = 0


async def test_pydantic_ais_state_goes_from_run_to_run(settings: Settings) -> None:
    async def count(messages: list[ModelMessage], info: AgentInfo) -> Saying:
        if isinstance(last(messages), ToolReturnPart):
            yield last(messages).content
        else:
            yield {0: DeltaToolCall(name="count", json_args="{}", tool_call_id="c1")}

    agent = Agent(FunctionModel(stream_function=count), deps_type=StateDeps[Count])

    @agent.tool(name="count")
    def add_one(context: RunContext[StateDeps[Count]]) -> ToolReturn:
        context.deps.state.n += 1
        snapshot = core.StateSnapshotEvent(snapshot=context.deps.state.model_dump())
        return ToolReturn(return_value=f"{context.deps.state.n}", metadata=[snapshot])

    async with house_of(settings, agent, deps=StateDeps(Count())) as (house, _), house.connect() as client:
        first = await client.post(prompt="Count")
        second = await client.post(prompt="Count", chat_id=first[-1]["payload"]["id"])
        other = await client.post(prompt="Count")
    assert [texts(message_of(frames)) for frames in (first, second, other)] == [["1"], ["2"], ["1"]]


async def deleting(messages: list[ModelMessage], info: AgentInfo) -> Saying:
    match last(messages):
        case UserPromptPart(content="Delete x"):
            yield {0: DeltaToolCall(name="delete_file", json_args='{"name": "x"}', tool_call_id="c1")}
        case part:
            yield f"{part.content}"


def deleter() -> tuple[Agent[None, Any], list[str]]:
    agent = Agent(FunctionModel(stream_function=deleting), output_type=[str, DeferredToolRequests])
    deleted: list[str] = []

    @agent.tool_plain(requires_approval=True)
    def delete_file(name: str) -> str:
        deleted.append(name)
        return f"deleted {name}"

    return agent, deleted


@pytest.mark.parametrize(
    ("answer", "gone", "says"),
    [
        ({"approved": True}, ["x"], "deleted x"),
        ({"approved": True, "value": {"editedArgs": {"name": "y"}}}, ["y"], "deleted y"),
        ({"approved": False, "value": {"reason": "not today"}}, [], "not today"),
    ],
)
async def test_pydantic_ai_asks_before_it_deletes(
    settings: Settings, answer: dict[str, Any], gone: list[str], says: str
) -> None:
    agent, deleted = deleter()
    async with house_of(settings, agent) as (house, requests), house.connect() as client:
        frames = await client.post(prompt="Delete x")
        (question,) = message_of(frames)["approvals"]
        assert question["title"] == 'Approve delete_file({"name":"x"})?'
        assert deleted == []
        chat_id = frames[-1]["payload"]["id"]
        resumed = await client.post(chat_id=chat_id, approvals=[{"id": question["id"], **answer}])
        assert_good(house, resumed)
        assert texts(message_of(resumed)) == [says]
        after = await client.post(chat_id=chat_id, prompt="Well?")
    assert deleted == gone
    assert texts(message_of(after)) == ["Well?"]
    assert extras(requests) == []


async def test_pydantic_ai_is_told_that_its_question_was_passed_over(settings: Settings) -> None:
    agent, deleted = deleter()
    async with house_of(settings, agent) as (house, _), house.connect() as client:
        chat_id = (await client.post(prompt="Delete x"))[-1]["payload"]["id"]
        for prompt in ("Never mind", "Well?"):
            frames = await client.post(chat_id=chat_id, prompt=prompt)
            assert texts(message_of(frames)) == [prompt]
    assert deleted == []
