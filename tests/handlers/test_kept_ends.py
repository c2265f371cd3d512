"""Ends that the database does not take at first: they wait until it does, and nobody who only reads has to wait with them."""

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest

from backends.agent_events import ResponseChunk
from backends.orphans import finish_orphans
from backends.storage import DatabaseAway
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, Frame, fold, is_end, unsettled
from tests.support.database import as_stored, opened, rows, stored_chat
from tests.support.house import House, open_house
from tests.support.over_http import get, request
from tests.support.waiting import until
from tests.support.world import ALICE, REVENUE

LONG = 40_000  # characters: some pages of a database


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.sqlite.BUSY_TIMEOUT_MS", 50)
    monkeypatch.setattr("backends.storage.PROBE_S", 0.0)
    monkeypatch.setattr("handlers.store_answer.PAUSE_S", 0.02)


@contextmanager
def locked(house: House) -> Iterator[None]:
    """Another process writes for the length of the block."""
    with opened(house.database) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(house: House) -> Iterator[None]:
    """The database may not grow by a page for the length of the block."""
    writer = house.backends.storage._writer  # type: ignore[attr-defined]
    (most,) = writer.execute("PRAGMA max_page_count").fetchone()
    writer.execute("PRAGMA max_page_count = 1")  # SQLite sets it to what there is
    yield
    writer.execute(f"PRAGMA max_page_count = {most}")


TROUBLE = {"locked": locked, "full": full}


def waits(caplog: pytest.LogCaptureFixture) -> bool:
    return "could not be stored, and is tried again" in caplog.text


@asynccontextmanager
async def whole_and_not_stored(
    house: House, client: Client, agent: ScriptedAgent, trouble: Any, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[list[Frame]]:
    """A stream whose answer has been told to its last word, and whose end cannot be stored for the length of the block."""
    agent.gate = anyio.Event()
    await client.send({"prompt": "Go"})
    frames = await client.until("generatingTitle")
    with trouble(house):
        agent.gate.set()
        with anyio.fail_after(TIMEOUT_S):
            while not frames[-1]["payload"].get("response_message", {}).get("is_final_message"):
                frames.append(await client.frame())
            await until(lambda: waits(caplog))
        yield frames


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
async def test_an_answer_that_streamed_whole_waits_until_the_database_takes_it(
    settings: Settings, trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent(ResponseChunk("One "), ResponseChunk("x" * LONG))
    async with open_house(settings, agent) as house, house.connect() as client:
        async with whole_and_not_stored(house, client, agent, trouble, caplog) as frames:
            assert rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 0}]
        frames += await client.stream()
        end = frames[-1]["payload"]
        assert unsettled(fold(frames)) == unsettled(end)
        assert as_stored(end) == stored_chat(house.database, end["id"])
        assert "Reasoned for" in str(end)


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE.keys())
async def test_while_the_end_waits_the_chat_can_be_read_and_the_server_is_not_ready(
    settings: Settings, trouble: Any, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent(ResponseChunk("One "), ResponseChunk("x" * LONG))
    async with open_house(settings, agent) as house, house.connect() as client:
        async with whole_and_not_stored(house, client, agent, trouble, caplog) as frames:
            await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
            chat = (await client.frame())["payload"]
            assert "x" * LONG in str(chat)
            (message,) = chat["messages"].values()
            assert not message["is_completed"]
            if trouble is locked:  # a full one takes a write of nothing more
                assert await get(house, "/readyz") == (503, {"status": "the database does not answer"})
        await client.stream()
        assert (await get(house, "/readyz"))[0] == 200


async def test_a_failure_is_told_once_it_is_stored(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    agent = ScriptedAgent(ResponseChunk("Half an "), ResponseChunk("answer"), error=OSError("secret"))
    async with open_house(settings, agent) as house, house.connect() as client:
        agent.gate = anyio.Event()
        await client.send({"prompt": "Go"})
        await client.until("generatingTitle")
        with locked(house):
            agent.gate.set()
            await until(lambda: waits(caplog))
        assert (await client.until("postThread"))[-1]["error"]["code"] == "INTERNAL_SERVER_ERROR"
        (message,) = rows(house.database, "SELECT * FROM messages")
        assert (message["is_completed"], message["final_reasoning_message"]) == (1, "Failed")


async def test_a_server_that_stops_while_an_end_waits_says_so_and_keeps_the_last_checkpoint(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("handlers.store_answer.LATEST_S", 0.01)
    agent, id = HeldAgent(), str(uuid4())
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go", "message_id": id})
        await client.until("generatingResponseMessage")
        await until(lambda: "begins" in str(rows(house.database, "SELECT response_messages FROM messages")))
        with locked(house):
            agent.let_go("Go")
            await until(lambda: waits(caplog))
            house.server.should_exit = True
            end = (await client.until("postThread"))[-1]
    assert end["error"]["code"] == "SERVICE_UNAVAILABLE"
    async with open_house(settings, agent) as house, house.connect() as client:
        (again,) = await client.post(prompt="Go", message_id=id)
        message = again["payload"]["messages"][id]
        assert (message["is_completed"], message["final_reasoning_message"]) == (True, "Interrupted")
        assert "Go begins" in str(message)


async def test_a_chat_that_nobody_answers_can_be_read_while_nothing_can_be_written(house: House) -> None:
    async with house.connect() as client:
        chat = (await client.post(metric_id=str(REVENUE)))[-1]["payload"]
        with opened(house.database) as connection:
            connection.execute("UPDATE messages SET is_completed = 0, final_reasoning_message = NULL")
        with locked(house):
            await client.send({"id": chat["id"]}, "/chats/get")
            seen = (await client.frame())["payload"]
            assert rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 0}]
        (message,) = seen["messages"].values()
        assert (message["is_completed"], message["final_reasoning_message"]) == (True, "Interrupted")
        await client.send({"id": chat["id"]}, "/chats/get")
        assert (await client.frame())["payload"]["messages"] == seen["messages"]
        await until(lambda: rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 1}])


