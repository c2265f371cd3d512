"""What those who run the server are told: alive, ready, and figures that are true."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from prometheus_client.parser import text_string_to_metric_families

from backends.agent_events import ResponseChunk
from handlers.http import health
from settings import Settings
from tests.support.agents import ScriptedAgent
from tests.support.house import House, open_house
from tests.support.over_http import get
from tests.support.redis import redis_server
from tests.support.telling import Tab
from tests.support.waiting import connections, until, vanish
from tests.support.world import ALICE, REVENUE


async def measured(house: House) -> dict[str, float]:
    """The samples at /metrics: those that are not 0, without the buckets, each by its name and its labels' values."""
    status, text = await get(house, "/metrics")
    assert status == 200
    samples = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    return {
        " ".join([sample.name.removeprefix("threadcast_"), *sample.labels.values()]): sample.value
        for sample in samples
        if sample.value and "bucket" not in sample.name and "created" not in sample.name
    }


async def test_a_server_that_works_is_alive_and_ready(house: House) -> None:
    assert await get(house, "/healthz") == (200, {"status": "alive"})
    assert await get(house, "/readyz") == (200, {"status": "ready", "broker": "connected"})


@pytest.mark.parametrize("hangs", [True, False])
async def test_without_its_database_it_is_alive_but_not_ready(
    house: House, hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(query: Any) -> Any:
        if hangs:
            await anyio.sleep_forever()
        raise OSError("/secret/path is gone")

    monkeypatch.setattr(health, "DATABASE_S", 0.05)
    monkeypatch.setattr(house.backends.storage, "fetch_all", broken)
    assert await get(house, "/readyz") == (503, {"status": "the database does not answer"})
    assert (await get(house, "/healthz"))[0] == 200


async def test_without_its_broker_it_is_ready_and_says_so_and_serves_its_own(settings: Settings) -> None:
    with redis_server() as server:
        async with (
            open_house(replace(settings, broker_url=server.url)) as house,
            house.connect() as client,
            house.connect() as other,
        ):
            assert await get(house, "/readyz") == (200, {"status": "ready", "broker": "connected"})
            assert (await measured(house))["broker_connected"] == 1
            server.kill()
            await until(lambda: not house.backends.broker.connected)
            assert await get(house, "/readyz") == (200, {"status": "ready", "broker": "disconnected"})
            assert "broker_connected" not in await measured(house)
            assert (await client.post(prompt="Hi"))[-1]["event"] == "complete"
            assert (await other.stream())[-1]["event"] == "complete"
            async with house.connect() as late:
                assert (await late.post(prompt="Hi"))[-1]["event"] == "complete"
            server.start()
            await until(lambda: house.backends.broker.connected)
            assert await get(house, "/readyz") == (200, {"status": "ready", "broker": "connected"})


async def test_the_figures_of_one_post_are_exact(house: House) -> None:
    assert await measured(house) == {"broker_connected": 1}
    async with house.connect() as client, house.connect() as other:
        await client.send({"metric_id": str(REVENUE)})
        texts = [await client.socket.recv() for _ in range(4)]
        for text in texts:
            assert await other.socket.recv() == text
        figures = await measured(house)
        assert figures.pop("first_event_seconds_sum") < figures.pop("complete_seconds_sum")
        assert figures.pop("commit_seconds_sum") > 0
        assert figures == {
            "broker_connected": 1,
            "connections": 2,
            "runs_ended_total completed": 1,
            "frames_sent_total": 2 * len(texts),
            "sent_bytes_total": 2 * sum(len(str(text).encode()) for text in texts),
            "commit_seconds_count": 1,
            "commit_batch_size_count": 1,
            "commit_batch_size_sum": 1,
            "first_event_seconds_count": 1,
            "complete_seconds_count": 1,
        }
    await until(lambda: connections(house) == 0)
    assert "connections" not in await measured(house)


async def test_runs_are_counted_while_they_run_and_by_their_end(settings: Settings) -> None:
    agent = ScriptedAgent(ResponseChunk("one "), ResponseChunk("two"))
    agent.gate = anyio.Event()
    async with open_house(settings, agent) as house, house.connect() as client:
        await client.send({"prompt": "Go"})
        chat = (await client.until("generatingResponseMessage"))[0]["payload"]["id"]
        await client.send({"prompt": "And then?", "chat_id": chat})
        await until(lambda: len(house.services.runs) == 2)
        figures = await measured(house)
        assert (figures["runs running"], figures["runs waiting"]) == (1, 1)
        await client.send({"id": chat}, "/chats/stop")
        await client.until("complete")
        agent.gate.set()
        await client.until("complete")
        agent.error = ValueError("boom")
        await client.send({"prompt": "And then?"})
        await client.until("postThread")
        figures = await measured(house)
        assert [figures.get(f"runs_ended_total {end}") for end in ("stopped", "completed", "failed")] == [1, 1, 1]
        assert (figures.get("runs running"), figures.get("runs waiting")) == (None, None)
        assert (figures["first_event_seconds_count"], figures["complete_seconds_count"]) == (3, 2)


async def test_closes_are_counted_by_code_and_codes_that_clients_make_up_as_one(house: House) -> None:
    for code in (1000, 1001, 3999, 4999):
        async with house.connect() as client:
            await client.socket.close(code)
    async with house.connect() as client:
        await vanish(client)
    async with house.connect() as client:
        await client.socket.send("x" * 600_000)
        assert await client.close_code() == 1009
    async with house.connect(ttl=1) as client:
        assert await client.close_code() == 4001
    await until(lambda: connections(house) == 0)
    figures = await measured(house)
    closes = {name.split()[-1]: value for name, value in figures.items() if name.startswith("closes")}
    assert closes == {"1000": 1, "1001": 1, "other": 2, "1006": 1, "1009": 1, "4001": 1}


async def test_resumes_are_counted_by_outcome(house: House) -> None:
    tab = Tab(house)
    await tab.read(1, {"prompt": "Hi"})
    await tab.read(0)
    tab.place = f"{'0' * 16}:0"
    await tab.read(0)
    figures = await measured(house)
    assert [figures[f"resumes_total {outcome}"] for outcome in ("started", "recovered", "lost")] == [1, 1, 1]


async def test_joined_deltas_and_waiting_bytes_are_counted(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk("x" * 1000) for _ in range(500)))
    roomy = replace(settings, flush_ms=10, outbox_bytes=2**30)
    async with open_house(roomy, agent) as house, house.connect() as good, house.connect() as slow:
        slow.socket.transport.pause_reading()
        streams = [await good.post(prompt="Go") for _ in range(8)]
        figures = await measured(house)
        assert figures["outbox_bytes"] == sum(connection.waiting for connection in house.services.connections) > 0
        deltas = sum(frame["event"] == "generatingResponseMessage" for stream in streams for frame in stream)
        assert deltas < 400 < 8 * 500 - deltas <= figures["deltas_joined_total"]  # and what was joined for the slow one
        slow.socket.transport.abort()
        await until(lambda: connections(house) == 1)
        assert "outbox_bytes" not in await measured(house)


async def test_no_id_and_no_text_is_in_the_figures(house: House) -> None:
    async with house.connect() as client:
        await client.post(prompt="my secret prompt")
    text = (await get(house, "/metrics"))[1].decode()
    assert "secret" not in text
    assert str(ALICE) not in text
