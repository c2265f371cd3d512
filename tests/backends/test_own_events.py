"""What an agent of one's own yields: held against what it is to be, cleaned, and given its turn with everybody else's."""

import asyncio
import re
import sys
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from backends.agent import AgentTask
from backends.agents.own import OwnAgent, checked
from backends.agents.standstill import stack_of
from backends.metrics import MODELS
from settings import Settings
from tests.support.client import TIMEOUT_S, fold, unsettled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.failures import assert_internal
from tests.support.house import open_house
from tests.support.modelled import message_of, texts
from tests.support.world import MISSING, REVENUE
from threadcast import (
    ApprovalNeeded,
    AssetsFound,
    AssetShown,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    Remembered,
    ResponseChunk,
    SourcesFound,
    ToolEnded,
    ToolInput,
    ToolStarted,
    Usage,
)

Said = AsyncGenerator[Any, None]


async def work(task: AgentTask) -> Said:
    """Does a bit of everything."""
    yield ReasoningChunk("Thinking", "hm")
    yield ToolStarted("1", "Searching", "search")
    yield ToolInput("1", '{"q": "revenue"}')
    yield ToolStarted("2", "Counting")
    yield ToolEnded("2", "no", True)
    yield ToolEnded("1", "3 rows")
    yield SourcesFound("Found 1 source", [("Docs", "https://example.com/docs")])
    yield FileChunk("files", "Writing", str(task.assets[0].id), "metric", "revenue.yml", 2, "sql: ")
    yield FileChunk("files", "Writing", str(task.assets[0].id), "metric", "revenue.yml", 2, "select 1")
    yield FilesEnded("files", "Wrote 1 file")
    yield AssetShown(task.assets[0], "Updated the metric")
    yield "Done."
    yield Usage("own", 3, 4)


