"""Streams of one chat, and answers about it, one after another: what has begun later is told later, in a wide flush window."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import anyio
import pytest

from backends.agent_events import ResponseChunk
from backends.broker import Broker, send_ws_message
from backends.limits import MemoryQuota
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.users import Sender
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import Frame, is_end
from tests.support.database import rows
from tests.support.house import HeldCommit, House, open_house
from tests.support.life import answer_of, first_delta, until
from tests.support.waiting import until as until_true

WIDE_MS = 300  # so the last words wait in the channel while their end is stored


async def both(client: Any) -> list[Frame]:
    """The frames up to the second end."""
    frames: list[Frame] = []
    while sum(map(is_end, frames)) < 2:
        frames.append(await client.frame())
    return frames


def order(frames: list[Frame]) -> list[tuple[str, str]]:
    return [
        (frame["request_id"], frame["event"])
        for frame in frames
        if frame["event"] in ("initializeChat", "complete", "postThread", "getChat")
    ]


async def test_the_next_stream_of_a_chat_begins_after_the_end_of_the_one_before(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(replace(settings, flush_ms=WIDE_MS), agent) as house, house.connect() as client:
        await client.send({"prompt": "one"}, id="1")
        chat_id = (await first_delta(client))["payload"]["chat_id"]
        await client.send({"prompt": "two", "chat_id": chat_id}, id="2")
        for prompt in ("one", "two"):
            agent.let_go(prompt)
        frames = await both(client)
    assert order(frames) == [("1", "complete"), ("2", "initializeChat"), ("2", "complete")]


async def test_the_next_stream_of_a_chat_begins_after_the_error_of_the_one_before(settings: Settings) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two "), error=RuntimeError("on purpose"))
    agent.gate = anyio.Event()
    async with open_house(replace(settings, flush_ms=WIDE_MS), agent) as house, house.connect() as client:
        await client.send({"prompt": "one"}, id="1")
        chat_id = (await first_delta(client))["payload"]["chat_id"]
        await client.send({"prompt": "two", "chat_id": chat_id}, id="2")
        agent.gate.set()
        frames = await both(client)
    assert order(frames) == [("1", "postThread"), ("2", "initializeChat"), ("2", "postThread")]


async def test_what_replaces_a_running_message_begins_after_its_end(settings: Settings) -> None:
    agent, id = HeldAgent(), str(uuid4())
    async with open_house(replace(settings, flush_ms=WIDE_MS), agent) as house, house.connect() as client:
        await client.send({"prompt": "one", "message_id": id}, id="1")
        chat_id = (await first_delta(client))["payload"]["chat_id"]
        agent.let_go("two")
        await client.send({"prompt": "two", "message_id": id, "chat_id": chat_id}, id="2")
        frames = await both(client)
    assert order(frames) == [("1", "complete"), ("2", "initializeChat"), ("2", "complete")]


@pytest.mark.parametrize("route", ["/chats/get", "/chats/post"])
async def test_who_asks_between_an_end_and_its_telling_is_told_after_it(settings: Settings, route: str) -> None:
    agent, id = HeldAgent(), str(uuid4())
    async with open_house(replace(settings, flush_ms=WIDE_MS), agent) as house, house.connect() as client:
        await client.send({"prompt": "one", "message_id": id}, id="1")
        chat_id = (await first_delta(client))["payload"]["chat_id"]
        agent.let_go("one")
        await until_true(lambda: rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 1}])
        await client.send({"id": chat_id} if route == "/chats/get" else {"prompt": "one", "message_id": id}, route, id="2")
        frames = [await until(client, "complete", request_id="1")]
        frames.append(await client.frame())
    assert order(frames) == [("1", "complete"), ("2", "getChat" if route == "/chats/get" else "complete")]
    assert frames[0]["payload"] == frames[1]["payload"]


async def test_who_asks_in_the_middle_is_told_once_and_in_the_streams_order(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.get_chat.UNSURE_S", 0.0)  # a bound for what is unsure, and not for a long window
    agent = HeldAgent()
    async with open_house(replace(settings, flush_ms=WIDE_MS), agent) as house, house.connect() as client:
        await client.send({"prompt": "one"}, id="1")
        chat_id = (await first_delta(client))["payload"]["chat_id"]
        for number in ("2", "3"):
            await client.send({"id": chat_id}, "/chats/get", id=number)
        agent.let_go("one")
        frames = await both_and(client, 2)
    assert sorted(order(frames)) == [("1", "complete"), ("2", "getChat"), ("3", "getChat")]


async def both_and(client: Any, count: int) -> list[Frame]:
    """The frames up to an end and so many chats, and what comes before the answer to one more request."""
    frames: list[Frame] = []
    while len(order(frames)) < 1 + count:
        frames.append(await client.frame())
    await client.send({}, id="last")
    while frames[-1]["request_id"] != "last":
        frames.append(await client.frame())
    return frames[:-1]


class HeldAnswer:
    """The first thing that is read is handed over only when it is let go: it is as old as that by then."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetch_all: Callable[..., Awaitable[list[Any]]] = house.backends.storage.fetch_all
        self.has_read, self.gate = anyio.Event(), anyio.Event()
        monkeypatch.setattr(house.backends.storage, "fetch_all", self.held)

    async def held(self, *query: object, **values: object) -> list[Any]:
        found = await self.fetch_all(*query, **values)
        if not self.has_read.is_set():
            self.has_read.set()
            await self.gate.wait()
        return found


async def test_a_chat_that_was_read_before_a_whole_run_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        agent.let_go("one")
        chat_id = (await client.post(prompt="one"))[-1]["payload"]["id"]
        answer = HeldAnswer(house, monkeypatch)
        await client.send({"id": chat_id}, "/chats/get", id="get")
        await answer.has_read.wait()
        agent.let_go("two")
        async with house.connect() as other:
            await other.post(prompt="two", chat_id=chat_id)
        answer.gate.set()
        got = await until(client, "getChat")
    assert answer_of(got["payload"]) == "two begins, and ends"


async def test_a_chat_that_was_read_while_a_run_had_its_turn_and_before_it_was_stored_is_read_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client, house.connect() as other:
        agent.let_go("one")
        chat_id = (await client.post(prompt="one"))[-1]["payload"]["id"]
        commit = HeldCommit(house, monkeypatch)
        agent.let_go("two")
        await other.send({"prompt": "two", "chat_id": chat_id}, id="2")
        await commit.reached.wait()
        answer = HeldAnswer(house, monkeypatch)
        await client.send({"id": chat_id}, "/chats/get", id="get")
        await answer.has_read.wait()
        commit.gate.set()
        await until(other, "complete", request_id="2")
        await until_true(lambda: not house.services.runs)
        answer.gate.set()
        got = await until(client, "getChat")
    assert answer_of(got["payload"]) == "two begins, and ends"


async def test_a_run_counts_no_more_when_its_end_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []

    def tell(broker: Broker, sender: Sender, route: WsRoutes, event: WsEvent, *rest: Any) -> None:
        if event is WsEvent.COMPLETE:
            quota = house.backends.run_quota
            assert isinstance(quota, MemoryQuota)
            counted.append(len(quota.members))
        send_ws_message(broker, sender, route, event, *rest)

    monkeypatch.setattr("handlers.stream.send_ws_message", tell)
    agent = HeldAgent()
    agent.let_go("one")
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.post(prompt="one")  # who has heard its end may post again at once, whatever the limit
    assert counted == [0]
