"""The fan-out between nodes, by Redis: one subscription for each process, and a log for each user that every node resumes from.

Connections that are not numbered hear at once what their own node publishes. Numbered ones hear everything as Redis publishes
it, in the order of its offsets. While Redis is away both hear their own node at once, without offsets, and what the other nodes
should hear waits. The users who were told something that way then begin a new epoch, and nobody resumes from before it. An
answer to one connection stays on this node: only a mark goes to Redis, for its number. A user with too much for Redis is served
as in an outage, and no other user is. `link.py` has the connections, `wire.py` sends and hears, `log.py` has Redis' side, and
`losses.py` what other nodes have not been told.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import anyio
from redis.asyncio import ConnectionPool

from backends.broker import Subscriber
from backends.frame import Frame
from backends.lease import Lease
from backends.redis.link import Command, Link
from backends.redis.log import Channels, Logs, PublishedFrame
from backends.redis.losses import Losses
from backends.redis.outgoing import MARK, OVERHEAD, Order, Outgoing
from backends.redis.resuming import Resuming
from backends.redis.subscriptions import Registry, Subscription, Unechoed
from backends.redis.wire import Wire
from backends.resume import ResumeLimits, Resumption
from backends.streams import Streams
from schemas.frames import WsSendMethod

LARGEST_BYTES = 16 * 2**20  # the largest frame: Redis cuts off a client that has 32 MB to read, and that would be every node
ECHO_S = 1.0  # the most seconds for which a large frame holds up what follows it
BROKER_FLUSH_S = 3.0  # seconds, when the server stops, to send what waits

logger = logging.getLogger("threadcast")


class RedisBroker:
    """One of several nodes. Of a user it holds nothing but the connections; all else is in Redis, and expires there."""

    def __init__(self, pool: ConnectionPool, limits: ResumeLimits, bound: int) -> None:
        self.id = uuid4().hex[:16]
        self._listeners: list[Callable[[bytes], None]] = []
        self._channels = Channels.of(pool.connection_kwargs.get("db") or 0)
        self.wire = Wire(pool, self._channels, self, bound)
        self._logs = Logs(self.id, self._channels.frames, limits)
        self.streams = Streams()
        self._registry = Registry(self.id, self.streams)
        self._users = self._registry.users
        self._number = 0  # of the last frame that was published here
        self._unechoed = Unechoed(bound)
        self._echoed = 0  # the number of the last frame of this node that came back
        self._resuming = Resuming(self.id, self._logs, self.wire, self.streams)
        self._losses = Losses(self._channels.losses, self._logs, self.wire)

    @property
    def connected(self) -> bool:
        return self.wire.connected

    @asynccontextmanager
    async def subscribe(self, user_id: UUID, subscriber: Subscriber, since: str | None) -> AsyncIterator[Resumption | None]:
        key = str(user_id)
        subscription = Subscription(subscriber, since is not None)
        user = self._registry.enter(key, subscription, is_late=not self.connected)
        try:
            yield None if since is None else await self._resuming.resume(key, user, subscription, since)
        finally:
            if self._registry.leave(key, subscription):
                self.touch(key)

    def publish(self, user_id: UUID, frame: Frame, sender_id: str | None, lease: Lease | None = None) -> None:
        method, frame.asked_by = frame.method, sender_id
        self._number += 1
        outgoing = Outgoing(self._number, str(user_id), method, sender_id, frame, lease)
        user = self._users.get(outgoing.user_id)
        subscriptions = list(user.audience(method, sender_id)) if user else []
        for each in subscriptions:
            if not each.numbered:
                each.put(frame)
        if method is WsSendMethod.SENDER_ONLY and (sender_id is None or any(not each.numbered for each in subscriptions)):
            return
        if method is WsSendMethod.SENDER_ONLY and subscriptions:
            self._tell_numbered(outgoing)
            if self.connected:  # Redis gives it its number, and needs no more of it
                self.wire.send(replace(outgoing, frame=MARK))
        elif frame.size > LARGEST_BYTES:
            self._tell_numbered(outgoing)
            if self.connected:
                self._give_up(outgoing.user_id)
            self._losses.cut({outgoing.user_id})
        else:
            self._tell_numbered(outgoing)
            self.wire.send(outgoing)

    def _tell_numbered(self, outgoing: Outgoing) -> None:
        """Tell numbered connections here: when it has come back, or at once where Redis does not keep up."""
        if not self.connected:
            return self._tell_here(outgoing)
        self._unechoed.add(outgoing)
        if self._unechoed.is_too_much(outgoing.user_id):
            self._give_up(outgoing.user_id)
        elif self._unechoed.is_over:
            self.wire.give_up()

    @contextmanager
    def listen(self, heard: Callable[[bytes], None]) -> Iterator[None]:
        self._listeners.append(heard)
        try:
            yield
        finally:
            self._listeners.remove(heard)

    def tell(self, notice: bytes) -> bool:
        if self.connected:
            told = self.id.encode() + b" " + notice
            self.wire.order(Order(("PUBLISH", self._channels.notices, told), size=len(told) + OVERHEAD))
        return self.connected

    def cut_user(self, user_id: UUID) -> None:
        if user := self._users.get(str(user_id)):
            for subscription in user.subscriptions.values():
                subscription.subscriber.cut()

    async def caught_up(self) -> bool:
        return await self.wire.caught_up()

    async def flush(self) -> None:
        with anyio.move_on_after(BROKER_FLUSH_S):
            while self.connected and (self._unechoed.size or not self.wire.is_idle):  # noqa: ASYNC110  only a stop waits here
                await anyio.sleep(0.01)

    def _give_up(self, user_id: str) -> None:
        """Redis does not keep up with this user: to them, and to nobody else, it is as good as away."""
        for outgoing in self._unechoed.pop_user(user_id):
            self._tell_here(outgoing)
        self.wire.shrink(user_id)

    def _tell_here(self, outgoing: Outgoing) -> None:
        """Send to numbered connections here without an offset, since they are not to wait for an outage or for a lease."""
        if (user := self._users.get(outgoing.user_id)) and user.tell_unnumbered(outgoing):
            self._losses.renew({outgoing.user_id})

    # What the wire calls
    def command(self, outgoing: Outgoing, until: int | str) -> Command:
        self._losses.begin_anew(outgoing.user_id)  # an earlier one may have been passed over
        return self._logs.publish_command(outgoing, until)

    def found(self) -> list[Order]:
        self._registry.late.clear()
        return self._losses.found()

    def lost(self) -> None:
        for outgoing in self._unechoed.pop_all():
            self._tell_here(outgoing)

    def passed_over(self, outgoing: Outgoing) -> None:
        waited = self._unechoed.pop(outgoing.user_id, outgoing.number)
        if waited and not outgoing.is_void:
            self._tell_here(waited)

    def anew(self, outgoing: Outgoing) -> Outgoing:
        self._number += 1
        return self._unechoed.renumber(outgoing, self._number)

    def dropped(self, user_ids: set[str]) -> None:
        self._losses.cut(user_ids)

    def left_out(self, user_ids: set[str]) -> None:
        self._losses.renew(user_ids)

    async def echoed(self, number: int) -> None:
        with anyio.move_on_after(ECHO_S):
            while self._echoed < number:  # noqa: ASYNC110  only a large frame is waited for
                await anyio.sleep(0.002)

    def hear(self, channel: bytes, data: bytes) -> None:
        if channel == self._channels.frames:
            return self._hear(PublishedFrame.published(data))
        node, _, notice = data.partition(b" ")
        if node == self.id.encode():
            return
        try:
            if channel == self._channels.losses:
                self._hear_of_loss(notice.decode())
            else:
                for heard in self._listeners:
                    heard(notice)
        except Exception:
            logger.exception("a notice of another node was not understood")

    def _hear_of_loss(self, key: str) -> None:
        if user := self._users.get(key):
            facts = {"connections": len(user.subscriptions)}
            logger.warning("another node has dropped frames: connections are closed", extra=facts)
            self.cut_user(UUID(key))

    def _hear(self, it: PublishedFrame) -> None:
        self._logs.see(it.offset)
        if it.node != self.id:
            return self._registry.hear(it)
        self._echoed = it.number
        if outgoing := self._unechoed.pop(it.user_id, it.number):  # else it was told before
            outgoing.frame.first = outgoing.frame.offset = it.offset
            if user := self._users.get(it.user_id):
                user.tell(outgoing.frame, it, numbered_only=True)

    async def catch_up(self, link: Link, run_id: str, is_same: bool) -> None:
        self._logs.run_id = run_id
        await self._registry.read_missed(link, self._logs, is_same)

    def kept(self) -> list[str]:
        """The users here whose log is not to expire."""
        return self._registry.kept()

    def touch(self, key: str) -> None:
        """Let this user's log expire as if it had been used now."""
        self.wire.order(self._logs.touch(key))
