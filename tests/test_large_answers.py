"""Answers that are large: two at once close nobody."""

from dataclasses import replace

import pytest

from backends.agent import ResponseChunk
from settings import Settings
from tests.agents import ScriptedAgent
from tests.conftest import HeldFetch, open_house
from tests.test_connection import connections, until

MIB = 2**20
LARGE = ScriptedAgent(*(ResponseChunk("x" * MIB) for _ in range(10)))  # more than the kernel takes of a peer that does not read


async def test_two_chats_at_once_of_more_than_half_of_what_may_wait_do_not_close_the_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = replace(settings, outbox_bytes=50_000, outbox_bytes_per_user=16 * MIB)
    async with open_house(small, LARGE) as house, house.connect() as client:
        chat_id = (await client.post(prompt="Go"))[-1]["payload"]["id"]
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