async def test_a_server_starts_on_a_database_that_takes_no_writes_and_closes_what_is_left_once_it_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.orphans.CLOSE_AGAIN_S", 0.02)
    async with open_house(settings) as house, house.connect() as client:
        chat = (await client.post(metric_id=str(REVENUE)))[-1]["payload"]
        with opened(house.database) as connection:
            connection.execute("UPDATE messages SET is_completed = 0, final_reasoning_message = NULL")

    held = anyio.Event()

    async def refuses(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        if not held.is_set():
            raise DatabaseAway
        async for orphan in finish_orphans(*arguments, **options):
            yield orphan

    monkeypatch.setattr("handlers.cluster.finish_orphans", refuses)
    async with open_house(settings) as house, house.connect(ALICE) as client:
        await client.send({"id": chat["id"]}, "/chats/get")
        assert "Interrupted" in str((await client.frame())["payload"])
        assert rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 0}]
        held.set()
        await until(lambda: rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 1}])


async def test_a_read_that_fails_while_what_is_left_waits_to_be_closed_ends_no_server(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.orphans.CLOSE_AGAIN_S", 0.02)
    tries = 0

    async def fails(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        nonlocal tries
        tries += 1
        raise DatabaseAway if tries == 1 else sqlite3.OperationalError("disk I/O error")
        yield

    monkeypatch.setattr("handlers.cluster.finish_orphans", fails)
    async with open_house(settings) as house, house.connect() as client:
        await until(lambda: tries > 3)
        assert not house.server.failed
        assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"


async def test_reading_a_chat_that_nobody_answers_again_and_again_starts_one_task_and_says_nothing_in_the_log(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    async with house.connect() as client:
        chat = (await client.post(metric_id=str(REVENUE)))[-1]["payload"]
        with opened(house.database) as connection:
            connection.execute("UPDATE messages SET is_completed = 0, final_reasoning_message = NULL")
        caplog.clear()
        with locked(house):
            for _ in range(20):
                await client.send({"id": chat["id"]}, "/chats/get")
                await client.frame()
                assert len(house.services.tasks) <= 2  # the request's own, and the one that closes it
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_an_outage_is_one_line_in_the_log_however_often_readiness_is_asked(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(house):
        for _ in range(10):
            assert (await get(house, "/readyz"))[0] == 503
    assert sum("takes no writes" in record.getMessage() for record in caplog.records) == 1


async def test_while_its_end_waits_a_message_does_not_say_how_it_has_ended(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    agent = ScriptedAgent(ResponseChunk("One "), ResponseChunk("two"))
    async with open_house(settings, agent) as house, house.connect() as client:
        async with whole_and_not_stored(house, client, agent, locked, caplog) as frames:
            await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")
            chat = (await client.frame())["payload"]
            (message,) = chat["messages"].values()
            assert (message["final_reasoning_message"], message["is_completed"]) == (None, False)
            assert chat["updated_at"] == frames[0]["payload"]["updated_at"]
        await client.stream()


async def test_posts_that_wait_behind_an_end_that_cannot_be_stored_are_refused_when_the_server_stops(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "one"}, id="one")
        chat_id = (await client.until("generatingResponseMessage"))[0]["payload"]["id"]
        waiting = [f"w{number}" for number in range(4)]
        for name in waiting:
            await client.send({"prompt": name, "chat_id": chat_id}, id=name)
        await until(lambda: len(house.services.runs) == 5)
        ends: dict[str, str] = {}
        with locked(house), anyio.fail_after(TIMEOUT_S):
            agent.let_go("one")
            await until(lambda: waits(caplog))
            house.server.should_exit = True
            while len(ends) < 5:
                frame = await client.frame()
                if is_end(frame):
                    ends[frame["request_id"]] = frame["error"]["code"]
    assert ends == dict.fromkeys(["one", *waiting], "SERVICE_UNAVAILABLE")
    assert len(agent.tasks) == 1


async def test_whoever_joined_a_run_whose_end_could_not_be_stored_is_told_the_same(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    agent, id, answers = HeldAgent(), str(uuid4()), list[tuple[int, Any, Any]]()
    body = json.dumps({"prompt": "Go", "message_id": id}).encode()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go", "message_id": id})
        await client.until("generatingResponseMessage")

        async def join() -> None:
            answers.append(await request(house, body, house.token()))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join)
            await until(lambda: len(house.services.posts) == 2)
            with locked(house):
                agent.let_go("Go")
                await until(lambda: waits(caplog))
                house.server.should_exit = True
                await until(lambda: answers)
    status, error, _ = answers[0]
    assert (status, error["code"]) == (503, "SERVICE_UNAVAILABLE")
