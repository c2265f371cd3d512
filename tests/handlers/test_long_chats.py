"""A long chat costs what is new of it: streams with `messages=new`, parts with `last` and `before`, one read for a run."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from websockets.asyncio.client import connect

from backends.agent_events import ResponseChunk
from backends.chats import CHAT_TURNS
from backends.storage import Row
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import Client, Frame, fold, is_end, unsettled
from tests.support.fitting import FittingClient
from tests.support.house import BOTH, House, open_house
from tests.support.life import first_delta
from tests.support.life import until as frame_of
from tests.support.linked import open_nodes
from tests.support.world import BOB, MISSING, REVENUE

ENGINES = BOTH
KIB = "x" * 1024


@asynccontextmanager
async def connected(house: House, query: str) -> AsyncIterator[Client]:
    """A connection of Alice's with this in its URL."""
    async with connect(f"{house.url}?authentication={house.token()}&{query}", max_size=None) as socket:
        yield FittingClient(socket)


async def turns(client: Client, count: int) -> tuple[str, list[str]]:
    """A chat with so many turns, and its messages' ids."""
    frames = await client.post(prompt="turn 0")
    for number in range(1, count):
        frames = await client.post(prompt=f"turn {number}", chat_id=frames[-1]["payload"]["id"])
    return frames[-1]["payload"]["id"], frames[-1]["payload"]["message_ids"]


def without_messages(frame: Frame) -> dict[str, Any]:
    return {**frame, "payload": {**frame["payload"], "messages": None}}


async def test_with_messages_new_a_stream_has_only_its_own_message_and_all_else_is_the_same(house: House) -> None:
    async with house.connect() as whole, connected(house, "messages=new") as brief:
        id, _ = await turns(whole, 3)
        for _ in range(3):
            await brief.stream()
        await whole.send({"prompt": "turn 3", "chat_id": id}, id="asks")
        all_of_it, new = await whole.stream(), await brief.stream()
        assert len(all_of_it) == len(new)
        for expected, frame in zip(all_of_it, new, strict=True):
            if frame["event"] in ("initializeChat", "complete"):
                newest = expected["payload"]["message_ids"][-1]
                assert without_messages(frame) == without_messages(expected)
                assert list(frame) == list(expected)
                assert list(frame["payload"]) == list(expected["payload"])
                assert frame["payload"]["messages"] == {newest: expected["payload"]["messages"][newest]}
                assert len(expected["payload"]["messages"]) == 4
            else:
                assert frame == expected
        assert unsettled(fold(new)) == unsettled(new[-1]["payload"])


@pytest.mark.parametrize("query", ["messages=all", "messages=", "messages=NEW"])
async def test_any_other_value_changes_nothing(house: House, query: str) -> None:
    async with house.connect() as whole, connected(house, query) as other:
        await turns(whole, 2)
        for _ in range(2):
            frames = await other.stream()
        assert len(frames[-1]["payload"]["messages"]) == 2


async def test_a_turn_in_a_chat_of_a_megabyte_costs_its_own_bytes(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk(KIB) for _ in range(128)))
    async with open_house(settings, agent) as house, house.connect() as whole, connected(house, "messages=new") as brief:
        id, _ = await turns(whole, 7)
        for _ in range(7):
            await brief.stream()
        agent.events = (ResponseChunk("short"),)
        await whole.send({"prompt": "turn 7", "chat_id": id})
        frames = await brief.stream()
        assert len(json.dumps(frames[-1])) < 3000
        assert len(json.dumps((await whole.stream())[-1])) > 7 * 128 * 1024


async def test_a_numbered_connection_resumes_with_what_is_new(house: House) -> None:
    async with house.connect() as whole:
        async with connected(house, "since=&messages=new") as brief:
            place = (await brief.frame())["payload"]
            await turns(whole, 2)
            for _ in range(2):
                live = await brief.stream()
            assert len(live[-1]["payload"]["messages"]) == 1
        async with connected(house, f"since={place['epoch']}:{place['offset']}&messages=new") as brief:
            assert (await brief.frame())["payload"]["recovered"]
            for _ in range(2):
                again = await brief.stream()
            assert again[-1] == live[-1]
            assert again[-1]["payload"]["message_ids"] == live[-1]["payload"]["message_ids"]


async def test_a_retry_of_an_older_message_is_answered_with_that_one(house: House) -> None:
    first = str(uuid4())
    async with connected(house, "messages=new") as brief:
        frames = await brief.post(prompt="one", message_id=first)
        id = frames[-1]["payload"]["id"]
        await brief.post(prompt="two", chat_id=id)
        (again,) = await brief.post(prompt="one", message_id=first)
        assert list(again["payload"]["messages"]) == [first]
        assert len(again["payload"]["message_ids"]) == 2


