"""What goes wrong inside: an agent that fails, a database that fails, a stream that cannot be sent. One end, nothing leaks."""

import logging
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest

from backends.agent_events import ReasoningChunk, ResponseChunk
from handlers import stream
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import Client, fold, is_end, unsettled, untitled
from tests.support.database import count, opened, rows
from tests.support.failures import assert_internal, break_database, mend_database
from tests.support.house import House, open_house
from tests.support.world import REVENUE


async def still_works(client: Client) -> None:
    assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"


async def test_an_agent_that_raises_mid_stream_ends_it_with_one_error_for_all_who_saw_it(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent(ReasoningChunk("Thinking", "Hm"), ResponseChunk("Half an "), error=OSError("/secret detail"))
    async with open_house(settings, agent) as house, house.connect() as sender, house.connect() as other:
        frames = await sender.post(prompt="Go")
        assert await other.stream() == frames
        assert_internal(frames[-1], caplog)
        assert sum(map(is_end, frames)) == 1
        await still_works(sender)
        (message,) = rows(house.database, "SELECT * FROM messages WHERE request = 'Go'")
        assert (message["is_completed"], message["final_reasoning_message"]) == (1, "Failed")
        assert "Half an " in message["response_messages"]
        assert "Hm" in message["reasoning_messages"]
        assert agent.closed == 1


async def test_an_agent_that_raises_at_once_still_ends_the_stream(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        open_house(settings, ScriptedAgent(error=RuntimeError("secret detail"), title=None)) as house,
        house.connect() as client,
    ):
        frames = await client.post(prompt="What went wrong here?")
        assert frames[0]["event"] == "initializeChat"
        assert_internal(frames[-1], caplog)
        (chat,) = rows(house.database, "SELECT title FROM chats")
        assert chat["title"] == "What went wrong here?"


@pytest.mark.parametrize("payload", [{"prompt": "Go"}, {"metric_id": str(REVENUE)}])
async def test_a_database_that_refuses_the_new_chat_gets_no_stream_begun(
    house: House, caplog: pytest.LogCaptureFixture, payload: dict[str, Any]
) -> None:
    async with house.connect() as client, house.connect() as other:
        break_database(house, "INSERT ON messages")
        await client.send(payload)
        frame = await client.frame()
        assert_internal(frame, caplog)
        assert frame["send_method"] == "SenderOnly"
        assert count(house.database, "chats") == 0  # rolled back with its message
        mend_database(house)
        await still_works(client)
        assert (await other.frame())["event"] == "initializeChat"


async def test_a_database_that_refuses_the_answer_ends_the_stream_with_an_error_and_no_complete(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.connect() as client:
        break_database(house, "UPDATE ON messages WHEN new.final_reasoning_message IS NOT 'Failed'")
        frames = await client.post(prompt="Go")
        assert_internal(frames[-1], caplog)
        assert "complete" not in {frame["event"] for frame in frames}
        (message,) = rows(house.database, "SELECT is_completed, final_reasoning_message FROM messages")
        assert message == {"is_completed": 1, "final_reasoning_message": "Failed"}
        mend_database(house)
        await still_works(client)


async def test_a_database_that_refuses_even_the_failure_is_put_right_when_the_chat_is_next_read(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.connect() as client:
        break_database(house, "UPDATE ON messages")
        frames = await client.post(prompt="Go")
        assert_internal(frames[-1], caplog)
        assert rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 0}]
        mend_database(house)
        chat = frames[0]["payload"]
        again = await client.post(prompt="And now?", chat_id=chat["id"])
    first = again[0]["payload"]["messages"][chat["message_ids"][0]]
    assert (first["is_completed"], first["final_reasoning_message"]) == (True, "Interrupted")
    assert rows(house.database, "SELECT DISTINCT is_completed FROM messages") == [{"is_completed": 1}]


async def test_a_retry_of_what_could_not_be_stored_is_answered_with_what_there_is(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    id = str(uuid4())
    async with house.connect() as client:
        break_database(house, "UPDATE ON messages")
        assert_internal((await client.post(prompt="Go", message_id=id))[-1], caplog)
        mend_database(house)
        (end,) = await client.post(prompt="Go", message_id=id)
    assert end["event"] == "complete"
    message = end["payload"]["messages"][id]
    assert (message["is_completed"], message["final_reasoning_message"]) == (True, "Interrupted")


async def test_text_that_cannot_be_encoded_is_told_and_kept_without_what_cannot(settings: Settings) -> None:
    agent = ScriptedAgent(
        ReasoningChunk("Thinking", "\ud83d"),
        ReasoningChunk("Thinking", "\ude00"),
        ResponseChunk("fine\ud800"),
        ResponseChunk(" and \ud83d"),
        ResponseChunk("\ude00, "),
        ResponseChunk("\ud83d"),
    )
    async with open_house(settings, agent) as house, house.connect() as client:
        frames = await client.post(prompt="Go")
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        await still_works(client)
        assert rows(house.database, "SELECT DISTINCT is_completed FROM messages") == [{"is_completed": 1}]
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
        (message,) = (await client.frame())["payload"]["messages"].values()
        (part,) = message["response_messages"].values()
        (step,) = message["reasoning_messages"].values()
        assert (step["message"], part["message"]) == ("😀", "fine\ufffd and 😀, ")


async def test_a_beginning_that_cannot_be_told_ends_the_stream_and_asks_no_agent(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = ScriptedAgent(ResponseChunk("never said"))
    async with open_house(settings, agent) as house, house.connect() as client, house.connect() as other:
        with monkeypatch.context() as patched:
            patched.setattr(stream, "send_ws_message", Mock(side_effect=RuntimeError("secret detail")))
            (error,) = await client.post(prompt="Go")
            assert [error] == await other.stream()  # some of it may have been told to them
        assert_internal(error, caplog)
        assert agent.closed == 0  # it was not asked
        assert rows(house.database, "SELECT is_completed, final_reasoning_message FROM messages") == [
            {"is_completed": 1, "final_reasoning_message": "Failed"}
        ]
        await still_works(client)


async def test_an_agent_faster_than_the_channel_loses_nothing(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk(f"{number} ") for number in range(5000)))
    async with open_house(settings, agent) as house, house.connect() as client:
        frames = await client.post(prompt="Count")
    chunks = [frame["payload"]["response_message"]["message_chunk"] for frame in untitled(frames)[1:-2]]
    assert "".join(chunks) == "".join(f"{number} " for number in range(5000))


async def test_a_locked_database_is_an_error_and_not_a_hang(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.sqlite.WRITE_TIMEOUT_S", 0.05)
    async with house.connect() as client:
        with opened(house.database) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await client.send({"prompt": "Go"})
            assert_internal(await client.frame(), caplog)
        monkeypatch.undo()  # SQLite may take a tenth of a second to notice that the lock is gone
        await still_works(client)


async def test_the_log_of_a_failure_is_an_error(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async with open_house(settings, ScriptedAgent(error=ValueError("boom"))) as house, house.connect() as client:
        await client.post(prompt="Go")
    loud = [record.levelno for record in caplog.records if record.name == "threadcast" and record.levelno > logging.INFO]
    assert loud == [logging.ERROR]