async def test_a_bit_of_everything_is_told_stored_and_shown_alike(settings: Settings) -> None:
    async with open_house(settings, agent=OwnAgent(work)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric")
        chat = frames[-1]["payload"]
        assert unsettled(fold(frames)) == unsettled(chat)
        assert stored_chat(house.database, chat["id"]) == as_stored(chat)
        await client.send({"id": chat["id"]}, "/chats/get")
        assert (await client.frame())["payload"] == chat
        again = await client.post(prompt="Again", chat_id=chat["id"], message_id=chat["message_ids"][0])
        assert unsettled(fold(again)) == unsettled(again[-1]["payload"])
    message = message_of(frames)
    steps = list(message["reasoning_messages"].values())
    assert [(step["type"], step["title"], step["status"]) for step in steps] == [
        ("text", "Thinking", "completed"),
        ("text", "Searching", "completed"),
        ("text", "Counting", "failed"),
        ("pills", "Found 1 source", "completed"),
        ("files", "Wrote 1 file", "completed"),
    ]
    (file,) = steps[-1]["files"].values()
    assert (file["id"], file["file"]["text"]) == (str(REVENUE), "sql: select 1")
    shown, text = message["response_messages"].values()
    assert (shown["type"], shown["id"], shown["metadata"][0]["message"]) == ("file", str(REVENUE), "Updated the metric")
    assert text["message"] == "Done."
    assert message["usage"] == {"model": "own", "input_tokens": 3, "output_tokens": 4, "reasoning_tokens": None}


async def test_a_chat_is_about_what_its_agent_has_shown_and_the_server_has(settings: Settings) -> None:
    async def show(task: AgentTask) -> Said:
        for asset in task.assets:
            yield AssetShown(asset, "Here")
            yield AssetShown(replaced(asset, MISSING), "Somewhere else")
        yield f"{len(task.assets)}"

    def replaced(asset: Any, id: UUID) -> Any:
        return type(asset)(**{field: getattr(asset, field) for field in asset.__struct_fields__} | {"id": id})

    async with open_house(settings, agent=OwnAgent(show)) as house, house.connect() as client:
        chat = (await client.post(prompt="Hi", asset_id=str(REVENUE), asset_type="metric"))[-1]["payload"]
        *_, text = message_of(await client.post(prompt="And?", chat_id=chat["id"]))["response_messages"].values()
        assert text["message"] == "1"
        links = rows(house.database, "SELECT file_id FROM messages_to_files")
    assert [link["file_id"] for link in links] == [str(REVENUE)] * 2


async def test_what_is_remembered_is_given_to_the_next_run_and_told_to_nobody(settings: Settings) -> None:
    states: list[Any] = []

    async def remember(task: AgentTask) -> Said:
        states.append(task.state)
        if task.prompt == "forget":
            yield Remembered(None)
        elif task.prompt != "nothing":
            yield Remembered({"secret": task.prompt})
        yield "well"

    async with open_house(settings, agent=OwnAgent(remember)) as house, house.connect() as client:
        chat = (await client.post(prompt="one"))[-1]["payload"]
        for prompt in ("nothing", "two", "forget", "three"):
            frames = await client.post(prompt=prompt, chat_id=chat["id"])
        assert "secret" not in str(frames)
        await client.post(prompt="asked anew", chat_id=chat["id"], message_id=frames[-1]["payload"]["message_ids"][2])
    assert states == [None, {"secret": "one"}, {"secret": "one"}, {"secret": "two"}, None, {"secret": "one"}]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (ToolStarted(7, "x"), "a ToolStarted that is none: Expected `str`, got `int` - at `$.id`"),  # type: ignore[arg-type]
        (ToolStarted("", "x"), "Expected `str` of length >= 1 - at `$.id`"),
        (ToolEnded("1", None), "Expected `str`, got `null` - at `$.text`"),  # type: ignore[arg-type]
        (ResponseChunk(b"x"), "a ResponseChunk that is none: "),  # type: ignore[arg-type]
        (ReasoningChunk("t" * 501, "x"), "Expected `str` of length <= 500 - at `$.title`"),
        (FileChunk("s", "t", "f", "metric", "name", 0, "x"), "Expected `int` >= 1 - at `$.version_number`"),
        (SourcesFound("t", ("x",)), "at `$.sources[0]`"),  # type: ignore[arg-type]
        (AssetsFound("t", ("x",)), "at `$.assets[0]`"),  # type: ignore[arg-type]
        (Remembered(object()), "a Remembered that is none: Encoding objects of type object is unsupported"),
        (Remembered("x" * 2**16), "a Remembered that is none: it has 65538 bytes as JSON, and may have at most 65536"),
        (ApprovalNeeded("", "x"), "at `$.id`"),
        (ApprovalNeeded("a\0", "x"), "at `$.id`"),
        (ApprovalNeeded("1", "x", ["x" * 2**16]), "it has 65540 bytes as JSON"),
        (FileChunk("s", "t", MISSING, "metric", "name", 0, "x"), "Expected `int` >= 1"),  # type: ignore[arg-type]
        (Usage("m", -1, None), "Expected `int` >= 0 - at `$.input_tokens`"),
        (Usage("m", None, 2**53), "at `$.output_tokens`"),
        (b"x", "an agent has yielded a value of bytes: text or an event is wanted"),
        (None, "an agent has yielded a value of NoneType"),
    ],
)
def test_what_is_no_event_says_which_field_and_what_is_wanted(event: object, says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(says)):
        checked(event)


async def test_half_a_character_in_any_field_is_neither_told_nor_lost(settings: Settings) -> None:
    async def halves(task: AgentTask) -> Said:
        yield ToolStarted("\ud83d", "T\ud83d", "\ude00")
        yield ToolInput("\ud83d", "a\ud83d")
        yield ToolInput("\ud83d", "\ude00b")
        yield ToolEnded("\ud83d", "\ud83d\ude00")
        yield FileChunk("s", "t", "f", "metric", "n", 1, "c\ud83d")
        yield FileChunk("s", "t", "f", "metric", "n", 1, "\ude00d")
        yield SourcesFound("\ud83d", [("\ud83d", "https://\ud83d")])
        yield Remembered({"\ud83d": ["\ud83d"]})
        yield ApprovalNeeded("\ud83d", "\ud83d", {"\ud83d": "\ud83d"})

    async with open_house(settings, agent=OwnAgent(halves)) as house, house.connect() as client:
        frames = await client.post(prompt="Hi")
        assert stored_chat(house.database, frames[-1]["payload"]["id"]) == as_stored(frames[-1]["payload"])
    tool, files, *_ = message_of(frames)["reasoning_messages"].values()
    assert tool["message"] == "a😀b\n\n😀"
    assert [file["file"]["text"] for file in files["files"].values()] == ["c😀d"]


