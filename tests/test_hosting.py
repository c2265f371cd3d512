"""uvicorn as we have it: a peer that is gone without a word, or does not answer, is noticed and freed."""

from dataclasses import replace

import pytest

from backends.agent import ResponseChunk
from settings import Settings
from tests.agents import ScriptedAgent
from tests.conftest import House, open_house
from tests.test_connection import connections, server_tasks, until


def closes(house: House, code: int) -> float | None:
    return house.backends.metrics.registry.get_sample_value("threadcast_closes_total", {"code": str(code)})


async def test_a_peer_that_does_not_answer_a_ping_is_closed_and_freed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.hosting.CLOSE_GRACE_S", 0.1)
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(15)))
    quick = replace(settings, ping_seconds=1, pong_seconds=1, outbox_bytes=2**30)
    async with open_house(quick, agent) as house, house.connect() as dead, house.connect() as alive:
        dead.socket.transport.pause_reading()
        while not house.services.connections.outbox_bytes:  # fill all that the kernel holds for it
            await alive.post(prompt="Go")
        await until(lambda: connections(house) == 1)
        await until(lambda: server_tasks(house) == len(house.server.server_state.connections) == 1)
        assert closes(house, 1011) == 1
        assert (await alive.post(prompt="Hi"))[-1]["event"] == "complete"
        dead.socket.transport.abort()
