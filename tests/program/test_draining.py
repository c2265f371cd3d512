"""A server that is told to stop: everybody is told, what runs may finish, what does not is kept, and all ends in time."""

import asyncio
import json
import signal
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from backends.agent_events import ResponseChunk
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import TIMEOUT_S, Client, fold, unsettled, untitled
from tests.support.database import as_stored, rows, stored_chat
from tests.support.house import HeldFetch, House, open_house
from tests.support.over_http import get, request
from tests.support.program import run, serving
from tests.support.server import opened_socket, world
from tests.support.waiting import begun, until
from tests.support.world import ALICE, BOB, CAROL, REVENUE

MESSAGES = "SELECT is_completed, final_reasoning_message FROM messages ORDER BY created_at"


def refusal_of_upgrade(house: House) -> tuple[int, Any]:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{house.url}?authentication={house.token()}")
    return refused.value.response.status_code, json.loads(refused.value.response.body or b"")


async def test_a_drain_tells_everybody_takes_nothing_new_and_lets_runs_finish(settings: Settings) -> None:
    agent = HeldAgent()
    async with (
        open_house(replace(settings, drain_seconds=20), agent) as house,
        house.connect() as client,
        house.connect(BOB) as bystander,
    ):
        frames = await begun(client, "Go")
        house.server.should_exit = True
        for each, id in ((client, ALICE), (bystander, BOB)):
            *before, going = await each.until("goingAway")
            frames += before
            assert (going["route"], going["payload"], going["sent_by"]["id"]) == ("/stream", {"retry_after": 20}, str(id))
            assert (going["send_method"], list(going)[-1]) == ("SenderOnly", "send_method")
        refusal = await client.refusal({"prompt": "And this?"}, id="new")
        assert refusal["code"] == "SERVICE_UNAVAILABLE"
        assert (await bystander.refusal({"metric_id": str(REVENUE)}))["code"] == "SERVICE_UNAVAILABLE"
        status, body, _ = await request(house, b'{"prompt": "And this?"}', house.token())
        assert (status, body["code"]) == (503, "SERVICE_UNAVAILABLE")
        status, body = await asyncio.to_thread(refusal_of_upgrade, house)
        assert (status, body["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert await get(house, "/readyz") == (503, {"status": "draining"})
        assert (await get(house, "/healthz"))[0] == 200
        await client.send({"id": frames[0]["payload"]["id"]}, "/chats/get")  # reading goes on
        await client.until("getChat")
        agent.let_go("Go")
        frames += await client.stream()
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        assert as_stored(frames[-1]["payload"]) == stored_chat(house.database, frames[0]["payload"]["id"])
        assert await client.close_code() == 1012
        assert await bystander.close_code() == 1012
    (row,) = rows(house.database, MESSAGES)
    assert row["is_completed"] == 1
    assert row["final_reasoning_message"].startswith("Reasoned for ")


async def test_who_comes_during_a_drain_is_not_told_that_there_are_too_many(settings: Settings) -> None:
    agent, full = HeldAgent(), replace(settings, drain_seconds=20, max_connections_per_user=1, max_connections=1)
    async with open_house(full, agent) as house, house.connect() as client:
        await begun(client, "Go")
        house.server.should_exit = True
        await client.until("goingAway")
        status, body = await asyncio.to_thread(refusal_of_upgrade, house)
        assert (status, body["code"]) == (503, "SERVICE_UNAVAILABLE")
        assert house.backends.metrics.registry.get_sample_value("threadcast_refusals_total", {"limit": "connections"}) == 0
        agent.let_go("Go")
        await client.until("complete")


async def test_a_request_that_is_being_answered_is_answered_before_the_close(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handlers.draining.FLUSH_S", 10)
    async with open_house(settings) as house, house.connect() as client:
        fetch = HeldFetch(house, monkeypatch)
        await client.send({}, "/chats/list")
        await fetch.reached.wait()
        house.server.should_exit = True
        await client.until("goingAway")
        await until(lambda: house.services.requests.is_shut)
        fetch.gate.set()
        assert [frame["event"] for frame in await _rest(client)] == ["getChatsList"]
        assert await client.close_code() == 1012


async def test_what_has_not_finished_in_time_ends_like_a_stop_also_what_waits_for_its_turn(settings: Settings) -> None:
    async with open_house(settings, HeldAgent()) as house, house.connect() as client:
        frames = await begun(client, "Go")
        await client.send({"prompt": "And then?", "chat_id": frames[0]["payload"]["id"]})
        await until(lambda: len(house.services.runs) == 2)
        house.server.should_exit = True
        *before, going = await client.until("goingAway")
        assert going["payload"] == {"retry_after": 0}
        frames += before + await client.stream()
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        (message,) = frames[-1]["payload"]["messages"].values()
        assert message["final_reasoning_message"] == "Interrupted"
        assert [part["message"] for part in message["response_messages"].values()] == ["Go begins"]
        second = await client.stream()
        assert [frame["event"] for frame in second] == ["initializeChat", "complete"]
        assert await client.close_code() == 1012
    assert rows(house.database, MESSAGES) == [{"is_completed": 1, "final_reasoning_message": "Interrupted"}] * 2


async def test_a_post_that_is_still_being_looked_at_when_the_time_is_over_is_kept_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(settings, HeldAgent()) as house, house.connect() as client:
        interrupted = anyio.Event()
        interrupt = house.services.runs.interrupt

        def interrupt_and_tell() -> None:
            interrupt()
            interrupted.set()

        async def hit_late(user_id: UUID) -> None:
            await interrupted.wait()

        monkeypatch.setattr(house.backends.rate_limit, "hit", hit_late)
        monkeypatch.setattr(house.services.runs, "interrupt", interrupt_and_tell)
        await client.send({"prompt": "Go"})
        await until(lambda: len(house.services.posts) == 1)
        house.server.should_exit = True
        await client.until("goingAway")
        assert [frame["event"] for frame in untitled(await client.stream())] == ["initializeChat", "complete"]
        assert await client.close_code() == 1012
    assert rows(house.database, MESSAGES) == [{"is_completed": 1, "final_reasoning_message": "Interrupted"}]


async def test_a_run_that_was_stopped_by_its_user_is_not_said_to_have_been_interrupted(settings: Settings) -> None:
    async with open_house(settings, HeldAgent()) as house, house.connect() as client:
        chat = (await begun(client, "Go"))[0]["payload"]
        run = house.services.runs.get(UUID(chat["message_ids"][0]))
        assert run
        run.stop()
        house.services.runs.interrupt()
        (*_, end) = await client.until("complete")
        assert end["payload"]["messages"][chat["message_ids"][0]]["final_reasoning_message"] == "Stopped"


async def test_a_connection_that_does_not_read_holds_nobody_up(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handlers.draining.FLUSH_S", 0.2)
    monkeypatch.setattr("backends.socket_protocol.CLOSE_GRACE_S", 0.2)
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(15)))
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, agent) as house, house.connect() as good, house.connect() as slow:
        slow.socket.transport.pause_reading()
        for _ in range(10):
            assert (await good.post(prompt="Go"))[-1]["event"] == "complete"
        house.server.should_exit = True
        assert await good.close_code() == 1012
        await until(lambda: not house.server.server_state.connections)
        assert len(house.services.connections) == 0
        slow.socket.transport.abort()


async def test_what_still_waits_for_a_connection_is_sent_before_it_is_closed(settings: Settings) -> None:
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(15)))
    roomy = replace(settings, outbox_bytes=2**30)
    async with open_house(roomy, agent) as house, house.connect() as good, house.connect() as late:
        late.socket.transport.pause_reading()
        for _ in range(10):
            assert (await good.post(prompt="Go"))[-1]["event"] == "complete"
        assert house.services.connections.outboxes.bytes > 0
        house.server.should_exit = True
        assert await good.close_code() == 1012
        late.socket.transport.resume_reading()
        events = [frame["event"] for frame in await _rest(late)]
        assert (events.count("complete"), events[-1]) == (10, "goingAway")
        assert await late.close_code() == 1012


