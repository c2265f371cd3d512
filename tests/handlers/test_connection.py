"""A socket that goes away at any point, or is not read: all of it is freed, its run goes on, others notice nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from backends.agent_events import ResponseChunk
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, untitled
from tests.support.database import rows
from tests.support.house import HeldFetch, House, open_house
from tests.support.waiting import connections, server_tasks, until, vanish
from tests.support.world import REVENUE


async def leave_politely(client: Client) -> None:
    await client.socket.close()


WAYS = pytest.mark.parametrize("leave", [leave_politely, vanish])
Leave = Callable[[Client], Awaitable[None]]


@WAYS
async def test_a_connection_that_goes_before_its_first_frame_leaves_nothing(house: House, leave: Leave) -> None:
    async with house.connect() as client:
        await until(lambda: connections(house) == 1)
        await leave(client)
        await until(lambda: connections(house) == 0 and server_tasks(house) == 0)


@WAYS
async def test_a_run_goes_on_when_its_sender_goes_and_the_other_tab_sees_its_end(settings: Settings, leave: Leave) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two "), ResponseChunk("three"))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house, house.connect() as sender, house.connect() as other:
        await sender.send({"prompt": "Count"})
        frames = [await other.frame()]
        await leave(sender)
        await until(lambda: connections(house) == 1 and server_tasks(house) == 1)
        agent.gate.set()
        frames += await other.stream()
        events = [frame["event"] for frame in untitled(frames)]
        assert events == ["initializeChat", *["generatingResponseMessage"] * 4, "complete"]


@WAYS
async def test_a_run_nobody_listens_to_is_stored_all_the_same(settings: Settings, leave: Leave) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two"))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house:
        async with house.connect() as sender:
            await sender.send({"prompt": "Count"})
            await sender.frame()
            await leave(sender)
            await until(lambda: connections(house) == 0)
        agent.gate.set()
        await until(lambda: agent.closed == 1)
        await until(lambda: rows(house.database, "SELECT is_completed FROM messages") == [{"is_completed": 1}])
        (message,) = rows(house.database, "SELECT response_messages FROM messages")
        assert json.loads(message["response_messages"])[0]["message"] == "one two"


@WAYS
async def test_a_sender_that_goes_right_after_posting_gets_its_chat_stored(house: House, leave: Leave) -> None:
    async with house.connect() as client, house.connect() as other:
        await client.send({"metric_id": str(REVENUE)})
        await leave(client)
        assert (await other.stream())[-1]["event"] == "complete"
        await until(lambda: connections(house) == 1)


async def test_a_close_in_the_middle_of_a_flood_frees_the_connection(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk("word ") for _ in range(3000)))
    async with open_house(settings, agent) as house, house.connect() as other:
        for _ in range(5):
            async with house.connect() as client:
                await client.send({"prompt": "Go"})
                await client.frame()
                await vanish(client)
            assert (await other.stream())[-1]["event"] == "complete"
        await until(lambda: connections(house) == 1 and server_tasks(house) == 1)


async def test_a_reader_too_slow_is_closed_and_the_others_lose_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.socket_protocol.CLOSE_GRACE_S", TIMEOUT_S)  # for the reader to come to the close frame
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(400)))
    roomy = replace(settings, chat_bytes=2**25)
    async with open_house(roomy, agent) as house, house.connect() as good:
        async with house.connect() as slow:
            slow.socket.transport.pause_reading()
            await good.send({"prompt": "Go"})
            frames = await good.stream()
            assert len(untitled(frames)) == 403
            await until(lambda: connections(house) == 1)
            slow.socket.transport.resume_reading()
            assert await slow.close_code() == 4008
        await until(lambda: server_tasks(house) == 1)


async def test_a_token_that_ends_closes_the_socket_and_not_the_run(settings: Settings) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two"))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house, house.connect() as other, house.connect(ttl=1) as client:
        await client.send({"prompt": "Go"})
        assert await client.close_code() == 4001
        agent.gate.set()
        assert (await other.stream())[-1]["event"] == "complete"


async def test_a_client_that_goes_before_it_is_let_in_is_no_error_of_ours(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fetch = HeldFetch(house, monkeypatch)
    host, port = house.url.split("/")[2].split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13"
    head += f"\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {house.token()}"
    writer.write(f"GET /api/v1/ws HTTP/1.1\r\n{head}\r\n\r\n".encode())
    with anyio.fail_after(TIMEOUT_S):
        await fetch.reached.wait()
    writer.transport.abort()
    await until(lambda: not house.server.server_state.connections)
    fetch.gate.set()
    await until(lambda: server_tasks(house) == 0 and connections(house) == 0)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
    async with house.connect() as other:
        assert (await other.post(prompt="Hi"))[-1]["event"] == "complete"
