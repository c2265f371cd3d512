"""Agents of one's own: any Python object by one setting, and a word for each that is none."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends import open_agent
from settings import Settings, SettingsError, load_settings
from tests.support.client import fold, unsettled
from tests.support.failures import assert_internal
from tests.support.house import open_house
from tests.support.modelled import message_of, texts
from tests.support.world import REVENUE

MODULE = """
from threadcast import AgentTask, Finished, ReasoningChunk, ResponseChunk, Usage

async def answer(task: AgentTask):
    yield f"{task.prompt}! "
    yield ResponseChunk(f"{len(task.history)} before, {task.user.email}, ")
    yield ", ".join(asset.name for asset in task.assets)

async def whole(task):
    yield ReasoningChunk("Counting", "one")
    yield "two"
    yield Finished("length", Usage("own", 1, 2, None))

async def odd(task):
    yield "Half "
    yield 7

async def slow(task):
    global closed
    try:
        yield "Half "
        import asyncio
        await asyncio.sleep(3600)
    finally:
        closed = True

class Agent:
    closed = 0

    async def answer(self, task):
        yield "from a class"

    async def title(self, task):
        yield "A "
        yield "title"

    async def aclose(self):
        Agent.closed += 1

class Nothing:
    answer = "text"

made = Agent()
number = 7

def plain(task):
    return "text"

async def coroutine(task):
    return "text"

class Room:
    inner = made
"""


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of the user's in the working directory, beside one that has the name of one of ours."""
    (tmp_path / "mine.py").write_text(MODULE)
    (tmp_path / "broken.py").write_text("import mine\nraise RuntimeError('a secret')")
    (tmp_path / "leaving.py").write_text("raise SystemExit(0)")
    (tmp_path / "needy.py").write_text("import no_such_library")
    (tmp_path / "settings.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("mine", "broken", "needy", "leaving"):
        sys.modules.pop(name, None)


async def test_a_generator_that_yields_text_is_enough(settings: Settings) -> None:
    async with open_house(replace(settings, agent="mine:answer")) as house, house.connect() as client:
        first = await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric")
        assert unsettled(fold(first)) == unsettled(first[-1]["payload"])
        assert texts(message_of(first)) == ["Hi! 0 before, alice@acme.example, Revenue"]
        assert first[-1]["payload"]["title"] == "Hi"
        second = await client.post(prompt="Again", chat_id=first[-1]["payload"]["id"])
        assert texts(message_of(second)) == ["Again! 1 before, alice@acme.example, Revenue"]


async def test_events_are_told_as_what_they_are(settings: Settings) -> None:
    async with open_house(replace(settings, agent="mine:whole")) as house, house.connect() as client:
        message = message_of(await client.post(prompt="Hi"))
    (step,) = message["reasoning_messages"].values()
    assert (step["title"], step["message"], texts(message)) == ("Counting", "one", ["two"])
    assert message["finish_reason"] == "length"
    assert message["usage"] == {"model": "own", "input_tokens": 1, "output_tokens": 2, "reasoning_tokens": None}


@pytest.mark.parametrize("name", ["mine:Agent", "mine:made", "mine:Room.inner"])
async def test_an_object_or_a_class_with_an_answer_may_have_titles_and_an_end(settings: Settings, name: str) -> None:
    async with open_house(replace(settings, agent=name)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert texts(message_of(frames)) == ["from a class"]
        assert frames[-1]["payload"]["title"] == "A title"
    assert sys.modules["mine"].Agent.closed == 1


async def test_what_is_no_event_fails_its_run_and_keeps_what_was_said(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_house(replace(settings, agent="mine:odd")) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert_internal(frames[-1], caplog)
    assert "an agent has yielded a value of int: text or an event is wanted" in caplog.text


async def test_a_stop_closes_the_generator(settings: Settings) -> None:
    async with open_house(replace(settings, agent="mine:slow")) as house, house.connect() as client:
        await client.send({"prompt": "Hi"})
        begun = await client.until("generatingResponseMessage")
        await client.send({"id": begun[0]["payload"]["id"]}, "/chats/stop")
        assert message_of(await client.stream())["finish_reason"] == "stopped"
        assert sys.modules["mine"].closed


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere:answer", "there is no module nowhere, here or where Python looks"),
        ("mine:missing", "mine has no missing"),
        ("mine:Room.missing", "mine has no Room.missing"),
        ("mine:number", "mine:number is of int, which has no `answer`, and must be an async generator function"),
        ("mine:plain", "mine:plain is a plain function, and must be"),
        ("mine:coroutine", "mine:coroutine is a coroutine function, which yields nothing, and must be"),
        ("mine:Nothing", "mine:Nothing is of Nothing, whose `answer` is none, and must be"),
        ("needy:answer", "needy cannot be imported: ModuleNotFoundError, as above"),
        ("broken:answer", "broken cannot be imported: RuntimeError, as above"),
        ("leaving:answer", "leaving cannot be imported: SystemExit, as above"),
    ],
)
def test_what_is_no_agent_is_refused_at_the_start_in_one_line(
    settings: Settings, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        open_agent(replace(settings, agent=name))
    assert str(refused.value).startswith(f"THREADCAST_AGENT: {says}")
    assert "\n" not in str(refused.value)
    assert ("Traceback" in capsys.readouterr().err) == ("cannot be imported" in says)


@pytest.mark.parametrize("raw", ["mine", "mine:", ":answer", "mine:a b", "mine/x:answer", "mine:1"])
def test_what_is_no_name_is_refused(raw: str) -> None:
    with pytest.raises(SettingsError, match=r"THREADCAST_AGENT must be offline or openai, .* or the name of an agent"):
        load_settings({"THREADCAST_AGENT": raw})
