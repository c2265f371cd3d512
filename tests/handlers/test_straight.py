"""A frame's last step: straight to the socket while that has room, what is sent in one turn together, and in its order."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from backends.agent_events import ResponseChunk
from backends.bursts import BURST_BYTES, BURST_TURNS
from backends.frame import Frame
from backends.metrics import Traffic
from backends.socket_protocol import LINE, Protocol
from handlers.connection import GONE, RESTARTING, Connection
from handlers.frames import heartbeat_frame
from handlers.line import PlainLine
from handlers.outboxes import Outboxes
from schemas.users import AuthenticatedUser, Sender
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, untitled
from tests.support.fitting import FittingClient
from tests.support.house import House, open_house
from tests.support.waiting import connections, server_tasks, until
from tests.support.world import ALICE


class Recorder:
    """A real transport, of which a test sees the calls that write."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))
        self._transport.write(data)

    def writelines(self, parts: Iterable[bytes]) -> None:
        parts = list(parts)
        self.writes.append(b"".join(parts))
        self._transport.writelines(parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def numbered(connection: Connection, number: float) -> Frame:
    """A frame that says this number."""
    return heartbeat_frame(Sender(connection.user, connection.id), number)


async def numbers(client: Client, count: int) -> list[float]:
    """What so many of these frames say."""
    client.hears_heartbeats = True
    return [(await client.frame())["payload"]["seconds"] for _ in range(count)]


@asynccontextmanager
async def recorded(house: House) -> AsyncIterator[tuple[Connection, Client, Recorder]]:
    """An open connection, its client, and its transport."""
    async with house.connect() as client:
        assert isinstance(client, FittingClient)
        await until(lambda: connections(house) == 1)
        (protocol,) = house.server.server_state.connections
        (connection,) = house.services.connections
        await until(lambda: connection._line)
        assert isinstance(protocol, Protocol)
        recorder = protocol.transport = Recorder(protocol.transport)  # type: ignore[assignment]
        yield connection, client, recorder


async def turn() -> None:
    """One turn of the event loop, and its end."""
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


async def test_a_frame_is_sent_when_it_is_put_and_those_behind_it_together(house: House) -> None:
    async with recorded(house) as (connection, client, transport):
        for number in range(5):
            connection.put(numbered(connection, number))
        assert len(transport.writes) == 1
        assert connection.is_idle
        for _ in range(3):
            await turn()
        assert len(transport.writes) == 2
        connection.put(numbered(connection, 5))
        assert len(transport.writes) == 3
        assert await numbers(client, 6) == [0, 1, 2, 3, 4, 5]


async def test_frames_of_turns_in_a_row_wait_for_few_of_them(house: House) -> None:
    async with recorded(house) as (connection, client, transport):
        count = 10 * BURST_TURNS
        for number in range(count):
            connection.put(numbered(connection, number))
            await anyio.lowlevel.checkpoint()
        assert count // BURST_TURNS <= len(transport.writes) <= count // 2
        assert await numbers(client, count) == list(range(count))


async def test_a_burst_does_not_grow_without_bound(house: House) -> None:
    async with recorded(house) as (connection, client, transport):
        count = 0
        while len(transport.writes) < 3:
            connection.put(numbered(connection, count))
            count += 1
        assert BURST_BYTES < len(transport.writes[1]) < 1.1 * BURST_BYTES
        assert await numbers(client, count) == list(range(count))


@pytest.mark.parametrize("how", ["close", "shutdown"])
async def test_what_was_put_before_a_close_comes_before_it(house: House, how: str) -> None:
    async with recorded(house) as (connection, client, _):
        (protocol,) = house.server.server_state.connections
        for number in range(5):
            connection.put(numbered(connection, number))
        if how == "close":
            connection.close(RESTARTING)
            connection.put(numbered(connection, 5))
        else:
            protocol.shutdown()
        assert await numbers(client, 5) == [0, 1, 2, 3, 4]
        assert await client.close_code() == 1012


async def test_a_close_when_all_is_sent_comes_at_once_if_nothing_waits_and_else_behind_it(house: House) -> None:
    async with recorded(house) as (connection, client, _):
        client.socket.transport.pause_reading()
        count = 0
        while connection.is_idle:
            connection.put(numbered(connection, count))
            count += 1
        connection.put(numbered(connection, count))
        connection.close_when_sent(RESTARTING)
        client.socket.transport.resume_reading()
        assert await numbers(client, count + 1) == list(range(count + 1))
        assert await client.close_code() == 1012
    async with recorded(house) as (connection, client, _):
        connection.close_when_sent(RESTARTING)
        assert await client.close_code() == 1012


async def test_nothing_is_sent_behind_the_close_frame_of_the_peer(house: House) -> None:
    async with recorded(house) as (connection, client, transport):
        (protocol,) = house.server.server_state.connections
        connection.put(numbered(connection, 0))
        connection.put(numbered(connection, 1))
        protocol.data_received(b"\x88\x82\0\0\0\0\x03\xe8")  # masked with zeros: close, 1000
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert transport.writes[-1][:1] == b"\x88"
        connection.put(numbered(connection, 2))
        assert await numbers(client, 1) == [0]
        await until(lambda: connections(house) == 0)


async def test_a_connection_that_ends_within_a_turn_is_no_error(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async with recorded(house) as (connection, _, transport):
        connection.put(numbered(connection, 0))
        connection.put(numbered(connection, 1))
        transport.abort()
        connection.put(numbered(connection, 2))
        await until(lambda: connections(house) == 0)
    assert len(transport.writes) == 1
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not ours: it has no extension of the scope."""
    monkeypatch.setattr("server.LINE", f"no {LINE}")


@pytest.mark.usefixtures("plain")
async def test_under_another_server_a_stream_comes_whole_and_in_order(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk(f"{number} ") for number in range(500)))
    async with open_house(settings, agent) as house, house.connect() as client, house.connect() as other:
        await client.send({"prompt": "Count"})
        for each in (client, other):
            frames = untitled(await each.stream())
            chunks = [frame["payload"]["response_message"]["message_chunk"] for frame in frames[1:-2]]
            assert "".join(chunks) == "".join(f"{number} " for number in range(500))
        await until(lambda: server_tasks(house) == 2)


@pytest.mark.usefixtures("plain")
async def test_under_another_server_who_does_not_read_is_closed_and_leaves_nothing(settings: Settings) -> None:
    small = replace(settings, outbox_bytes=1000, outbox_bytes_per_user=100_000, chat_bytes=2**25)
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(400)))
    async with open_house(small, agent) as house:
        async with house.connect() as slow:
            slow.socket.transport.pause_reading()
            await slow.send({"prompt": "Go"})
            await until(lambda: connections(house) == 0)
        with anyio.fail_after(TIMEOUT_S):
            await until(lambda: server_tasks(house) == 0 and not house.services.connections.outboxes.bytes)


@pytest.mark.usefixtures("plain")
async def test_under_another_server_a_refusal_and_a_close_have_their_codes(settings: Settings) -> None:
    async with open_house(settings) as house, house.connect(ALICE, ttl=1) as client:
        assert await client.close_code() == 4001
        await until(lambda: connections(house) == 0 and server_tasks(house) == 0)


class Hanging:
    """A server of another kind: what is sent hangs, or fails in its own way."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.cancelled = 0

    async def send_text(self, text: str) -> None:
        if self.error:
            raise self.error
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled += 1

    async def close(self, code: int, reason: str) -> None:
        self.closed = code


def plain_connection(server: Hanging) -> Connection:
    user = AuthenticatedUser(ALICE, "alice@acme.example", "Alice", None, 0)
    connection = Connection(user, "", 1, Traffic(), Outboxes(1000, 10**6, 10**6).share_of(ALICE))
    connection.open(PlainLine(server.send_text, server.close))
    return connection


@pytest.mark.parametrize("why", [GONE, RESTARTING])
async def test_under_another_server_what_hangs_is_given_up_with_its_connection(why: tuple[int, str]) -> None:
    server = Hanging()
    connection = plain_connection(server)
    connection.put(numbered(connection, 0))
    await anyio.wait_all_tasks_blocked()
    connection.close(why)
    await anyio.wait_all_tasks_blocked()
    assert server.cancelled == 1
    assert getattr(server, "closed", None) == (None if why is GONE else 1012)


async def test_under_another_server_whatever_it_raises_means_that_the_peer_is_gone() -> None:
    connection = plain_connection(Hanging(KeyError("of that server")))
    for number in range(3):
        connection.put(numbered(connection, number))
    await anyio.wait_all_tasks_blocked()
    assert connection._closing == GONE
    assert connection.waiting == connection.share.bytes == 0
