"""The wire to Redis: one task keeps a link up, and sends what has gathered since the last answer.

A frame that was sent and not answered is sent again over the next link, exactly as it was: the fence in Redis drops a frame
that has been there. Frames that were answered lately are kept for a while, too, since another Redis, such as one that was
restarted, has to get them again. A frame whose lease is in doubt waits, and the frames of other users go before it.
"""

import logging
import math
import random
import time
from typing import Any

import anyio
from redis.asyncio import ConnectionPool

from backends.redis.backlog import Backlog
from backends.redis.link import REDIS_REFUSALS, Command, Link, RedisClock, is_outage, kind_of, linked, run_id_of
from backends.redis.log import Channels
from backends.redis.outgoing import Order, Outgoing
from backends.redis.publisher import Publisher
from backends.redis.scripts import LOADS
from backends.redis.sent import Sent

COMMANDS_A_BATCH = 500  # commands in one round trip
BATCH_BYTES = 2**20
RECENT_BYTES = 2**24  # of answered frames, kept in case Redis restarts
CAUGHT_UP_S = 3.0  # seconds to wait for the answer to a ping, which is sent each second
LEASE_LOOK_S = 0.1  # seconds between looks whether leases are sure
SETTLE_S = 3.5  # seconds that a new link waits until leases are sure: a node renews its lease every 3 s
STEADY_S = 2.0  # seconds after which a link counts as a good one: when it is lost, it is tried again at once
PROBE: Command = ("SET", "threadcast:probe", 1, "PX", 1)  # a write: a full Redis, or a replica, answers everything else
FIRST_RECONNECT_S, LONGEST_RECONNECT_S = 0.05, 1.0  # between tries to reconnect; a lost end must be told within 5 s

logger = logging.getLogger("threadcast")


