"""What agents of Pydantic AI ask their user, and the example, which does."""

import importlib
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.models.test import TestModel

from settings import Settings
from tests.support.failures import assert_internal
from tests.support.framed import answers, named, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_pydantic_ai import Script, call, content


def deleting(deleted: list[str], *turns: list[Any]) -> tuple[Agent[Any, Any], Script]:
    script = Script(*turns)
    agent = Agent(script.model, output_type=[str, DeferredToolRequests])

    @agent.tool_plain(requires_approval=True)
    def delete(what: str) -> str:
        deleted.append(what)
        return f"{what} is gone"

    @agent.tool_plain
    def look_up() -> str:
        deleted.append("looked up")
        return "found"

    return agent, script


@pytest.mark.parametrize("approved", [True, False])
async def test_a_restarted_server_goes_on_with_what_was_approved_or_denied(settings: Settings, approved: bool) -> None:
    deleted: list[str] = []
    agent, _ = deleting(deleted, ["Hello"], ["Sure. ", *call(8, "look_up", "{}"), *call(9, "delete", '{"what":"it"}')])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi"))[-1]["payload"]["id"]
        asked = await client.post(prompt="Delete it", chat_id=chat)
        assert_good(house, asked)
    (question,) = message_of(asked)["approvals"]
    assert (question["id"], question["title"], question["schema"]) == ("call-9", 'Run delete({"what":"it"})?', None)
    assert [step[2] for step in tools(message_of(asked))] == ["completed", "loading"]
    assert deleted == ["looked up"]
    agent, script = deleting(deleted, ["Done"], ["Later"])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        said = await client.post(chat_id=chat, approvals=answers(asked, approved), prompt="As I say")
        assert_good(house, said)
        later = await client.post(chat_id=chat, prompt="And?")
    result = "it is gone" if approved else "The tool call was denied."
    status = "completed" if approved else "failed"
    assert tools(message_of(said)) == [("Delete", "delete", status, f'{{"what":"it"}}\n\n{result}')]
    assert (texts(message_of(said)), texts(message_of(later))) == (["Done"], ["Later"])
    assert deleted == ["looked up", *["it"] * approved]
    assert content(script.asked[0]) == [
        "user-prompt: Hi",
        "text: Hello",
        "user-prompt: Delete it",
        "text: Sure. ",
        "tool-return: found",
        f"tool-return: {result}",
        "user-prompt: As I say",
    ]
    assert content(script.asked[1])[-4:] == ["text: Sure. ", "user-prompt: As I say", "text: Done", "user-prompt: And?"]


async def test_a_run_may_ask_again_and_again(settings: Settings) -> None:
    deleted: list[str] = []
    turns = [[*call(n, "delete", f'{{"what":"{n}"}}')] for n in range(3)]
    agent, script = deleting(deleted, *turns, ["Done"])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Delete all")
        chat = frames[-1]["payload"]["id"]
        for _ in range(3):
            frames = await client.post(chat_id=chat, approvals=answers(frames, True))
    assert (texts(message_of(frames)), deleted) == (["Done"], ["0", "1", "2"])
    assert content(script.asked[3])[0] == "user-prompt: Delete all"
    assert len(content(script.asked[3])) == 4


async def test_what_is_too_much_to_remember_is_told_in_the_log(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    agent, _ = deleting([], [*call(0, "delete", f'{{"what":"{"x" * 70_000}"}}')])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        assert_internal((await client.post(prompt="Delete it"))[-1], caplog)
    assert "and may have at most 65536" in caplog.text


async def test_the_example_rolls_dice_and_asks_before_it_throws_away(settings: Settings) -> None:
    name = "examples.agents.pydantic_ai_agent"
    with importlib.import_module(name).agent.override(model=TestModel()):
        async with open_house(replace(settings, agent=f"{name}:agent")) as house, house.connect() as client:
            asked = await client.post(prompt="Roll, and throw it away")
            assert [step[:3] for step in tools(message_of(asked))] == [
                ("Roll dice", "roll_dice", "completed"),
                ("Throw away", "throw_away", "loading"),
            ]
            said = await client.post(chat_id=asked[-1]["payload"]["id"], approvals=answers(asked, True))
    assert tools(message_of(said)) == [("Throw away", "throw_away", "completed", '{"what": "a"}\n\na is gone')]
