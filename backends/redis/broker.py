"""The fan-out between nodes, by Redis: one subscription for each process, and a log for each user that every node resumes from.

Connections that are not numbered hear what their own node publishes at once. Numbered ones hear everything as Redis says it
again, in the order of the offsets that it gave. While Redis is away both hear their own node at once, without offsets, and
what the others should hear waits; users to whom frames were told that way then begin a new epoch, in which nobody resumes from
before. What is for one connection of this node stays here: a mark of it goes to Redis for its number. A user who has too much
for Redis to keep up with is served as in an outage, and nobody else is. `redis_link.py` has the connections, `redis_wire.py`
speaks, `redis_log.py` is what Redis does, `redis_losses.py` has what others have not been told.
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
from backends.redis.link import Command, Link, beside
from backends.redis.log import Channels, Logs, Place, Spoken
from backends.redis.losses import Losses
from backends.redis.outgoing import MARK, OVERHEAD, Order, Outgoing
from backends.redis.subscriptions import Ear, Hearing, Listeners, Unheard
from backends.redis.wire import Wire
from backends.resume import ResumeLimits, Resumption
from backends.streams import Streams
from schemas.frames import WsResponseMessage, WsSendMethod

QUEUE_BYTES = 64 * 2**20  # that wait for Redis: two minutes of some hundred streams, once their deltas are joined
LARGEST_BYTES = 16 * 2**20  # of a frame: Redis cuts off whoever has yet to read 32 MB, and all nodes would be
READ_BYTES = 2**16  # that a batch counts for the answer to a READ: so it has a few of them only
USERS_A_TURN = 500
ECHO_S = 1.0  # for which a large frame holds up what follows it, at most
STARTING_S = 2.0  # for which a start waits for Redis: then it serves without
FLUSH_S = 3.0  # for what waits when the server stops

logger = logging.getLogger("threadcast")


class RedisBroker:
    """One of several nodes. Of a user it holds nothing but the connections; all else is in Redis, and expires there."""

    def __init__(self, pool: ConnectionPool, limits: ResumeLimits, bound: int = QUEUE_BYTES) -> None:
        self.id = uuid4().hex[:16]
        self._heard: Callable[[bytes], None] | None = None
        self._channels = Channels.of(pool.connection_kwargs.get("db") or 0)
        self.wire = Wire(pool, self._channels, self, bound)
        self._logs = Logs(self.id, self._channels.frames, limits)
        self._limits = limits
        self.streams = Streams()
        self._hearing = Hearing(self.id, self.streams)
        self._users = self._hearing.users
        self._number = 0  # of the last frame that was published here
        self._unheard = Unheard(bound)
        self._echoed = 0  # the number of the last own frame that came back
        self._losses = Losses(self._channels.losses, self._logs, self.wire)

    @property
    def connected(self) -> bool:
        """Whether the other nodes hear us."""
        return self.wire.connected

    @asynccontextmanager
    async def subscribe(self, user_id: UUID, subscriber: Subscriber, since: str | None) -> AsyncIterator[Resumption | None]:
        key = str(user_id)
        ear = Ear(subscriber, since is not None)
        user = self._hearing.enter(key, ear, is_late=not self.connected)
        try:
            yield None if since is None else await self._resume(key, user, ear, since)
        finally:
            if self._hearing.leave(key, ear):
                self.wire.order(self._logs.touch(key))

    async def _resume(self, key: str, user: Listeners, ear: Ear, since: str) -> Resumption:
        places: list[Place] = []
        before: list[Spoken] = []
        answered = anyio.Event()

        def answer(reply: list[object] | None) -> None:
            if reply and (place := Place.of(reply)):
                self._logs.see(place.offset)
                places.append(place)
                if since and place.whole:
                    self._remember([*reversed(before), *place.entries])
                ear.begin(place.offset, place.fence)  # at once: the next frame may be there already
                if user.seen is None and len(user.ears) == 1:
                    user.seen = place.offset
            answered.set()

        ear.held = []
        if back := self._logs.read_back(key, since):
            self.wire.order(Order(back, lambda reply: before.extend(Spoken.read(reply or [])), READ_BYTES))
        self.wire.order(Order(self._logs.read(key, since), answer, READ_BYTES))
        await answered.wait()
        held, ear.held = ear.held, None
        if not places:  # this epoch is nobody's: from here nobody can resume
            return Resumption(uuid4().hex[:16], user.seen or 0, not since, held)
        return places[0].resumption(since, held)

    def _remember(self, told: list[Spoken]) -> None:
        """A connection that has been told these, and no more yet, is in the middle of the streams that they leave open."""
        streams = Streams()
        for it in told:
            if it.method is WsSendMethod.ALL:
                streams.hear(it.user_id, it.node, it.text, it.sender_id)
        for stream in streams:
            if stream.node != self.id and not stream.is_doubtful:
                self.streams.remember(stream.user_id, stream.chat_id, stream.message_id)

    def publish(self, user_id: UUID, message: WsResponseMessage, sender_id: str | None, lease: Lease | None = None) -> None:
        frame, method = Frame(message), message.send_method
        self._number += 1
        outgoing = Outgoing(self._number, str(user_id), method, sender_id, frame, lease)
        user = self._users.get(outgoing.user_id)
        ears = list(user.audience(method, sender_id)) if user else []
        for ear in ears:
            if not ear.numbered:
                ear.put(frame)
        if method is WsSendMethod.SENDER_ONLY and (sender_id is None or any(not ear.numbered for ear in ears)):
            return
        if method is WsSendMethod.SENDER_ONLY and ears:
            self._tell_numbered(outgoing)
            if self.connected:  # its number is all that Redis can give it
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
        self._unheard.add(outgoing)
        if self._unheard.is_too_much(outgoing.user_id):
            self._give_up(outgoing.user_id)
        elif self._unheard.is_over:
            self.wire.give_up()

    @contextmanager
    def listen(self, heard: Callable[[bytes], None]) -> Iterator[None]:
        self._heard = heard
        try:
            yield
        finally:
            self._heard = None

    def tell(self, notice: bytes) -> bool:
        if self.connected:
            told = self.id.encode() + b" " + notice
            self.wire.order(Order(("PUBLISH", self._channels.notices, told), size=len(told) + OVERHEAD))
        return self.connected

    def cut_user(self, user_id: UUID) -> None:
        if user := self._users.get(str(user_id)):
            for ear in user.ears.values():
                ear.subscriber.cut()

    async def caught_up(self) -> bool:
        return await self.wire.caught_up()

    async def flush(self) -> None:
        with anyio.move_on_after(FLUSH_S):
            while self.connected and (self._unheard.size or not self.wire.is_idle):  # noqa: ASYNC110  only a stop waits here
                await anyio.sleep(0.01)

    def _give_up(self, user_id: str) -> None:
        """Redis does not keep up with this user: to them, and to nobody else, it is as good as away."""
        for outgoing in self._unheard.pop_user(user_id):
            self._tell_here(outgoing)
        self.wire.shrink(user_id)

    def _tell_here(self, outgoing: Outgoing) -> None:
        """To numbered connections, without an offset: they are not to wait for an outage, nor for a lease."""
        if (user := self._users.get(outgoing.user_id)) and user.tell_unnumbered(outgoing):
            self._losses.renew({outgoing.user_id})

    # What the wire calls.

    def command(self, outgoing: Outgoing, until: int | str) -> Command:
        self._losses.begin_anew(outgoing.user_id)  # an earlier one may have been passed over
        return self._logs.speak(outgoing, until)

    def found(self) -> list[Order]:
        self._hearing.late.clear()
        return self._losses.found()

    def lost(self) -> None:
        for outgoing in self._unheard.pop_all():
            self._tell_here(outgoing)

    def passed_over(self, outgoing: Outgoing) -> None:
        waited = self._unheard.pop(outgoing.user_id, outgoing.number)
        if waited and not outgoing.is_void:
            self._tell_here(waited)

    def anew(self, outgoing: Outgoing) -> Outgoing:
        self._number += 1
        return self._unheard.renumber(outgoing, self._number)

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
            return self._hear(Spoken.published(data))
        node, _, notice = data.partition(b" ")
        if node == self.id.encode():
            return
        try:
            if channel == self._channels.losses:
                self._hear_of_loss(notice.decode())
            elif self._heard:
                self._heard(notice)
        except Exception:
            logger.exception("a notice of another node was not understood")

    def _hear_of_loss(self, key: str) -> None:
        if user := self._users.get(key):
            logger.warning("another node has dropped frames: connections are closed", extra={"connections": len(user.ears)})
            self.cut_user(UUID(key))

    def _hear(self, it: Spoken) -> None:
        self._logs.see(it.offset)
        if it.node != self.id:
            return self._hearing.hear(it)
        self._echoed = it.number
        if outgoing := self._unheard.pop(it.user_id, it.number):  # else it was told before
            outgoing.frame.first = outgoing.frame.offset = it.offset
            if user := self._users.get(it.user_id):
                user.tell(outgoing.frame, it, numbered_only=True)

    async def catch_up(self, link: Link, life: str, is_same: bool) -> None:
        self._logs.life = life
        await self._hearing.read_missed(link, self._logs, is_same)

    async def keep(self) -> None:
        """Let nothing expire of users who are there."""
        while True:
            await anyio.sleep(self._limits.seconds / 3)
            for count, key in enumerate(self._hearing.kept(), 1):
                self.wire.order(self._logs.touch(key))
                if count % USERS_A_TURN == 0:
                    await anyio.sleep(0.05)


@asynccontextmanager
async def open_redis_broker(pool: ConnectionPool, limits: ResumeLimits, bound: int = QUEUE_BYTES) -> AsyncIterator[RedisBroker]:
    """A node, until the block ends; then what waits is sent, if it can be. Raises PermissionError when Redis refuses us."""
    broker = RedisBroker(pool, limits, bound)
    async with beside(broker.wire.run, broker.keep):
        with anyio.move_on_after(STARTING_S):
            await broker.wire.tried.wait()
        if broker.wire.refused:
            raise PermissionError
        yield broker
        await broker.flush()
