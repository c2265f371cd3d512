"""How often a user may post: exactly so often, each user by themselves, and a refusal costs nothing."""

import time
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from backends.limits import MemoryRateLimit
from settings import Settings
from tests.client import untitled
from tests.conftest import open_house
from tests.database import rows
from tests.world import ALICE, BOB, MISSING, REVENUE


async def test_the_last_allowed_passes_and_the_next_is_told_when_to_come_back() -> None:
    limit = MemoryRateLimit("3/minute")
    assert [await limit.hit(ALICE) for _ in range(3)] == [None, None, None]
    wait = await limit.hit(ALICE)
    assert wait is not None
    assert 50 < wait <= 60  # the window has only just opened
    assert await limit.hit(BOB) is None


async def test_posts_at_once_are_counted_one_by_one() -> None:
    limit = MemoryRateLimit("10/minute")
    answers: list[int | None] = []

    async def hit() -> None:
        answers.append(await limit.hit(ALICE))

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(hit)
    assert answers.count(None) == 10


async def test_a_user_who_stays_away_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = MemoryRateLimit("1/second")
    await limit.hit(ALICE)
    storage = limit._limiter.storage
    assert len(storage.expirations) == 1  # type: ignore[attr-defined]
    later = time.time() + 5
    monkeypatch.setattr("time.time", lambda: later)
    for _ in range(3):  # the sweep runs beside the next hits
        await limit.hit(BOB)
        await anyio.lowlevel.checkpoint()
    assert [key for key in storage.expirations if str(ALICE) in key] == []  # type: ignore[attr-defined]


async def test_a_refused_post_reaches_its_sender_only_and_writes_nothing(settings: Settings) -> None:
    async with (
        open_house(replace(settings, rate_limit="3/minute")) as house,
        house.connect() as client,
        house.connect() as other,
        house.connect(BOB) as bob,
    ):
        for bad in ({}, {"asset_id": str(REVENUE)}, {"prompt": 5}):
            assert (await client.refusal(bad))["code"] == "BAD_REQUEST"  # not counted
        assert (await client.refusal({"metric_id": str(MISSING)}))["code"] == "NOT_FOUND"  # counted: it was looked up
        for _ in range(2):
            assert (await client.post(metric_id=str(REVENUE)))[-1]["event"] == "complete"
            assert len(untitled(await other.stream())) == 4
        before = rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")
        for payload in ({"metric_id": str(REVENUE)}, {"prompt": "Hi"}):
            error = await client.refusal(payload)
            assert error["code"] == "TOO_MANY_REQUESTS"
            assert any(word.isdigit() and 1 <= int(word) <= 60 for word in error["message"].split())
        assert (rows(house.database, "SELECT * FROM chats"), rows(house.database, "SELECT * FROM messages")) == before
        assert (await other.refusal({}))["code"] == "BAD_REQUEST"  # and nothing came before
        assert (await bob.post(prompt="And I?"))[-1]["event"] == "complete"
