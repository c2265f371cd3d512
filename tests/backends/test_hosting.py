"""uvicorn as we have it: peers that are gone, do not read, or do nothing but keep it busy are noticed and freed."""

import asyncio
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from backends.agent_events import ResponseChunk
from backends.auth import PERSON, issue_token
from backends.hosting import _leave
from backends.socket_protocol import TRIFLES_PER_SECOND, USEFUL_FRAGMENT_BYTES
from server import create_app
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, fold, unsettled
from tests.support.house import SECRET, House, open_house
from tests.support.settling import settle
from tests.support.waiting import connections, server_tasks, until
from tests.support.world import ALICE

LONG = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(15)))


def wire(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return WireFrame(opcode, data, fin).serialize(mask=True)


NO_FRAME = b"\xff\xff\xff\xff"  # bits that are reserved
ENDS = pytest.mark.parametrize("last", [wire(Opcode.CLOSE, b"\x03\xe8"), NO_FRAME], ids=["close", "no frame"])


def closes(house: House, code: int) -> float | None:
    return house.backends.metrics.registry.get_sample_value("threadcast_closes_total", {"code": str(code)})


async def fill(house: House, client: Client) -> None:
    """Post until some connection of the user, not the one that posts, takes no more."""
    stuck = False
    while not stuck:
        await client.post(prompt="Go")
        await until(lambda: sorted(each.waiting for each in house.services.connections)[0] == 0)  # the one that posts
        stuck = house.services.connections.outboxes.bytes > 0


async def assert_freed(house: House) -> None:
    """That one connection is left, and no task or transport of another."""
    await until(lambda: connections(house) == 1)
    await until(lambda: server_tasks(house) == len(house.server.server_state.connections) == 1)


async def test_a_peer_that_does_not_answer_a_ping_is_closed_and_freed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.socket_protocol.CLOSE_GRACE_S", 0.1)
    quick = replace(settings, ping_seconds=1, pong_seconds=1, outbox_bytes=2**30)
    async with open_house(quick, LONG) as house, house.connect() as dead, house.connect() as alive:
        dead.socket.transport.pause_reading()
        await fill(house, alive)
        await assert_freed(house)
        assert closes(house, 1011) == 1
        assert (await alive.post(prompt="Hi"))[-1]["event"] == "complete"
        dead.socket.transport.abort()


@ENDS
async def test_a_peer_that_does_not_read_and_ends_the_conversation_is_freed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    monkeypatch.setattr("backends.socket_protocol.CLOSE_GRACE_S", 0.1)
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, LONG) as house, house.connect() as alive, house.connect() as dead:
        dead.socket.transport.pause_reading()
        await fill(house, alive)
        dead.socket.transport.write(last)
        await assert_freed(house)
        dead.socket.transport.abort()
        assert (await alive.post(prompt="Hi"))[-1]["event"] == "complete"


@ENDS
async def test_a_stop_while_such_a_peer_has_not_gone_yet_is_a_stop_like_any_other(settings: Settings, last: bytes) -> None:
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, LONG) as house, house.connect() as alive, house.connect() as dead:
        dead.socket.transport.pause_reading()
        await fill(house, alive)
        dead.socket.transport.write(last)
        await until(lambda: connections(house) == 1)
        house.server.should_exit = True
        assert await alive.close_code() == 1012
        dead.socket.transport.abort()


async def test_an_upgrade_that_is_too_long_is_answered_and_ended(house: House) -> None:
    host, port = house.url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = "host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13"
    writer.write(f"GET /api/v1/ws?{'x' * 20_000} HTTP/1.1\r\n{head}\r\n\r\n".encode())
    try:
        with anyio.fail_after(TIMEOUT_S):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    finally:
        writer.transport.abort()
    await until(lambda: not house.server.server_state.connections)


