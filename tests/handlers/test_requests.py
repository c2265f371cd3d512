"""How many requests a user may have open, over sockets and HTTP together, and which of them end with their connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import is_end
from tests.support.database import rows
from tests.support.house import HeldFetch, House, open_house
from tests.support.over_http import request
from tests.support.waiting import until
from tests.support.world import BOB, REVENUE, uuid

MISSED = str(uuid(99))  # a chat that there is not


def refused(house: House) -> float | None:
    return house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": "requests"})


@asynccontextmanager
async def half_a_post(house: House) -> AsyncIterator[asyncio.StreamWriter]:
    """An HTTP request whose body does not end."""
    host, port = house.url.removeprefix("ws://").removesuffix("/api/v1/ws").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\nauthorization: Bearer {house.token()}\r\n\r\n"
    writer.write(head.encode() + b'{"prompt": ')
    try:
        yield writer
    finally:
        writer.transport.abort()


def few(settings: Settings) -> Settings:
    """Three open requests of a user at most."""
    return replace(settings, max_requests_per_user=1, max_runs_per_user=2)


async def test_a_request_too_many_is_refused_and_is_possible_again_once_one_is_answered(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(few(settings)) as house, house.connect() as client, house.connect() as tab, house.connect(BOB) as bob:
        held = HeldFetch(house, monkeypatch)
        await tab.send({"id": MISSED}, "/chats/get", id="tab")
        await until(lambda: len(house.services.requests) == 1)
        for number in range(4):
            await client.send({}, "/chats/list", id=str(number))
        early = [await client.frame() for _ in range(2)]
        assert [frame["request_id"] for frame in early] == ["2", "3"]
        assert {frame["error"]["code"] for frame in early} == {"TOO_MANY_REQUESTS"}
        assert {frame["error"]["retry_after"] for frame in early} == {2}
        await bob.send({}, "/chats/list")
        await until(lambda: len(house.services.requests) == 4)
        held.gate.set()
        assert (await bob.frame())["payload"] == []
        assert {(await client.frame())["request_id"] for _ in range(2)} == {"0", "1"}
        assert (await tab.frame())["error"]["code"] == "NOT_FOUND"
        assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"
        assert refused(house) == 2


async def test_requests_over_http_count_with_those_of_sockets(settings: Settings) -> None:
    async with open_house(few(settings)) as house, house.connect() as client:
        async with half_a_post(house), half_a_post(house), half_a_post(house):
            await until(lambda: len(house.services.requests) == 3)
            status, error, _ = await request(house, b'{"prompt": "Hi"}', house.token())
            assert (status, error["code"], error["retry_after"]) == (429, "TOO_MANY_REQUESTS", 2)
            assert (await client.refusal({}, route="/chats/list"))["code"] == "TOO_MANY_REQUESTS"
            assert refused(house) == 2
        await until(lambda: not house.services.requests)
        assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"


async def test_gets_and_lists_end_with_the_connection_that_asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_house(settings) as house, house.connect() as client, house.connect() as other:
        HeldFetch(house, monkeypatch)
        for _ in range(10):
            await client.send({"id": MISSED}, "/chats/get")
            await client.send({}, "/chats/list")
        await other.send({}, "/chats/list")
        await until(lambda: len(house.services.requests) == 21)
        client.socket.transport.abort()
        await until(lambda: len(house.services.requests) == 1)
        await other.socket.close()
        await until(lambda: not house.services.requests)


async def test_a_run_goes_on_without_its_connection_and_a_retry_that_waits_for_it_does_not(settings: Settings) -> None:
    agent, post = HeldAgent(), {"prompt": "Go", "message_id": str(uuid4())}
    async with open_house(settings, agent) as house:
        async with house.connect() as client:
            await client.send(post)
            await client.until("initializeChat")
            async with house.connect() as retrying:
                await retrying.send(post)
                await retrying.until("initializeChat")
                assert len(house.services.requests) == 2
            await until(lambda: len(house.services.requests) == 1)
        await until(lambda: not len(house.services.connections))
        assert len(house.services.requests) == 1
        agent.let_go("Go")
        await until(lambda: not house.services.requests)
        assert [row["is_completed"] for row in rows(house.database, "SELECT is_completed FROM messages")] == [True]


async def test_a_caller_over_http_that_goes_away_has_no_request_open_and_its_run_goes_on(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        asking = asyncio.create_task(request(house, b'{"prompt": "Go"}', house.token()))
        await client.until("generatingResponseMessage")
        assert len(house.services.requests) == 1
        asking.cancel()  # which aborts its connection
        await until(lambda: not house.services.requests)
        agent.let_go("Go")
        assert is_end((await client.stream())[-1])


def numbers(house: House) -> Any:
    requests = house.services.requests
    return len(requests), requests._open, requests._of_connections


async def test_nothing_is_remembered_of_a_user_or_a_connection_that_has_gone(settings: Settings) -> None:
    async with open_house(settings) as house:
        async with house.connect() as client:
            await client.send({}, "/chats/list")
            await client.frame()
        await until(lambda: not len(house.services.connections))
        assert numbers(house) == (0, {}, {})
