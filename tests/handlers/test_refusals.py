"""How an upgrade is refused: in HTTP, or by a close when the client asks for that. PROTOCOL.md sections 1 and 7."""

import asyncio
import logging
from dataclasses import replace

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError

from settings import Settings
from tests.support.agents import HeldAgent
from tests.support.client import TIMEOUT_S, Client
from tests.support.house import House, open_house
from tests.support.server import BAD_TOKENS, refusal
from tests.support.waiting import until
from tests.support.world import BOB


async def knock(house: House, query: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for an upgrade by hand, and do nothing else."""
    host, port = house.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13"
    key = "sec-websocket-key: MDEyMzQ1Njc4OWFiY2RlZg=="
    writer.write(f"GET /api/v1/ws?{query} HTTP/1.1\r\n{head}\r\n{key}\r\n\r\n".encode())
    return reader, writer


async def closed(house: House, query: str) -> tuple[int, str]:
    """The code and the reason by which an upgrade with this query is closed, without a frame before that."""
    async with connect(f"{house.url}{query}") as socket:
        with anyio.fail_after(TIMEOUT_S), pytest.raises(ConnectionClosedError) as told:
            await socket.recv()
    assert told.value.rcvd
    return told.value.rcvd.code, told.value.rcvd.reason


def closes(house: House, code: int) -> float | None:
    return house.backends.metrics.registry.get_sample_value("threadcast_closes_total", {"code": str(code)})


async def test_who_asks_for_a_close_is_told_by_one_that_the_token_is_bad(house: House) -> None:
    for name, token in BAD_TOKENS.items():
        reason = "invalid token" if token else "no token"
        assert await closed(house, f"?authentication={token}&refuse=close") == (4401, reason), name
    assert await closed(house, "?refuse=close") == (4401, "no token")
    assert closes(house, 4401) == len(BAD_TOKENS) + 1


async def test_nobody_is_refused_by_a_close_who_did_not_ask_for_one(house: House) -> None:
    for query in ("", "?refuse", "?refuse=", "?refuse=Close", "?refuse=http"):
        assert (await asyncio.to_thread(refusal, house.url + query))[0] == 401
    assert closes(house, 4401) == 0


async def test_who_asks_for_a_close_is_told_by_one_that_the_server_is_full(settings: Settings) -> None:
    async with open_house(replace(settings, max_connections=1)) as house, house.connect(BOB):
        said = "the server has all the connections that it may have, retry in 10 seconds"
        assert await closed(house, f"?authentication={house.token()}&refuse=close") == (4503, said)
        assert closes(house, 4503) == 1


async def test_who_asks_for_a_close_is_told_by_one_that_the_server_is_about_to_stop(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(replace(settings, drain_seconds=20), agent) as house, house.connect(BOB) as bob:
        await bob.send({"prompt": "Go"})
        await bob.until("generatingResponseMessage")
        house.server.should_exit = True
        await bob.until("goingAway")
        said = "the server is restarting, retry on another connection"
        assert await closed(house, f"?authentication={house.token()}&refuse=close") == (4503, said)
        assert await closed(house, "?refuse=close") == (4401, "no token")  # a new token is needed there, too
        agent.let_go("Go")
        await bob.until("complete")


async def test_who_is_let_in_is_so_whatever_they_asked_for(house: House) -> None:
    async with connect(f"{house.url}/?refuse=close&authentication={house.token()}") as socket:
        assert (await Client(socket).post(prompt="Hi"))[-1]["event"] == "complete"


async def test_who_was_refused_by_a_close_and_does_not_answer_it_is_cut_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.socket_protocol.CLOSE_GRACE_S", 0.1)
    reader, writer = await knock(house, "refuse=close")
    try:
        with anyio.fail_after(TIMEOUT_S):
            answer = await reader.read()  # to the end of the connection, which this side never closes
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert answer.endswith(b"no token")
        await until(lambda: not house.server.server_state.connections)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("query", ["", "&refuse=close"])
async def test_it_is_no_error_when_the_peer_has_gone_before_it_is_refused(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, query: str
) -> None:
    reached, gone = anyio.Event(), anyio.Event()

    async def refuse_late(token: str) -> None:
        reached.set()
        await gone.wait()

    monkeypatch.setattr(house.backends.auth, "authenticate", refuse_late)
    _, writer = await knock(house, f"authentication=x{query}")
    with anyio.fail_after(TIMEOUT_S):
        await reached.wait()
    writer.transport.abort()
    await until(lambda: not house.server.server_state.connections)
    gone.set()
    await until(lambda: not house.server.server_state.tasks)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("path", ["/api/v1/wss", "/api/v1/ws//", "/api/v1/chats", "/healthz", "/", "/api/v1/ws/x", "/%F0%9F"])
async def test_an_upgrade_of_another_path_is_answered_with_404(house: House, path: str) -> None:
    url = f"{house.url.removesuffix('/api/v1/ws')}{path}"
    for query in ("", f"?authentication={house.token()}", "?refuse=close"):
        assert await asyncio.to_thread(refusal, url + query) == (
            404,
            {"code": "NOT_FOUND", "message": "not found"},
            "application/json",
        )
