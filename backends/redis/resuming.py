"""Where a connection that comes back begins to hear: what it has missed comes from the user's log in Redis."""

from uuid import uuid4

import anyio

from backends.redis.log import Logs, Place, PublishedFrame
from backends.redis.outgoing import Order
from backends.redis.subscriptions import Subscription, Subscriptions
from backends.redis.wire import Wire
from backends.resume import Resumption
from backends.streams import Streams
from schemas.frames import WsSendMethod

READ_BYTES = 2**16  # what a READ counts in a batch, so that a batch has only a few of them


class Resuming:
    """The resuming of connections to one node."""

    def __init__(self, node: str, logs: Logs, wire: Wire, streams: Streams) -> None:
        self._node = node
        self._logs = logs
        self._wire = wire
        self._streams = streams

    async def resume(self, key: str, user: Subscriptions, subscription: Subscription, since: str) -> Resumption:
        """Ask Redis for all that came after `since`, and have the subscription go on from there, without gap or overlap."""
        places: list[Place] = []
        before: list[PublishedFrame] = []
        answered = anyio.Event()

        def answer(reply: list[object] | None) -> None:
            if reply and (place := Place.of(reply)):
                self._logs.see(place.offset)
                places.append(place)
                if since and place.whole:
                    self._remember([*reversed(before), *place.entries])
                subscription.begin(place.offset, place.fence)  # at once, since the next frame may be here already
                if user.seen is None and len(user.subscriptions) == 1:
                    user.seen = place.offset
            answered.set()

        subscription.held = []
        if back := self._logs.read_back(key, since):
            self._wire.order(Order(back, lambda reply: before.extend(PublishedFrame.read(reply or [])), READ_BYTES))
        self._wire.order(Order(self._logs.read(key, since), answer, READ_BYTES))
        await answered.wait()
        held, subscription.held = subscription.held, None
        if not places:  # an epoch without a log, from which nobody can resume
            return Resumption(uuid4().hex[:16], user.seen or 0, not since, held)
        return places[0].resumption(since, held)

    def _remember(self, told: list[PublishedFrame]) -> None:
        """A connection that has been told these, and no more yet, is in the middle of the streams that they leave open."""
        streams = Streams()
        for it in told:
            if it.method is WsSendMethod.ALL:
                streams.hear(it.user_id, it.node, it.text, it.sender_id)
        for stream in streams:
            if stream.node != self._node and not stream.is_doubtful:
                self._streams.remember(stream.user_id, stream.chat_id, stream.message_id)
