"""`POST /api/v1/chats` with `Accept: text/event-stream`: the frames of that post alone, up to its end."""

import json
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from backends.agent_events import ResponseChunk
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import fold, unsettled
from tests.support.database import as_stored, count, opened, stored_chat
from tests.support.events import CHATS, EVENTS, Events, asked, listening, posting
from tests.support.failures import LEAKS
from tests.support.house import BOTH, House, open_house
from tests.support.over_http import request
from tests.support.redis import RedisServer
from tests.support.waiting import begun, connections, until
from tests.support.world import MISSING, REVENUE

ENGINES = BOTH
FIRST = "generatingResponseMessage"


async def ended(events: Events) -> str:
    """Read what is left, which must be no event, and return the last comment."""
    assert await events.event() is None
    return events.comments[-1]


@pytest.mark.parametrize("payload", [{"prompt": "Hi \n 😀"}, {"metric_id": str(REVENUE)}, {"prompt": "x", "once": True}])
async def test_it_is_the_stream_that_the_sockets_are_told_and_ends_with_it(house: House, payload: dict[str, Any]) -> None:
    async with house.connect() as socket, posting(house, payload) as events:
        assert events.status == 200
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (events.headers["cache-control"], events.headers["x-accel-buffering"]) == ("no-store", "no")
        frames = await events.stream()
        assert await ended(events) == ": 1000 the post is answered"
        assert [{**frame, "offset": None} for frame in frames] == [{**told, "offset": None} for told in await socket.stream()]
    chat = frames[-1]["payload"]
    assert unsettled(fold(frames)) == unsettled(chat)
    assert as_stored(chat) == stored_chat(house.database, chat["id"])
    assert not connections(house)


@pytest.mark.parametrize(
    ("accept", "is_streamed"),
    [
        ("application/json, text/event-stream;q=0.9", True),
        ("Text/Event-Stream", True),
        ("*/*", False),
        ("text/*", False),
        ("application/json", False),
    ],
)
async def test_only_who_names_events_gets_them(house: House, accept: str, is_streamed: bool) -> None:
    async with posting(house, {"metric_id": str(REVENUE)}, accept=accept) as events:
        assert (events.headers["content-type"] == "application/json") is not is_streamed


async def test_other_posts_of_the_user_are_left_out(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as socket:
        chat = (await begun(socket, "one"))[-1]["payload"]["chat_id"]
        async with posting(house, {"prompt": "two"}) as events:
            heard = await events.until(FIRST)
            agent.let_go("one")
            assert (await socket.until("complete"))[-1]["payload"]["id"] == chat
            assert (await socket.refusal({}))["code"] == "BAD_REQUEST"
            await socket.post(metric_id=str(REVENUE))
            agent.let_go("two")
            heard += await events.stream()
            assert {frame["payload"].get("chat_id", frame["payload"].get("id")) for frame in heard} == {
                heard[0]["payload"]["id"]
            }
            assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])
            await ended(events)


async def test_it_goes_on_by_the_events_stream(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house:
        async with posting(house, {"prompt": "one"}) as events:
            heard = await events.until(FIRST)
        await until(lambda: not connections(house))  # the client has gone, and the run goes on
        assert len(house.services.runs) == 1
        agent.let_go("one")
        async with listening(house, events.last_id) as rest:
            resumed = await rest.event()
            assert resumed
            assert resumed["payload"]["recovered"]
            heard += await rest.stream()
        assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])
        await until(lambda: not len(house.services.runs))
        assert not len(house.services.requests)


async def test_it_is_numbered_by_redis_and_goes_on_there(settings: Settings, redis: RedisServer) -> None:
    agent = HeldAgent()
    payload = {"prompt": "one", "message_id": str(uuid4())}
    async with open_house(replace(settings, broker_url=redis.url), agent) as house:
        async with posting(house, payload) as whole, posting(house, payload) as cut:
            await cut.until("initializeChat")
            heard = await whole.until(FIRST)
            place, so_far = whole.last_id, list(heard)
            agent.let_go("one")
            heard += await whole.stream()
            assert await ended(whole) == ": 1000 the post is answered"
            assert (await cut.stream())[-1] == heard[-1]
        async with listening(house, place) as rest:
            await rest.until("resumed")
            assert await rest.stream() == heard[len(so_far) :]
        async with posting(house, {}) as refused:
            assert refused.status == 400


