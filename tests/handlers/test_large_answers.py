"""Answers that are large: two at once close nobody, and over HTTP they count among what waits for their user."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from uuid import uuid4

import anyio
import pytest

from backends.agent_events import ResponseChunk
from backends.frame import Frame
from backends.http_protocol import UNREAD_LOOKS, HttpProtocol
from handlers.http.answer import PIECE_BYTES
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import TIMEOUT_S
from tests.support.house import HeldFetch, House, open_house
from tests.support.over_http import request
from tests.support.waiting import connections, refused, until
from tests.support.world import ALICE

MIB = 2**20
# More than the kernel takes of a peer that has never read: 4 MiB on our side, and little on the peer's.
SIZE = 10 * MIB
LARGE = ScriptedAgent(*(ResponseChunk("x" * MIB) for _ in range(10)))


async def test_two_chats_at_once_of_more_than_half_of_what_may_wait_do_not_close_the_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.outboxes.WAIT_S", TIMEOUT_S)
    small = replace(settings, outbox_bytes=50_000, outbox_bytes_per_user=16 * MIB)
    async with open_house(small, LARGE) as house:
        async with house.connect() as other:
            chat_id = (await other.post(prompt="Go"))[-1]["payload"]["id"]
        await ask_twice(house, chat_id, monkeypatch)


async def ask_twice(house: House, chat_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house.connect() as client:
        await until(lambda: len(house.services.connections) == 1)
        held = HeldFetch(house, monkeypatch)
        client.socket.transport.pause_reading()
        for number in range(2):
            await client.send({"id": chat_id}, "/chats/get", id=str(number))
        await until(lambda: len(house.services.requests) == 2)
        held.gate.set()  # both have found room, and are read at the same time
        await until(lambda: len(house.services.requests) == 1)
        share = next(iter(house.services.connections)).share
        await until(lambda: share.eased)  # so the other one waits for the first to be read
        client.socket.transport.resume_reading()
        assert {(await client.frame())["payload"]["id"] for _ in range(2)} == {chat_id}
        assert connections(house) == 1


@asynccontextmanager
async def asked(house: House, post: object) -> AsyncIterator[asyncio.StreamReader]:
    """A post over HTTP, whose answer is read as far as the test reads it, and a little."""
    host, port = house.url.removeprefix("ws://").removesuffix("/api/v1/ws").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    # Else the kernel takes more and more for a peer that reads, up to the whole answer.
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    body = json.dumps(post).encode()
    head = f"POST /api/v1/chats HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nauthorization: Bearer {house.token()}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def rest(reader: asyncio.StreamReader) -> int:
    """Read to the end, and return how many bytes came."""
    size = 0
    with anyio.fail_after(TIMEOUT_S), suppress(ConnectionResetError):
        while data := await reader.read(MIB):
            size += len(data)
    return size


async def test_what_nobody_reads_over_http_counts_for_its_user_and_the_next_post_is_refused(
    settings: Settings,
) -> None:
    async with open_house(replace(settings, outbox_bytes_per_user=16 * MIB), LARGE) as house:
        post = {"prompt": "Go", "message_id": str(uuid4())}
        outboxes = house.services.connections.outboxes
        async with asked(house, post):
            await until(lambda: outboxes.bytes > SIZE)
            for _ in range(3):
                status, error, _ = await request(house, json.dumps(post).encode(), house.token())
                assert (status, error["code"], error["retry_after"]) == (429, "TOO_MANY_REQUESTS", 5)
            assert len(house.services.requests) == 1
            assert outboxes.bytes < SIZE + MIB
            transports = [each.transport for each in house.server.server_state.connections if isinstance(each, HttpProtocol)]
            assert 0 < sum(transport.get_write_buffer_size() for transport in transports) < 4 * PIECE_BYTES
        await until(lambda: not outboxes.bytes and not house.services.requests)
        async with asked(house, post) as reader:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split()[0])
            chat = json.loads(await reader.readexactly(size))
            assert list(chat["messages"]) == [post["message_id"]]
            await until(lambda: not outboxes.bytes and not house.services.requests)


async def test_a_caller_who_reads_nothing_is_cut_off(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.http_protocol.UNREAD_LOOK_S", 0.02)
    async with open_house(settings, LARGE) as house, asked(house, {"prompt": "Go"}) as reader:
        await until(lambda: house.services.connections.outboxes.bytes)
        await until(lambda: not house.services.connections.outboxes.bytes and not house.services.requests)
        await until(lambda: not house.server.server_state.connections)
        assert await rest(reader) < SIZE


async def test_a_caller_who_reads_a_little_between_looks_gets_all(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = asyncio.Queue[None]()
    look = HttpProtocol._look

    def counted(protocol: HttpProtocol) -> None:
        look(protocol)
        looks.put_nowait(None)

    monkeypatch.setattr("backends.http_protocol.UNREAD_LOOK_S", 0.02)
    monkeypatch.setattr(HttpProtocol, "_look", counted)
    async with open_house(settings, LARGE) as house, asked(house, {"prompt": "Go"}) as reader:
        size = 0
        with anyio.fail_after(TIMEOUT_S):
            for _ in range(3 * UNREAD_LOOKS):
                await looks.get()
                size += len(await reader.readexactly(MIB // 4))
        assert size + await rest_of_answer(reader, size) > SIZE


async def rest_of_answer(reader: asyncio.StreamReader, had: int) -> int:
    """Read until the answer of a connection that stays open is whole, as far as its size tells."""
    size = 0
    with anyio.fail_after(TIMEOUT_S):
        while had + size <= SIZE:
            data = await reader.read(MIB)
            assert data, "cut off"
            size += len(data)
    return size


async def test_an_answer_that_finds_no_room_says_that_the_chat_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.outboxes.WAIT_S", 0.05)
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as client:
        asking = asyncio.create_task(request(house, b'{"prompt": "Go"}', house.token()))
        await client.until("generatingResponseMessage")
        share = house.services.connections.outboxes.share_of(ALICE)
        waiting = Frame.of_data(b"x" * (settings.outbox_bytes_per_user // 4 + 1), 0)
        share.hold(waiting)
        agent.let_go("Go")
        status, error, headers = await asking
        assert (status, error["code"], "retry-after" in headers) == (503, "SERVICE_UNAVAILABLE", False)
        assert error["message"].endswith("get the chat for what there is")
        assert refused(house) == 1
        share.release(waiting)
        assert (await client.stream())[-1]["event"] == "complete"
        agent.let_go("Again")
        assert (await request(house, b'{"prompt": "Again"}', house.token()))[0] == 200


async def test_a_retry_reads_no_chat_while_there_is_no_room_for_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.outboxes.WAIT_S", 0.05)
    async with open_house(settings) as house, house.connect() as client:
        post = {"prompt": "Go", "message_id": str(uuid4())}
        await client.post(**post)
        share = house.services.connections.outboxes.share_of(ALICE)
        waiting = Frame.of_data(b"x" * (settings.outbox_bytes_per_user // 4 + 1), 0)
        share.hold(waiting)
        reads: list[object] = []
        monkeypatch.setattr("handlers.post_chat.read_chat", reads.append)
        assert (await client.refusal(post))["code"] == "TOO_MANY_REQUESTS"
        assert not reads
        share.release(waiting)
