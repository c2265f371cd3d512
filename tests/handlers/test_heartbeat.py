"""Heartbeats: a connection that can resume and gets nothing else is told that it is alive. PROTOCOL.md section 6."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.client import connect

from backends.metrics import Traffic
from handlers.connection import Connection
from handlers.outboxes import Outboxes
from handlers.timers import Timers
from schemas.users import AuthenticatedUser, Sender
from settings import Settings
from tests.support.fitting import FittingClient
from tests.support.house import House, open_house
from tests.support.waiting import until
from tests.support.world import ALICE

PING_S = 100.0


@asynccontextmanager
async def resuming(house: House, place: str = "") -> AsyncIterator[tuple[FittingClient, str]]:
    """A connection that can resume, and its place."""
    async with connect(f"{house.url}?authentication={house.token()}&since={place}") as socket:
        client = FittingClient(socket)
        client.hears_heartbeats = True
        first = (await client.frame())["payload"]
        assert first["recovered"]
        yield client, f"{first['epoch']}:{first['offset']}"


async def test_a_quiet_connection_that_can_resume_gets_heartbeats_and_another_one_gets_none(settings: Settings) -> None:
    async with open_house(replace(settings, ping_seconds=1)) as house, house.connect() as other:
        async with resuming(house) as (client, _):
            for _ in range(2):
                frame = await client.frame()
                assert (frame["route"], frame["event"], frame["payload"]) == ("/stream", "heartbeat", {"seconds": 1})
                assert (frame["send_method"], frame["sent_by"]["id"]) == ("SenderOnly", str(ALICE))
                assert "offset" not in frame
        other.hears_heartbeats = True
        await other.send({}, "/chats/list")
        assert (await other.frame())["event"] == "getChatsList"


async def test_a_heartbeat_takes_no_number_and_is_in_no_log(settings: Settings) -> None:
    async with open_house(replace(settings, ping_seconds=1)) as house:
        async with resuming(house) as (client, place):
            assert (await client.frame())["event"] == "heartbeat"
            await client.send({"prompt": "Hi"})
            frames = [frame for frame in await client.stream() if frame["event"] != "heartbeat"]
        epoch, _, offset = place.partition(":")
        assert [frame["offset"] for frame in frames] == [int(offset) + number for number in range(1, len(frames) + 1)]
        async with resuming(house, f"{epoch}:{frames[-2]['offset']}") as (client, _):
            assert (await client.frame())["offset"] == frames[-1]["offset"]
            assert (await client.frame())["event"] == "heartbeat"


def quiet(quiet_for: float) -> tuple[Connection, Timers]:
    """A connection to which nothing was sent for so many seconds, and which nobody empties, and its timers."""
    user = AuthenticatedUser(ALICE, "alice@acme.example", "Alice", None, 0)
    share = Outboxes(1000, 1000, 1000).share_of(ALICE)
    connection = Connection(user, "", 1, Traffic(), share, joins=False, numbered=True)
    connection.sent_at = asyncio.get_running_loop().time() - quiet_for
    return connection, Timers(connection, Sender(user, connection.id), PING_S)


def beat(timers: Timers) -> float:
    """Look whether a heartbeat is due, and return in how many seconds it would be looked again."""
    now = asyncio.get_running_loop().time()
    timers.beat()
    assert timers.heartbeat
    timers.heartbeat.cancel()
    return timers.heartbeat.when() - now


@pytest.mark.parametrize(("quiet_for", "is_due", "again_in"), [(40.0, False, 60.0), (100.0, True, 100.0), (250.0, True, 100.0)])
async def test_a_heartbeat_is_sent_only_after_a_silence(quiet_for: float, is_due: bool, again_in: float) -> None:
    connection, timers = quiet(quiet_for)
    assert beat(timers) == pytest.approx(again_in, abs=5)
    assert connection.is_idle is not is_due


async def test_each_frame_that_is_sent_puts_the_next_heartbeat_off(house: House) -> None:
    async with resuming(house) as (client, _):
        (connection,) = house.services.connections
        before = connection.sent_at
        assert before > 0
        await client.send({}, "/chats/list")
        assert (await client.frame())["event"] == "getChatsList"
        await until(lambda: connection.sent_at > before)


async def test_heartbeats_do_not_pile_up_for_who_does_not_read() -> None:
    connection, timers = quiet(PING_S)
    for _ in range(3):
        beat(timers)
    (only,) = connection._frames
    connection._frames.clear()
    connection._current = only  # the transport has no room behind it
    beat(timers)
    assert not connection._frames


async def test_the_timer_ends_with_its_connection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Timers] = []
    beat = Timers.beat

    def beat_and_tell(timers: Timers) -> None:
        started.append(timers)
        beat(timers)

    monkeypatch.setattr(Timers, "beat", beat_and_tell)
    async with resuming(house), house.connect():
        await until(lambda: started)
    (only,) = started
    await until(lambda: only.heartbeat and only.heartbeat.cancelled())