@pytest.mark.parametrize("is_over", [False, True])
async def test_a_retry_gets_the_end_or_what_there_is_and_the_rest(settings: Settings, is_over: bool) -> None:
    agent = HeldAgent()
    payload = {"prompt": "one", "message_id": str(uuid4()), "once": True}
    async with open_house(settings, agent) as house, house.connect() as socket:
        await socket.send(payload)
        await socket.until(FIRST)
        if is_over:
            agent.let_go("one")
            end = (await socket.stream())[-1]["payload"]
        async with posting(house, payload) as events:
            if not is_over:
                first = await events.event()
                assert first
                assert (first["event"], first["send_method"]) == ("initializeChat", "SenderOnly")
                assert "one begins" in str(first["payload"])
                agent.let_go("one")
                end = (await socket.stream())[-1]["payload"]
            frames = await events.stream()
            assert frames[-1]["payload"] == end
            assert len(frames) == 1 or not is_over
            await ended(events)
        assert len(agent.tasks) == 1


async def test_a_retry_of_a_run_that_fails_gets_its_error(settings: Settings) -> None:
    agent = ScriptedAgent(ResponseChunk("Half"), ResponseChunk("more"), error=OSError("/secret detail"))
    agent.gate = type(agent.gate)()
    payload = {"prompt": "one", "message_id": str(uuid4())}
    async with open_house(settings, agent) as house, posting(house, payload) as first:
        await first.until(FIRST)
        async with posting(house, payload) as second:
            await second.until("initializeChat")
            agent.gate.set()
            ends = [(await events.stream())[-1] for events in (first, second)]
            assert [end["error"]["code"] for end in ends] == ["INTERNAL_SERVER_ERROR"] * 2
            assert ends[1]["error"]["message"] == "the run that this post joined has failed"
            assert not LEAKS.search(ends[0]["error"]["message"])
            await ended(first)
            await ended(second)


