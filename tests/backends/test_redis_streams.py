"""Streams that nodes on one Redis hear of each other: by what is published, read after an outage, or resumed from."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import anyio
import pytest

from backends.frame import Frame
from backends.redis import link as redis_link
from backends.redis.broker import RedisBroker
from backends.resume import Resumption
from backends.streams import STORED_END
from schemas.chats import ChatMessage, ChatWithMessages
from schemas.events import Container, GeneratingTitle, WsEvent
from schemas.frames import SentBy, WsResponseMessage, WsRoutes, WsSendMethod
from tests.support.containers import NOW
from tests.support.redis import RedisServer, node, place_in, redis_server
from tests.support.waiting import until
from tests.support.world import ALICE, uuid

CHAT, FIRST, SECOND = uuid(100), uuid(101), uuid(102)


class Connected:
    """A connection, and the events that it has heard."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.heard: list[str] = []
        self.is_cut = False

    def put(self, frame: Frame) -> None:
        event = frame.message.event
        self.heard.append(event.value if isinstance(event, WsEvent) else event)

    def cut(self) -> None:
        self.is_cut = True


def begin(broker: RedisBroker, id: UUID) -> None:
    say(broker, WsEvent.INITIALIZE_CHAT, chat(id, False))


def go_on(broker: RedisBroker, id: UUID) -> None:
    say(broker, WsEvent.GENERATING_TITLE, GeneratingTitle(CHAT, id, None, "x", "in_progress"))


def end(broker: RedisBroker, id: UUID, sender_id: str | None = None) -> None:
    say(broker, WsEvent.COMPLETE, chat(id, True), sender_id)


def chat(id: UUID, done: bool) -> ChatWithMessages:
    message = ChatMessage(id, None, [], {}, [], {}, NOW, None, done)
    return ChatWithMessages(CHAT, "", False, [id], {id: message}, NOW, NOW, ALICE, ALICE, "Alice", None)


def say(broker: RedisBroker, event: WsEvent, payload: Container, sender_id: str | None = None) -> None:
    message = WsResponseMessage(WsRoutes.CHATS_POST, event, payload, SentBy(ALICE, "Alice"), None, WsSendMethod.ALL)
    broker.publish(ALICE, Frame(message), sender_id)


def opened(broker: RedisBroker) -> list[UUID]:
    return [UUID(stream.message_id) for stream in broker.streams]


@asynccontextmanager
async def listening(broker: RedisBroker, since: str | None = None) -> AsyncIterator[tuple[Connected, Resumption | None]]:
    made = Connected(uuid4().hex)
    async with broker.subscribe(ALICE, made, since) as resumption:
        yield made, resumption


@pytest.fixture
async def nodes(redis: RedisServer) -> AsyncIterator[tuple[RedisBroker, RedisBroker]]:
    async with node(redis.url) as a, node(redis.url) as b:
        yield a, b


Nodes = tuple[RedisBroker, RedisBroker]


async def test_a_stream_is_remembered_where_its_user_is_until_its_end_or_the_users_last_connection(nodes: Nodes) -> None:
    a, b = nodes
    begin(a, FIRST)
    assert await b.caught_up()
    assert opened(b) == []  # nobody was there
    async with listening(b), listening(b):
        for id in (FIRST, SECOND):
            begin(a, id)
        await until(lambda: opened(b) == [FIRST, SECOND])
        assert opened(a) == []
        end(a, FIRST)
        await until(lambda: opened(b) == [SECOND])
        async with listening(b):
            pass
        assert opened(b) == [SECOND]
    assert opened(b) == []


async def test_all_that_was_published_before_is_heard_by_then(nodes: Nodes) -> None:
    a, b = nodes
    async with listening(b) as (tab, _):
        for _ in range(2):
            for _ in range(500):
                go_on(a, FIRST)
            await a.flush()
            assert await b.caught_up()
            assert len(tab.heard) % 500 == 0
    assert len(tab.heard) == 1000


async def test_while_redis_is_away_nobody_knows_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "REDIS_ANSWER_S", 0.3)
    monkeypatch.setattr(redis_link, "PING_S", 0.1)
    with redis_server() as server:
        async with node(server.url) as b:
            assert await b.caught_up()
            with server.stopped():
                assert not await b.caught_up()
                await until(lambda: not b.connected)
                assert not await b.caught_up()
            await until(lambda: b.connected)
            assert await b.caught_up()


async def test_an_end_that_was_told_before_is_passed_over_and_keeps_nobodys_place(nodes: Nodes, redis: RedisServer) -> None:
    a, b = nodes
    async with listening(b) as (plain, _), listening(b, "") as (numbered, start):
        assert start
        begin(a, FIRST)
        await until(lambda: opened(b) == [FIRST])
        end(b, FIRST, f"{STORED_END}{FIRST}")
        b.streams.end(ALICE, FIRST)
        end(a, FIRST)
        begin(a, SECOND)
        heard = ["initializeChat", "complete", "initializeChat"]
        await until(lambda: plain.heard == numbered.heard == heard)
        assert b._users[str(ALICE)].seen == int(place_in(redis.url, ALICE).partition(":")[2])


@pytest.mark.parametrize("back", [0, 1])
async def test_who_resumes_in_the_middle_of_a_stream_has_it_remembered(nodes: Nodes, redis: RedisServer, back: int) -> None:
    a, b = nodes
    async with listening(a, ""):
        begin(a, FIRST)
        end(a, FIRST)
        begin(a, SECOND)
        for _ in range(5):
            go_on(a, SECOND)
        await a.flush()
    epoch, _, offset = place_in(redis.url, ALICE).partition(":")
    async with listening(b, f"{epoch}:{int(offset) - back}") as (_, resumption):
        assert resumption
        assert resumption.recovered
        assert opened(b) == [SECOND]
        end(a, SECOND)
        await until(lambda: opened(b) == [])
    async with listening(a, f"{epoch}:{offset}"):
        assert opened(a) == []  # it tells the ends of its own


async def test_who_resumes_where_nothing_is_known_any_more_has_nothing_remembered(nodes: Nodes, redis: RedisServer) -> None:
    a, b = nodes
    async with listening(a, ""):
        begin(a, FIRST)
        await a.flush()
    for since in (f"{'f' * 16}:{place_in(redis.url, ALICE).partition(':')[2]}", "nonsense", "x:0", ""):
        async with listening(b, since):
            assert opened(b) == []


async def test_a_stream_knows_when_another_redis_has_taken_the_place_of_its_own() -> None:
    with redis_server() as server:
        async with node(server.url) as a, node(server.url) as b, listening(b):
            begin(a, FIRST)
            await until(lambda: opened(b) == [FIRST])
            assert [stream.has_gap for stream in b.streams] == [False]
            server.kill()
            await until(lambda: not b.connected)
            server.start()
            await until(lambda: b.connected)
            assert [stream.has_gap for stream in b.streams] == [True]


async def test_a_users_connections_can_be_cut_and_no_others(nodes: Nodes) -> None:
    a, b = nodes
    async with listening(a) as (there, _), listening(b) as (here, _), listening(b, "") as (numbered, _):
        b.cut_user(ALICE)
        b.cut_user(uuid(9))
        await anyio.lowlevel.checkpoint()
        assert (there.is_cut, here.is_cut, numbered.is_cut) == (False, True, True)