async def test_an_agent_that_never_waits_lets_others_have_their_turn(settings: Settings) -> None:
    async def busy(task: AgentTask) -> Said:
        if task.prompt == "short":
            yield "well"
        while task.prompt == "long":
            yield Usage("m", 1, 1)

    async with open_house(settings, agent=OwnAgent(busy)) as house, house.connect() as client:
        await client.send({"prompt": "long"})
        long = (await client.until("initializeChat"))[-1]["payload"]["id"]
        async with house.connect() as other:
            await other.send({"prompt": "short"})
            while (frame := await other.frame())["event"] != "complete":
                pass
            assert texts(message_of([frame])) == ["well"]
            await other.send({"id": long}, "/chats/stop")
            assert message_of([(await other.until("complete"))[-1]])["finish_reason"] == "stopped"


async def test_while_a_tool_is_at_work_its_silence_does_not_count(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async def slow(task: AgentTask) -> Said:
        yield ToolStarted("1", "Waiting")
        yield ToolStarted("2", "Waiting, too")
        yield ToolEnded("2", "")
        await asyncio.sleep(1.5 * hasty.between_tokens_seconds)
        yield ToolEnded("1", "")
        yield "well"
        if task.prompt == "fall silent":
            await asyncio.sleep(3600)

    hasty = replace(settings, between_tokens_seconds=1)
    async with open_house(hasty, agent=OwnAgent(slow)) as house, house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == ["well"]
        assert_internal((await client.post(prompt="fall silent"))[-1], caplog)


async def test_chunks_of_any_size_stay_within_the_chats_bound(settings: Settings) -> None:
    async def shout(task: AgentTask) -> Said:
        if task.prompt == "large":
            yield "x" * 10_000_000
        for _ in range(1_000_000):
            yield "x"

    bounded = replace(settings, chat_bytes=100_000)
    async with open_house(bounded, agent=OwnAgent(shout)) as house, house.connect() as client:
        for prompt in ("large", "tiny"):
            message = message_of(await client.post(prompt=prompt))
            assert 90_000 < sum(map(len, texts(message))) <= 100_000
            assert (message["final_reasoning_message"], message["finish_reason"]) == ("Full", "length")


async def test_an_agent_that_blocks_everybody_is_named_with_where_it_does(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def block(task: AgentTask) -> Said:
        yield "a"
        wait_without_await()
        yield "b"

    def wait_without_await() -> None:
        time.sleep(1.8)

    async with open_house(settings, agent=OwnAgent(block, name="mine:block")) as house, house.connect() as client:
        assert texts(message_of(await client.post(prompt="Hi"))) == ["ab"]
    (line,) = [record for record in caplog.records if "stands still" in record.message]
    said: dict[str, Any] = vars(line)
    assert (line.levelname, said["agent"]) == ("WARNING", "mine:block")
    assert said["seconds"] >= 1
    assert re.fullmatch(r"\S+test_own_events.py:\d+ in wait_without_await, called by \S+:\d+ in block", said["stack"])


async def test_an_agent_that_waits_as_it_should_is_not_named(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async def wait(task: AgentTask) -> Said:
        yield "a"
        await asyncio.sleep(1.8)
        await asyncio.to_thread(time.sleep, 0.1)

    async with open_house(settings, agent=OwnAgent(wait)) as house, house.connect() as client:
        await client.post(prompt="Hi")
    assert "stands still" not in caplog.text
    assert [thread for thread in threading.enumerate() if thread.name == "standstill"] == []


def test_a_loop_that_only_waits_stands_nowhere() -> None:
    """So a machine that is too busy to give the loop its turn blames no agent."""
    loop = asyncio.SelectorEventLoop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        give_up = time.monotonic() + TIMEOUT_S
        while (frame := sys._current_frames()[thread.ident or 0]).f_globals["__name__"] != "selectors":
            assert time.monotonic() < give_up
        assert stack_of(frame) == ""
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def test_models_without_end_are_counted_as_one(settings: Settings) -> None:
    async def name_anew(task: AgentTask) -> Said:
        yield Usage(task.prompt, 1, None)

    async with open_house(settings, agent=OwnAgent(name_anew)) as house, house.connect() as client:
        counted = house.backends.metrics
        for number in range(MODELS + 20):
            counted.used(Usage(f"model {number}", 1, None))
        await client.post(prompt="another")
        families = [line for line in counted.text().decode().splitlines() if line.startswith("threadcast_model_tokens_total{")]
    assert len(families) == MODELS + 1
    assert 'threadcast_model_tokens_total{kind="input",model="other"} 21.0' in families