async def test_a_replacement_is_not_ended_by_the_run_that_it_replaces(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as socket:
        one = (await begun(socket, "one"))[-1]["payload"]
        replacement = {"prompt": "two", "chat_id": one["chat_id"], "message_id": one["message_id"]}
        agent.let_go("two")
        async with posting(house, replacement) as events:
            frames = await events.stream()
        assert "Stopped" in str(await socket.stream())
        assert frames[0]["event"] == "initializeChat"
        assert "two begins, and ends" in str(frames[-1])
        assert "Stopped" not in str(frames)


async def test_a_post_waits_for_its_turn_and_a_comment_shows_that_it_lives(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(replace(settings, ping_seconds=1), agent) as house, house.connect() as socket:
        one = (await begun(socket, "one"))[-1]["payload"]
        async with posting(house, {"prompt": "two", "chat_id": one["chat_id"]}) as events:  # begins with the comment
            assert (events.status, await events.line()) == (200, ":")
            agent.let_go("one")
            agent.let_go("two")
            frames = await events.stream()
            assert [len(frames[at]["payload"]["message_ids"]) for at in (0, -1)] == [2, 2]
            assert "one begins, and ends" in str(frames[0])


async def test_what_is_refused_before_anything_is_sent_is_a_status(house: House) -> None:
    for payload, status in (({}, 400), ({"prompt": 5}, 400), ([], 400), ({"metric_id": str(MISSING)}, 404)):
        plain = await request(house, json.dumps(payload).encode(), house.token())
        async with posting(house, payload) as events:
            assert (events.status, await events.refusal()) == (plain[0], plain[1]) == (status, plain[1])
            assert events.headers["content-type"] == "application/json"
    async with asked(house.url, f"POST {CHATS} HTTP/1.1\r\naccept: text/event-stream", b"{}") as events:
        await events.begin()
        assert (events.status, events.headers["www-authenticate"]) == (401, "Bearer")
    await until(lambda: not len(house.services.connections))
    assert count(house.database, "chats") == 0


async def test_what_is_refused_later_is_an_event(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(replace(settings, ping_seconds=1), agent) as house, house.connect() as socket:
        one = (await begun(socket, "one"))[-1]["payload"]
        async with posting(house, {"prompt": "two", "chat_id": one["chat_id"]}) as events:  # begins with a comment
            with opened(house.database) as database:
                database.execute("UPDATE chats SET deleted_at = '2026-01-01 00:00:00' WHERE id = ?", (one["chat_id"],))
            agent.let_go("one")
            (end,) = await events.stream()
            assert (end["event"], end["error"]["code"]) == ("postThread", "NOT_FOUND")
            await ended(events)


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_connections_per_user": 1}, 429), ({"rate_limit": "1/minute"}, 429), ({"max_connections": 1}, 503)],
)
async def test_the_limits_are_those_of_a_socket_and_its_posts(settings: Settings, limits: dict[str, Any], code: int) -> None:
    async with open_house(replace(settings, **limits)) as house, house.connect() as socket:
        await socket.post(metric_id=str(REVENUE))
        async with posting(house, {"prompt": "Hi"}) as events:
            assert (events.status, "retry-after" in events.headers) == (code, True)
    assert count(house.database, "chats") == 1


async def test_a_server_that_drains_tells_the_end_and_takes_no_more(settings: Settings) -> None:
    agent = HeldAgent()
    async with (
        open_house(replace(settings, drain_seconds=20), agent) as house,
        house.connect() as socket,
        posting(house, {"prompt": "one"}) as events,
    ):
        heard = await events.until(FIRST)
        house.server.should_exit = True
        await socket.until("goingAway")
        agent.let_go("one")
        heard += await events.stream()
        assert unsettled(fold(heard)) == unsettled(heard[-1]["payload"])
        await ended(events)


async def test_a_server_that_stops_ends_what_it_streams(settings: Settings) -> None:
    async with open_house(settings, HeldAgent()) as house, posting(house, {"prompt": "one"}) as events:
        await events.until(FIRST)
        house.server.should_exit = True
        assert "Interrupted" in str((await events.stream())[-1])


async def test_a_client_that_does_not_read_is_ended_and_the_run_goes_on(settings: Settings) -> None:
    big = ScriptedAgent(*[ResponseChunk("x" * 100_000)] * 300, ResponseChunk("end"))
    bounds: dict[str, Any] = {"outbox_bytes": 2**16, "outbox_bytes_per_user": 2**20}
    async with (
        open_house(replace(settings, **bounds), big) as house,
        posting(house, {"prompt": "one"}, begins=False) as events,
    ):
        events.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await until(lambda: big.closed)
        await until(lambda: not len(house.services.connections))
        await until(lambda: not len(house.services.runs))
    assert count(house.database, "messages") == 1


async def test_another_value_of_messages_is_refused(house: House) -> None:
    async with posting(house, {"prompt": "Hi"}, query="?messages=all") as events:
        assert events.status == 400
    assert count(house.database, "messages") == 0


@pytest.mark.parametrize("query", ["?messages=new", ""])
async def test_of_a_long_chat_only_what_is_new_may_be_told(house: House, query: str) -> None:
    async with house.connect() as socket:
        chat = (await socket.post(prompt="one"))[-1]["payload"]["id"]
        async with posting(house, {"prompt": "two", "chat_id": chat}, query) as events:
            frames = await events.stream()
        for frame in (frames[0], frames[-1]):
            assert (len(frame["payload"]["message_ids"]), len(frame["payload"]["messages"])) == (2, 1 if query else 2)


async def test_a_page_of_another_origin_may_stream_a_post(settings: Settings) -> None:
    origin = "https://app.example"
    async with open_house(replace(settings, cors_origins=(origin,))) as house:
        head = (
            f"POST {CHATS} HTTP/1.1\r\norigin: {origin}\r\naccept: text/event-stream\r\nauthorization: Bearer {house.token()}"
        )
        async with asked(house.url, head, b'{"prompt": "Hi"}') as events:
            await events.begin()
            assert events.headers["access-control-allow-origin"] == origin
            assert (await events.stream())[-1]["event"] == "complete"
        status, _, said = await request(house, b"", house.token(), method="GET", path=f"{EVENTS}/x", origin=origin)
        assert (status, said["access-control-allow-origin"]) == (404, origin)