class Wire:
    """The way to Redis. `connected` while both directions work. At most about `bound` bytes wait."""

    def __init__(self, pool: ConnectionPool, channels: Channels, publisher: Publisher, bound: int) -> None:
        self.connected = False
        self.tried = anyio.Event()  # set after the first try to connect
        self.refused = False  # the first try, because of the password
        self._pool = pool
        self._channels = channels
        self._publisher = publisher
        self._run_id = ""
        self._since = time.monotonic()  # when the link was lost
        self._backlog = Backlog(bound)
        self._sent = Sent(RECENT_BYTES)
        self._clock = RedisClock()
        self._number = 0  # the last sent frame's
        self._wake = anyio.Event()
        self._too_slow = anyio.Event()
        self._link: Link | None = None  # the newest one that was up

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent or answered."""
        return not (self._sent or self._backlog)

    def send(self, outgoing: Outgoing) -> None:
        """Send a frame, in order, as soon as Redis can be reached."""
        self._backlog.append(outgoing)
        self._wake.set()
        if self._backlog.is_over:
            self.give_up()
            if losers := self._backlog.shrink():
                self._publisher.dropped(losers)

    def shrink(self, user_id: str) -> None:
        """Make room where this user has more waiting than their share."""
        if self._backlog.shrink_user(user_id):
            self._publisher.dropped({user_id})

    def order(self, order: Order) -> None:
        """Send a command, in order, if Redis can be reached now."""
        if not self.connected:
            return order.answered(None)
        self._backlog.append(order)
        self._wake.set()

    def give_up(self) -> None:
        """End a link that does not keep up: that is as bad as none."""
        self._too_slow.set()
        self._lose("too slow")

    async def caught_up(self) -> bool:
        """Wait until all that was published before has been heard. False when the link is down, or goes down meanwhile."""
        link = self._link
        if not (self.connected and link):
            return False
        with anyio.move_on_after(CAUGHT_UP_S) as scope:
            await link.caught_up()
        return self.connected and self._link is link and not scope.cancelled_caught

    async def run(self) -> None:
        """Keep a link up, for ever."""
        pause = FIRST_RECONNECT_S
        while True:
            began = math.inf
            try:
                async with linked(self._pool) as link:
                    await self._begin(link)
                    began = time.monotonic()
                    await self._converse(link)
                    self._lose("too slow")
            except Exception as error:  # of any kind: without this task no connection would hear anything
                self.refused = isinstance(error, REDIS_REFUSALS)
                self._lose(kind_of(error))
                if not is_outage(error):
                    logger.exception("a defect, which is taken for an outage of Redis")
            if time.monotonic() - began >= STEADY_S:
                pause = FIRST_RECONNECT_S
            await anyio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
            pause = min(2 * pause, LONGEST_RECONNECT_S)

    async def _begin(self, link: Link) -> None:
        with anyio.move_on_after(SETTLE_S):
            while self._sent.is_unsure:  # it may have been published, and nothing may overtake it  # noqa: ASYNC110
                await anyio.sleep(LEASE_LOOK_S)
        *_, now, about = await link.ask([*LOADS, PROBE, ("TIME",), ("INFO", "server")])
        self._clock.told(*now)
        run_id = run_id_of(about)
        await link.listen(self._channels)
        await self._publisher.catch_up(link, run_id, run_id == self._run_id)
        # Nothing is awaited from here on, so that each frame is published before all of this or after it.
        if self._run_id not in ("", run_id):
            self._publisher.dropped(self._sent.recall(self._since))
        if losers := self._sent.leave_out():
            self._publisher.left_out(losers)
        self._run_id = run_id
        self._too_slow = anyio.Event()
        self._link = link
        self.connected = True
        self._sent.begin_with(self._publisher.found())
        self._wake.set()
        self.tried.set()
        logger.info("redis is there", extra={"after_seconds": round(time.monotonic() - self._since, 3)})

    async def _converse(self, link: Link) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._speak, link)
            tasks.start_soon(self._listen, link)
            tasks.start_soon(link.watch)
            await self._too_slow.wait()
            tasks.cancel_scope.cancel()

    async def _listen(self, link: Link) -> None:
        async for channel, data in link.messages():
            self._publisher.hear(channel, data)

    async def _speak(self, link: Link) -> None:
        while True:
            with anyio.move_on_after(LEASE_LOOK_S if self._backlog else None):
                await self._wake.wait()
            self._wake = anyio.Event()
            while batch := self._next():
                self._sent.ask(batch)
                self._hear_answers(batch, await link.ask([self._command(each) for each in batch]))
                if sum(each.size for each in batch if isinstance(each, Outgoing)) > BATCH_BYTES:
                    await self._publisher.echoed(self._number)  # Redis cuts off a client that has too much to read

    def _command(self, each: Outgoing | Order) -> Command:
        return each.command if isinstance(each, Order) else self._publisher.command(each, self._clock.at(each.until))

    def _hear_answers(self, batch: list[Outgoing | Order], answers: list[Any]) -> None:
        late: list[Outgoing] = []
        for each, answer in zip(batch, answers, strict=True):
            if isinstance(each, Order):
                each.answered(answer)
            elif isinstance(answer, list):
                self._clock.told(*answer)
                late.append(each)
        self._sent.answered(late)
        if self.connected:  # else they wait with the other frames that were sent
            self._backlog.put_back(late)

    def _next(self) -> list[Outgoing | Order]:
        waiting = self._backlog
        return self._sent.next(COMMANDS_A_BATCH, BATCH_BYTES) or [
            self._last(each) for each in waiting.take(COMMANDS_A_BATCH, BATCH_BYTES, self._publisher.passed_over)
        ]

    def _last(self, each: Outgoing | Order) -> Outgoing | Order:
        if isinstance(each, Outgoing):
            each = self._publisher.anew(each) if each.number < self._number else each
            self._number = each.number
        return each

    def _lose(self, why: str) -> None:
        """Note that the link is lost. Only the first call after a link was up, or the very first, is logged."""
        if self.connected or not self.tried.is_set():
            self._since = time.monotonic()
            logger.warning("redis is away: %s", why)
        was_connected, self.connected = self.connected, False
        for order in [*self._sent.break_off(), *self._backlog.drop_orders()]:
            order.answered(None)
        self.tried.set()
        if was_connected:
            self._publisher.lost()