async def test_many_runs_of_many_users_are_all_kept_and_told(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(house.connect(user)) for user in (ALICE, BOB, CAROL)]
        for number in range(30):
            await clients[number % 3].send({"prompt": f"Number {number}"})
        await until(lambda: agent.running == 30)
        house.server.should_exit = True
        for client in clients:
            events = [frame["event"] for frame in await _rest(client)]
            assert (events.count("goingAway"), events.count("complete")) == (1, 10)
            assert await client.close_code() == 1012
    assert rows(house.database, MESSAGES) == [{"is_completed": 1, "final_reasoning_message": "Interrupted"}] * 30


async def _rest(client: Client) -> list[dict[str, Any]]:
    frames = []
    with suppress(ConnectionClosedError):
        async for frame in client.socket:
            frames.append(json.loads(frame))
    return frames


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_skips_the_waiting(tmp_path: Path, number: int) -> None:
    token = run(world(tmp_path), "token", "alice@acme.example").stdout.strip()
    with (
        serving(tmp_path, DRAIN_SECONDS="3600", OFFLINE_WORDS="100000") as program,
        opened_socket(program, token) as socket,
    ):
        socket.send('{"route": "/chats/post", "payload": {"prompt": "x"}}')
        assert json.loads(socket.recv(timeout=TIMEOUT_S))["event"] == "initializeChat"
        program.process.send_signal(number)
        events = []
        with suppress(ConnectionClosedError):
            for frame in map(json.loads, socket):
                events.append(frame["event"])
                if frame["event"] == "goingAway":
                    program.process.send_signal(number)
        assert events[-1] == "complete"
        assert frame["payload"]["messages"].popitem()[1]["final_reasoning_message"] == "Interrupted"
        assert socket.protocol.close_rcvd is not None
        assert socket.protocol.close_rcvd.code == 1012
        assert program.stop() == 0  # it has gone by itself, or goes now
    assert rows(tmp_path / "threadcast.db", MESSAGES) == [{"is_completed": 1, "final_reasoning_message": "Interrupted"}]