async def test_who_joins_a_stream_gets_the_message_that_is_being_answered(settings: Settings) -> None:
    agent = HeldAgent()
    agent.let_go("one")
    async with open_house(settings, agent) as house, house.connect() as whole:
        id = (await whole.post(prompt="one"))[-1]["payload"]["id"]
        message = str(uuid4())
        post = {"prompt": "two", "chat_id": id, "message_id": message, "once": True}
        await whole.send(post)
        await first_delta(whole)
        async with connected(house, "messages=new") as brief:
            await brief.send(post)
            joined = await brief.frame()
            assert (joined["event"], list(joined["payload"]["messages"])) == ("initializeChat", [message])
            agent.let_go("two")
            frames = await brief.stream()
            assert list(frames[-1]["payload"]["messages"]) == [message]


async def test_an_opened_asset_and_a_message_that_is_asked_again_are_told_alone(house: House) -> None:
    async with connected(house, "messages=new") as brief:
        frames = await brief.post(metric_id=str(REVENUE))
        assert [len(frame["payload"]["messages"]) for frame in (frames[0], frames[-1])] == [1, 1]
        id, (opened,) = frames[-1]["payload"]["id"], frames[-1]["payload"]["message_ids"]
        asked = (await brief.post(prompt="one", chat_id=id))[-1]["payload"]["message_ids"][-1]
        await brief.post(prompt="two", chat_id=id)
        frames = await brief.post(prompt="one again", chat_id=id, message_id=asked)
        for frame in (frames[0], frames[-1]):
            assert list(frame["payload"]["messages"]) == [asked]
            assert frame["payload"]["message_ids"] == [opened, asked]


@pytest.mark.parametrize(
    ("last", "before", "which"),
    [(2, None, [3, 4]), (9, None, [0, 1, 2, 3, 4]), (2, 3, [1, 2]), (9, 1, [0]), (None, 2, [0, 1]), (3, 0, [])],
)
async def test_a_part_of_a_chat_is_the_last_of_those_before_one(
    house: House, last: int | None, before: int | None, which: list[int]
) -> None:
    async with house.connect() as client:
        id, ids = await turns(client, 5)
        asked = {"id": id, "last": last, "before": None if before is None else ids[before]}
        await client.send({"id": id}, "/chats/get")
        whole = (await client.frame())["payload"]
        await client.send(asked, "/chats/get")
        part = (await client.frame())["payload"]
        assert list(part["messages"]) == [ids[number] for number in which]
        assert part == {**whole, "messages": {ids[number]: whole["messages"][ids[number]] for number in which}}


@pytest.mark.parametrize("payload", [{"last": 0}, {"last": 101}, {"last": "2"}, {"before": "x"}, {"before": str(MISSING)}])
async def test_a_part_that_cannot_be_is_refused_with_its_field(house: House, payload: dict[str, Any]) -> None:
    async with house.connect() as client, house.connect(BOB) as other:
        id, _ = await turns(client, 1)
        await client.send({"id": id, **payload}, "/chats/get")
        error = (await client.frame())["error"]
        assert error["code"] == "BAD_REQUEST"
        assert f"`$.payload.{next(iter(payload))}`" in error["message"]
        await other.send({"id": id, "before": str(MISSING)}, "/chats/get")
        assert (await other.frame())["error"]["code"] == "NOT_FOUND"  # whatever there is in it


async def test_a_part_of_a_chat_that_is_being_answered_comes_in_the_streams_order(settings: Settings) -> None:
    agent = HeldAgent()
    agent.let_go("one")
    async with open_nodes(settings, agent) as (a, b), a.house.connect() as on_a, b.house.connect() as on_b:
        id = (await on_a.post(prompt="one"))[-1]["payload"]["id"]
        await on_a.send({"prompt": "two", "chat_id": id})
        await first_delta(on_a)
        for client in (on_a, on_b):
            await client.send({"id": id, "last": 1}, "/chats/get", id="gets")
            got = await frame_of(client, "getChat", request_id="gets")
            (message,) = got["payload"]["messages"].values()
            assert message["request_message"]["request"] == "two"
            assert not message["is_completed"]
            assert len(got["payload"]["message_ids"]) == 2
        agent.let_go("two")
        while not is_end(await on_a.frame()):
            pass


async def test_on_another_node_a_stream_has_only_its_own_message_too(settings: Settings) -> None:
    agent = HeldAgent()
    for prompt in ("turn 0", "turn 1"):
        agent.let_go(prompt)
    async with open_nodes(settings, agent) as (a, b), a.house.connect() as on_a, connected(b.house, "messages=new") as brief:
        _, ids = await turns(on_a, 2)
        for number in range(2):
            frames = await brief.stream()
            assert list(frames[0]["payload"]["messages"]) == list(frames[-1]["payload"]["messages"]) == [ids[number]]


async def test_a_follow_up_reads_its_chat_once(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[UUID] = []
    fetch_all = house.backends.storage.fetch_all

    async def counted(query: Any, **values: Any) -> list[Row]:
        if query is CHAT_TURNS:
            reads.append(values["chat"])
        return await fetch_all(query, **values)

    async with house.connect() as client:
        id, _ = await turns(client, 1)
        monkeypatch.setattr(house.backends.storage, "fetch_all", counted)
        with anyio.fail_after(10):
            await client.post(prompt="again", chat_id=id)
    assert reads == [UUID(id)]
