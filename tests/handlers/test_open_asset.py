"""A post without a prompt: one commit stores the chat with its answer, and nothing of it is told before."""

from typing import Any

import anyio
import pytest

from tests.support.client import TIMEOUT_S
from tests.support.database import count, rows
from tests.support.house import BOTH, HeldCommit, House
from tests.support.waiting import until
from tests.support.world import REVENUE

ENGINES = BOTH
OPEN = {"metric_id": str(REVENUE)}


async def test_nothing_is_told_before_it_is_stored_and_then_all_of_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.connect() as client, house.connect() as other:
        commit = HeldCommit(house, monkeypatch)
        await client.send(OPEN, id="opens")
        await commit.reached.wait()
        await other.send({"page_token": 0, "page_size": 10}, "/chats/list", id="lists")
        assert (await other.frame())["request_id"] == "lists"  # and no frame of the post before it
        commit.gate.set()
        frames = await client.stream()
        assert await other.stream() == frames
        assert [frame["event"] for frame in frames] == [
            "initializeChat",
            "generatingResponseMessage",
            "generatingResponseMessage",
            "complete",
        ]
        (begun,) = frames[0]["payload"]["messages"].values()
        assert (begun["is_completed"], begun["response_messages"]) == (False, {})
        whole = frames[-1]["payload"]
        await client.send({"id": whole["id"]}, "/chats/get")
        assert (await client.frame())["payload"] == whole
    (stored,) = rows(house.database, "SELECT is_completed, owner, run FROM messages")
    assert stored["is_completed"]
    assert count(house.database, "messages_to_files") == 1


async def test_it_is_one_write(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[Any] = []
    write = house.backends.storage.write

    async def counted(*changes: Any, only_if: Any = None) -> bool:
        writes.append(changes)
        return await write(*changes, only_if=only_if)

    monkeypatch.setattr(house.backends.storage, "write", counted)
    async with house.connect() as client:
        await client.post(**OPEN)
    assert len(writes) == 1


async def test_of_two_with_one_id_at_once_one_is_stored_and_each_is_answered(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = OPEN | {"message_id": "00000000-0000-4000-8000-0000000000aa"}
    async with house.connect() as client, house.connect() as retrying:
        commit = HeldCommit(house, monkeypatch)
        await client.send(payload, id="first")
        await commit.reached.wait()
        await retrying.send(payload, id="again")
        await until(lambda: len(house.services.requests) == 2)
        commit.gate.set()
        first = await client.stream()
        with anyio.fail_after(TIMEOUT_S):
            heard = [await retrying.frame() for _ in range(len(first) + 1)]
        assert heard[:-1] == first
        assert (heard[-1]["request_id"], heard[-1]["event"]) == ("again", "complete")
        assert heard[-1]["payload"] == first[-1]["payload"]
    assert count(house.database, "chats") == 1


async def test_a_follow_up_that_comes_at_once_is_told_after_it(house: House) -> None:
    async with house.connect() as client:
        await client.send(OPEN, id="opens")
        begun = await client.frame()
        await client.send({"chat_id": begun["payload"]["id"], "prompt": "What is it?"}, id="asks")
        frames = [begun]
        while [frame["event"] for frame in frames].count("complete") < 2:
            frames.append(await client.frame())
        ids = [frame["request_id"] for frame in frames]
        assert ids == ["opens"] * 4 + ["asks"] * (len(ids) - 4)


async def test_a_server_that_stops_before_it_is_stored_refuses_it_and_stores_nothing(house: House) -> None:
    async with house.connect() as client:
        house.services.runs.interrupt()
        refused = await client.refusal(OPEN)
        assert refused["code"] == "SERVICE_UNAVAILABLE"
    assert count(house.database, "chats") == 0
