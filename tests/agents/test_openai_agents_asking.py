"""What agents of the OpenAI Agents SDK ask their user, and the example, which does."""

import importlib
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("agents")

from agents import Agent, Usage, function_tool
from agents.testing import ScriptedModel, assistant_message

from settings import Settings
from tests.support.framed import answers, named, tools
from tests.support.house import open_house
from tests.support.modelled import assert_good, message_of, texts
from tests.support.scripted_openai_agents import call, content


def deleting(deleted: list[str], *steps: Any) -> tuple[Any, ScriptedModel]:
    @function_tool(needs_approval=True)
    async def delete(what: str) -> str:
        deleted.append(what)
        return f"{what} is gone"

    @function_tool
    async def look_up() -> str:
        deleted.append("looked up")
        return "found"

    model = ScriptedModel(steps, default_usage=Usage(1, 3, output_tokens=4))
    return Agent("Helper", model=model, tools=[delete, look_up]), model


@pytest.mark.parametrize("approved", [True, False])
async def test_a_restarted_server_goes_on_with_what_was_approved_or_denied(settings: Settings, approved: bool) -> None:
    deleted: list[str] = []
    both = [assistant_message("Sure. "), call(8, "look_up", "{}"), call(9, "delete", '{"what":"it"}')]
    agent, _ = deleting(deleted, [assistant_message("Hello")], both)
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi"))[-1]["payload"]["id"]
        asked = await client.post(prompt="Delete it", chat_id=chat)
        assert_good(house, asked)
    (question,) = message_of(asked)["approvals"]
    assert (question["id"], question["title"], question["schema"]) == ("call-9", 'Run delete({"what":"it"})?', None)
    assert [step[2] for step in tools(message_of(asked))] == ["completed", "loading"]
    assert deleted == ["looked up"]
    agent, model = deleting(deleted, [assistant_message("Done")], [assistant_message("Later")])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        said = await client.post(chat_id=chat, approvals=answers(asked, approved))
        assert_good(house, said)
        later = await client.post(chat_id=chat, prompt="And?")
    ((title, name, status, text),) = tools(message_of(said))
    assert (title, name, status) == ("Delete", "delete", "completed" if approved else "failed")
    assert text.startswith('{"what":"it"}\n\n')
    assert approved == ("it is gone" in text)
    assert [message_of(frames)["usage"]["input_tokens"] for frames in (asked, said)] == [3, 3]
    assert (texts(message_of(said)), texts(message_of(later))) == (["Done"], ["Later"])
    assert deleted == ["looked up", *["it"] * approved]
    assert content(model.calls[0])[:3] == ["user: Hi", "assistant: Hello", "user: Delete it"]
    assert content(model.calls[1])[-2:] == ["assistant: Sure. \n\nDone", "user: And?"]


async def test_a_run_may_ask_again_and_again(settings: Settings) -> None:
    deleted: list[str] = []
    agent, _ = deleting(deleted, *([call(n, "delete", f'{{"what":"{n}"}}')] for n in range(3)), [assistant_message("Done")])
    async with open_house(settings, agent=named(agent)) as house, house.connect() as client:
        frames = await client.post(prompt="Delete all")
        chat = frames[-1]["payload"]["id"]
        for _ in range(3):
            frames = await client.post(chat_id=chat, approvals=answers(frames, True))
    assert (texts(message_of(frames)), deleted) == (["Done"], ["0", "1", "2"])


async def test_the_example_rolls_dice_and_asks_before_it_throws_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "examples.agents.openai_agents_agent"
    rolled, thrown = [call(0, "roll_dice", '{"count":2}')], [call(1, "throw_away", '{"what":"a die"}')]
    model = ScriptedModel([rolled, thrown, [assistant_message("Gone")]])
    monkeypatch.setattr(importlib.import_module(name).agent, "model", model)
    async with open_house(replace(settings, agent=f"{name}:agent")) as house, house.connect() as client:
        asked = await client.post(prompt="Roll, and throw it away")
        assert [step[:3] for step in tools(message_of(asked))] == [
            ("Roll dice", "roll_dice", "completed"),
            ("Throw away", "throw_away", "loading"),
        ]
        said = await client.post(chat_id=asked[-1]["payload"]["id"], approvals=answers(asked, True))
    assert [step[3] for step in tools(message_of(said))] == ['{"what":"a die"}\n\na die is gone']
    assert texts(message_of(said)) == ["Gone"]
