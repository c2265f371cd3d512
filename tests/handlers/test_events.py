"""`GET /api/v1/events`: what a socket is told, as Server-Sent Events, with the same frames, log, bounds and end."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from backends.agent_events import ResponseChunk
from handlers.connection import TOO_SLOW
from settings import Settings
from tests.support.agents import HeldAgent, ScriptedAgent
from tests.support.client import TIMEOUT_S, fold, unsettled
from tests.support.events import EVENTS, listening, posting
from tests.support.house import BOTH, House, open_house
from tests.support.over_http import request
from tests.support.waiting import until

ENGINES = BOTH


async def test_it_tells_what_a_socket_is_told(house: House) -> None:
    async with house.connect() as ours, listening(house) as events:
        first = await events.event()
        assert first
        assert (first["route"], first["event"], first["payload"]["recovered"]) == ("/stream", "resumed", True)
        assert events.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (events.headers["cache-control"], events.headers["x-accel-buffering"]) == ("no-store", "no")
        said, heard = await ours.post(prompt="Größe \n 😀"), await events.stream()
        assert unsettled(fold(heard)) == unsettled(said[-1]["payload"])
        assert heard[-1]["payload"] == said[-1]["payload"]
        assert events.last_id == f"{first['payload']['epoch']}:{heard[-1]['offset']}"
        status, *_ = await request(house, b'{"prompt": "over HTTP"}', house.token())
        assert status == 200
        assert (await events.stream())[-1]["event"] == "complete"


async def test_it_goes_on_after_the_last_event_that_was_heard(settings: Settings) -> None:
    agent = HeldAgent()
    async with open_house(settings, agent) as house, house.connect() as ours:
        async with listening(house) as events:
            await events.event()
            await ours.send({"prompt": "one"})
            heard = [await events.event()]
            while heard[-1]["event"] != "generatingResponseMessage":  # type: ignore[index]
                heard.append(await events.event())
            last = events.last_id
        agent.let_go("one")
        await ours.stream()
        async with listening(house, last) as events:
            resumed = await events.event()
            assert resumed
            assert resumed["payload"]["recovered"]
            frames: list[Any] = [*heard, *await events.stream()]
        offsets = [frame["offset"] for frame in frames]
        assert offsets == sorted(set(offsets))
        assert unsettled(fold(frames)) == unsettled(frames[-1]["payload"])
        async with listening(house, query=f"?since={last}") as events:
            await events.event()
            assert await events.stream() == frames[len(heard) :]
        async with listening(house, "nonsense:7") as events:
            lost = await events.event()
            assert lost
            assert not lost["payload"]["recovered"]


async def test_a_comment_shows_that_it_lives(settings: Settings) -> None:
    async with open_house(replace(settings, ping_seconds=1)) as house, listening(house) as events:
        await events.event()
        with anyio.fail_after(TIMEOUT_S):
            assert [await events.line() for _ in range(2)] == [":", ""]


async def test_it_ends_with_its_token_and_with_the_server(settings: Settings) -> None:
    async with open_house(replace(settings, drain_seconds=0)) as house:
        async with listening(house, ttl=1) as events:
            await events.event()
            assert await events.event() is None
            assert events.comments[-1] == ": 4001 token expired"
        async with listening(house) as events:
            await events.event()
            house.server.should_exit = True
            going = await events.event()
            assert going
            assert going["event"] == "goingAway"
            assert await events.event() is None
            assert events.comments[-1] == ": 1012 the server is restarting"


async def test_a_client_that_goes_leaves_nothing(house: House) -> None:
    for _ in range(3):
        async with listening(house) as events:
            await events.event()
            assert len(house.services.connections) == 1
        await until(lambda: not len(house.services.connections))


async def test_it_counts_as_a_connection_and_is_refused_as_one(settings: Settings) -> None:
    async with open_house(replace(settings, max_connections_per_user=1)) as house, listening(house) as events:
        await events.event()
        status, error, headers = await request(house, b"", house.token(), method="GET", path=EVENTS)
        assert (status, error["code"], headers["retry-after"]) == (429, "TOO_MANY_REQUESTS", "10")
    async with open_house(settings) as house:
        status, error, headers = await request(house, b"", "x", method="GET", path=EVENTS)
        assert (status, error["code"], headers["www-authenticate"]) == (401, "UNAUTHORIZED", "Bearer")


@pytest.mark.parametrize("of_post", [False, True])
async def test_a_reader_too_slow_is_told_so_in_a_comment_and_the_others_lose_nothing(settings: Settings, of_post: bool) -> None:
    agent = ScriptedAgent(*(ResponseChunk("x" * 50_000) for _ in range(400)))
    post = {"prompt": "Go"}
    async with open_house(replace(settings, chat_bytes=2**25), agent) as house, house.connect() as good:
        async with posting(house, post) if of_post else listening(house) as slow:
            if not of_post:
                await slow.event()
                await good.send(post)
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
            share = next(iter(house.services.connections)).share
            assert len(await good.stream()) > 400
            await until(lambda: any(each._closing == TOO_SLOW for each in house.services.connections))
            assert share.leaving > 0  # what lies in the transport is counted until the reader is gone
            slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
            while await slow.event():
                pass
            assert slow.comments[-1] == ": 4008 read too slowly"
        await until(lambda: len(house.services.connections) == 1 and not share.leaving and not share.bytes)


@pytest.mark.parametrize("query", ["?messages=new", ""])
async def test_of_a_long_chat_only_what_is_new_may_be_told(house: House, query: str) -> None:
    async with house.connect() as ours, listening(house, query=query) as events:
        await events.event()
        chat = (await ours.post(prompt="one"))[-1]["payload"]["id"]
        await events.stream()
        await ours.post(prompt="two", chat_id=chat)
        end = (await events.stream())[-1]["payload"]
        assert (len(end["message_ids"]), len(end["messages"])) == (2, 1 if query else 2)
