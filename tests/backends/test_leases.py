"""Nodes: who renews lives, who stands still is buried, and time in which nobody looked counts for nothing."""

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

import anyio
import anyio.lowlevel
import pytest
from sqlalchemy import select

from backends import open_storage
from backends import tables as db
from backends.lease import Lease
from backends.limits import MemoryQuota
from backends.nodes import LEASE_S, RENEW_S, Membership
from backends.storage import Change, Row, Storage
from handlers.cluster import Alone
from handlers.runs import Runs
from settings import Settings
from tests.support.client import TIMEOUT_S


@dataclass
class Clock:
    """What `time.monotonic` says."""

    now: float = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("backends.nodes.time.monotonic", lambda: made.now)
    return made


@pytest.fixture
async def storage(settings: Settings) -> AsyncIterator[Storage]:
    async with open_storage(settings) as opened:
        yield opened


async def entered(storage: Storage) -> Membership:
    nodes = Membership(storage)
    await nodes.enter()
    return nodes


async def rows(storage: Storage) -> dict[object, int]:
    return {row["id"]: row["renewals"] for row in await storage.fetch_all(select(db.nodes))}


async def looks(watcher: Membership, clock: Clock, seconds: float, *renewing: Membership) -> None:
    """Let so much time pass, in which one looks, and some renew, as often as they should."""
    for _ in range(round(seconds / RENEW_S)):
        clock.now += RENEW_S
        for nodes in (watcher, *renewing):
            await nodes.renew()
        await watcher.bury()


async def test_who_stands_still_is_buried_and_who_renews_is_not(storage: Storage, clock: Clock) -> None:
    watcher, living, dead = [await entered(storage) for _ in range(3)]
    await watcher.bury()
    await looks(watcher, clock, LEASE_S - RENEW_S, living)
    assert len(await rows(storage)) == 3
    await looks(watcher, clock, 2 * RENEW_S, living)
    assert set(await rows(storage)) == {watcher.lease.id, living.lease.id}
    assert not dead.lease.is_sure
    await looks(watcher, clock, 10 * LEASE_S, living)
    assert set(await rows(storage)) == {watcher.lease.id, living.lease.id}


async def test_who_was_buried_alive_has_lost_its_lease_and_gets_another(storage: Storage, clock: Clock) -> None:
    watcher, slow = await entered(storage), await entered(storage)
    await watcher.bury()
    lost = slow.lease
    await looks(watcher, clock, LEASE_S + RENEW_S)
    assert (lost.lost, lost.is_sure) == (False, False)  # it knows of nothing, but it does know that it does not know
    await slow.renew()
    assert (lost.lost, await lost.settled()) == (True, False)
    assert slow.lease is not lost
    assert slow.lease.is_sure
    assert set(await rows(storage)) == {watcher.lease.id, slow.lease.id}


async def test_time_in_which_nobody_looked_counts_for_nothing(storage: Storage, clock: Clock) -> None:
    watcher, other = await entered(storage), await entered(storage)
    await watcher.bury()
    for _ in range(int(LEASE_S / RENEW_S)):
        clock.now += 1000
        await watcher.bury()
    assert len(await rows(storage)) == 2
    await other.renew()
    await looks(watcher, clock, LEASE_S - RENEW_S)  # and a renewal makes up for all that was
    assert len(await rows(storage)) == 2


async def test_whom_only_the_database_kept_from_renewing_is_not_buried(storage: Storage, clock: Clock) -> None:
    watcher, other = await entered(storage), await entered(storage)
    await watcher.bury()
    clock.now += 30  # away for all
    await watcher.bury()
    clock.now += RENEW_S
    assert not other.lease.is_sure
    await other.renew()
    await looks(watcher, clock, LEASE_S - RENEW_S)
    assert other.lease.id in await rows(storage)


class Late:
    """A storage in which a node renews right before it is buried."""

    on_postgres = False

    def __init__(self, storage: Storage, other: Membership) -> None:
        self.storage, self.other = storage, other
        self.fetch_all = storage.fetch_all
        self.apart: Storage = self

    async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
        await self.other.renew()
        return await self.storage.write(*changes, only_if=only_if)


async def test_a_renewal_at_the_last_moment_counts(storage: Storage, clock: Clock) -> None:
    other = await entered(storage)
    watcher = Membership(Late(storage, other))
    await watcher.bury()
    for _ in range(10):
        clock.now += RENEW_S
        await watcher.bury()
        assert other.lease.id in await rows(storage)


async def test_a_lease_is_sure_for_its_time_from_before_the_renewal(storage: Storage, clock: Clock) -> None:
    class Slow:
        on_postgres = False

        @property
        def apart(self) -> Storage:
            return self

        async def fetch_all(self, *query: object, **values: object) -> list[Row]:
            return []

        async def write(self, *changes: Change, only_if: Change | None = None) -> bool:
            clock.now += 2
            return True

    nodes = Membership(Slow())
    await nodes.enter()
    await nodes.renew()
    clock.now += LEASE_S - 2.1
    assert nodes.lease.is_sure
    clock.now += 0.2
    assert not nodes.lease.is_sure


async def test_who_waits_for_an_unsure_lease_learns_what_becomes_of_it(storage: Storage, clock: Clock) -> None:
    nodes, told = await entered(storage), list[bool]()

    async def wait() -> None:
        told.append(await nodes.lease.settled())

    clock.now += LEASE_S + 1
    with anyio.fail_after(TIMEOUT_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert told == []
            await nodes.renew()
        assert told == [True]
        clock.now += LEASE_S + 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            await nodes.leave()
            await nodes.renew()
        assert told == [True, False]


async def test_who_is_alone_needs_no_row_and_clears_those_of_the_dead(storage: Storage, clock: Clock) -> None:
    await entered(storage)
    alone = Alone(storage, Runs(1, MemoryQuota()))
    async with anyio.create_task_group() as tasks, alone.joined(tasks):
        assert await rows(storage) == {}
        clock.now += 10**9
        assert alone.lease.is_sure


async def test_nobody_is_buried_for_a_time_in_which_the_database_took_no_writes(storage: Storage, clock: Clock) -> None:
    watcher, other = await entered(storage), await entered(storage)
    await watcher.bury()
    for _ in range(10):  # it answers reads, so the watcher can look
        clock.now += RENEW_S
        await watcher.bury()
    await looks(watcher, clock, LEASE_S - RENEW_S)  # the other one has as long as ever to renew once writes are taken again
    assert other.lease.id in await rows(storage)
    await looks(watcher, clock, 2 * RENEW_S)
    assert other.lease.id not in await rows(storage)


def test_a_lease_that_is_lost_stays_lost_whoever_renews_it() -> None:
    lease = Lease(until=-math.inf)
    lease.give_up()
    lease.renew(math.inf)
    assert (lease.lost, lease.is_sure) == (True, False)