async def test_pongs_for_a_peer_that_does_not_read_are_not_kept(settings: Settings) -> None:
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, LONG) as house, house.connect() as alive, house.connect() as dead:
        dead.socket.transport.pause_reading()
        await fill(house, alive)

        def waiting() -> int:
            open_connections = house.server.server_state.connections
            return sum(each.transport.get_write_buffer_size() for each in open_connections)

        before = waiting()
        dead.socket.transport.write(wire(Opcode.PING, b"x" * 125) * (TRIFLES_PER_SECOND // 2))
        dead.socket.transport.write(wire(Opcode.TEXT, b'{"route": "/chats/post", "payload": {"prompt": "Heard?"}}'))
        assert (await alive.stream())[-1]["event"] == "complete"
        assert 0 < waiting() <= before
        dead.socket.transport.abort()


async def test_a_ping_that_comes_while_there_is_no_room_is_answered_once_there_is(settings: Settings) -> None:
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, LONG) as house, house.connect() as alive, house.connect(ping_interval=None) as slow:
        slow.socket.transport.pause_reading()
        await fill(house, alive)
        heard = [await slow.socket.ping(payload) for payload in ("first", "last")]
        slow.socket.transport.write(wire(Opcode.TEXT, b'{"route": "/chats/post", "payload": {"prompt": "Heard?"}}'))
        assert (await alive.stream())[-1]["event"] == "complete"
        slow.socket.transport.resume_reading()
        with anyio.fail_after(TIMEOUT_S):
            for each in heard:
                await each


@pytest.mark.parametrize(
    "trifle",
    [wire(Opcode.PING), wire(Opcode.PONG), wire(Opcode.CONT, b"x", fin=False)],
    ids=["ping", "pong", "fragment"],
)
async def test_a_peer_that_only_keeps_us_busy_is_cut_off(house: House, monkeypatch: pytest.MonkeyPatch, trifle: bytes) -> None:
    monkeypatch.setattr("backends.socket_protocol.TRIFLES_PER_SECOND", 10)
    is_fragment = not trifle[0]
    before = wire(Opcode.TEXT, b"x", fin=False) if is_fragment else b""
    after = wire(Opcode.CONT) if is_fragment else wire(Opcode.TEXT, b"x")
    async with house.connect() as good, house.connect() as busy:
        good.socket.transport.write(before + trifle * 9 + after)
        assert (await good.frame())["error"]["code"] == "BAD_REQUEST"
        busy.socket.transport.write(before + trifle * 40)  # also when half of them come in the next second
        with anyio.fail_after(TIMEOUT_S):
            await busy.socket.wait_closed()
        assert busy.socket.close_code == 1006
        assert (await good.post(prompt="Hi"))[-1]["event"] == "complete"


async def test_fragments_of_a_useful_length_are_no_trifles(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.socket_protocol.TRIFLES_PER_SECOND", 10)
    fragment = wire(Opcode.CONT, b"x" * USEFUL_FRAGMENT_BYTES, fin=False)
    async with house.connect() as client:
        for _ in range(20):  # and neither is the last of a message
            client.socket.transport.write(wire(Opcode.TEXT, b"x", fin=False) + fragment * 40 + wire(Opcode.CONT))
        for _ in range(20):
            assert (await client.frame())["error"]["code"] == "BAD_REQUEST"


@pytest.fixture
def handlers() -> Iterator[None]:
    """The signal handlers as they were before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_one_signal_more_does_not_change_the_exit_code(handlers: None) -> None:
    with pytest.raises(SystemExit) as left:
        _leave(signal.SIGTERM, None)
    assert left.value.code == 0
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("numbered", [False, True])
async def test_the_application_serves_under_any_asgi_server(settings: Settings, numbered: bool) -> None:
    await settle(settings)
    started = anyio.Event()

    class Plain(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(create_app(settings, SECRET), ws="websockets-sansio", lifespan="on", log_config=None)
    server = Plain(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}/api/v1/ws?authentication={issue_token(SECRET, ALICE, 60, PERSON)}"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server._serve, [listening])
            with anyio.fail_after(TIMEOUT_S):
                await started.wait()
            async with connect(url + "&since=" * numbered, max_size=None) as connection:
                client = Client(connection)
                if numbered:
                    await client.until("resumed")
                frames = await client.post(prompt="Go")
            server.should_exit = True
    assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
    assert [frame.get("offset") for frame in frames] == ([*range(1, len(frames) + 1)] if numbered else [None] * len(frames))
