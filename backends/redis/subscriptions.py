"""The registry of this node's subscriptions, and how far each has come. Each gets what Redis publishes once and in order."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from backends.broker import Subscriber, audience
from backends.frame import Frame
from backends.redis.backlog import USER_SHARE
from backends.redis.link import Link
from backends.redis.log import Logs, Place, PublishedFrame
from backends.redis.outgoing import Outgoing
from backends.streams import Streams
from schemas.frames import WsSendMethod

USERS_A_READ = 16

logger = logging.getLogger("threadcast")


class Subscription:
    """A connection. A numbered one has got everything up to offset `floor`, so also its own node's frames up to `own`."""

    __slots__ = ("floor", "held", "numbered", "own", "subscriber")

    def __init__(self, subscriber: Subscriber, numbered: bool) -> None:
        self.subscriber = subscriber
        self.numbered = numbered
        self.floor = 0
        self.own = 0
        self.held: list[Frame] | None = None  # frames that come while the place where it begins is looked up

    def put(self, frame: Frame) -> None:
        """Let it hear."""
        if self.held is None:
            self.subscriber.put(frame)
        else:
            self.held.append(frame)

    def begin(self, floor: int, own: int) -> None:
        """Begin after this offset: what came before is sent in another way."""
        self.floor, self.own = floor, own
        self.held = [frame for frame in self.held or () if frame.offset > floor]


class Subscriptions:
    """One user's connections.

    `seen`: up to this offset, at least, each of them has heard all. `caught`: up to this one they were told from the log.
    """

    __slots__ = ("caught", "seen", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.seen: int | None = None
        self.caught = 0

    def audience(self, method: WsSendMethod, sender_id: str | None) -> Iterable[Subscription]:
        """The subscriptions that a frame is for."""
        return audience(self.subscriptions, method, sender_id)

    def tell_unnumbered(self, outgoing: Outgoing) -> bool:
        """Send a frame that has no offset yet. Returns whether some connection should have had it with one."""
        subscriptions = [
            subscription
            for subscription in self.audience(outgoing.method, outgoing.sender_id)
            if subscription.numbered and subscription.own < outgoing.number
        ]
        for subscription in subscriptions:
            subscription.put(outgoing.frame)
        return bool(subscriptions) and outgoing.method is not WsSendMethod.SENDER_ONLY

    def tell(self, frame: Frame, it: PublishedFrame, *, numbered_only: bool) -> None:
        """A frame has come with its offset. With `numbered_only` the others have heard it already."""
        self.seen = max(self.seen or 0, it.offset)
        for subscription in self.audience(it.method, it.sender_id):
            if it.offset > subscription.floor if subscription.numbered else not numbered_only:
                subscription.put(frame)


class Unechoed:
    """Frames that this node has published and Redis has not echoed yet, in order. Numbered connections wait for the echo."""

    def __init__(self, bound: int) -> None:
        self.size = 0  # bytes
        self._bound = bound
        self._waiting: dict[str, dict[int, Outgoing]] = {}
        self._sizes = Counter[str]()

    @property
    def is_over(self) -> bool:
        """Whether Redis has yet to echo more than `bound` bytes of this node, so that it does not keep up."""
        return self.size > self._bound

    def add(self, outgoing: Outgoing) -> None:
        """Wait for it."""
        self._waiting.setdefault(outgoing.user_id, {})[outgoing.number] = outgoing
        self._sizes[outgoing.user_id] += outgoing.size
        self.size += outgoing.size

    def is_too_much(self, user_id: str) -> bool:
        """Whether more of this user waits than their share of `bound`, not counting the first frame: it may have any size."""
        if self._sizes[user_id] <= self._bound // USER_SHARE:
            return False
        first = next(iter(self._waiting[user_id].values()))
        return self._sizes[user_id] - first.size > self._bound // USER_SHARE

    def pop(self, user_id: str, number: int) -> Outgoing | None:
        """Wait for it no longer. None: nobody does."""
        waiting = self._waiting.get(user_id)
        outgoing = waiting.pop(number, None) if waiting else None
        if outgoing:
            self.size -= outgoing.size
            self._sizes[user_id] -= outgoing.size
            if not waiting:
                del self._waiting[user_id], self._sizes[user_id]
        return outgoing

    def renumber(self, outgoing: Outgoing, number: int) -> Outgoing:
        """The frame as the last of all. If connections waited for it, they still do."""
        if waited := self.pop(outgoing.user_id, outgoing.number):
            self.add(replace(waited, number=number))
        return replace(outgoing, number=number)

    def pop_user(self, user_id: str) -> list[Outgoing]:
        """Wait for no frame of this user any longer."""
        waited = list(self._waiting.pop(user_id, {}).values())
        self.size -= self._sizes.pop(user_id, 0)
        return waited

    def pop_all(self) -> list[Outgoing]:
        """Wait for no frame any longer."""
        return [outgoing for user_id in list(self._waiting) for outgoing in self.pop_user(user_id)]


class Registry:
    """All users with connections here, and the number of the last frame that was heard of each other node.

    `late`: who came while there was no link. It is not known what they have heard elsewhere.
    """

    def __init__(self, node: str, streams: Streams) -> None:
        self.users: dict[str, Subscriptions] = {}
        self.late: set[Subscription] = set()
        self._node = node
        self._streams = streams
        self._numbers: dict[str, int] = {}

    def enter(self, key: str, subscription: Subscription, *, is_late: bool) -> Subscriptions:
        """The user's connections, with this one."""
        user = self.users.setdefault(key, Subscriptions())
        user.subscriptions[subscription.subscriber.id] = subscription
        if is_late:
            self.late.add(subscription)
        return user

    def leave(self, key: str, subscription: Subscription) -> bool:
        """Remove a subscription. Returns whether it was the user's last."""
        user = self.users[key]
        del user.subscriptions[subscription.subscriber.id]
        self.late.discard(subscription)
        if not user.subscriptions:
            del self.users[key]
            self._streams.forget(key)
        return not user.subscriptions

    def kept(self) -> list[str]:
        """The users here whose log is needed: a numbered connection may come back and go on from its place."""
        return [
            key
            for key, user in self.users.items()
            if user.seen is not None or any(subscription.numbered for subscription in user.subscriptions.values())
        ]

    def hear(self, it: PublishedFrame) -> None:
        """Take a frame that another node has published. One that was heard before is passed over, whatever its offset."""
        if it.number <= self._numbers.get(it.node, 0):
            return
        self._numbers[it.node] = it.number
        user = self.users.get(it.user_id)
        if user and it.offset > user.caught:
            self._tell(user, it)

    def _tell(self, user: Subscriptions, it: PublishedFrame) -> None:
        if it.method is not WsSendMethod.ALL or self._streams.hear(it.user_id, it.node, it.text, it.sender_id):
            user.tell(it.frame(), it, numbered_only=False)
        else:
            user.seen = max(user.seen or 0, it.offset)

    async def read_missed(self, link: Link, logs: Logs, is_same_run: bool) -> None:
        """Tell what others have said while there was no link. Who came meanwhile is cut, and who has lost frames.

        Another Redis knows nothing of before; but the nodes tell it again what they have told lately.
        """
        self._streams.reconnect(is_same_run)
        done: set[Subscriptions] = set()
        while batch := [(key, user) for key, user in self.users.items() if user not in done][:USERS_A_READ]:
            answers = await link.ask([logs.read_all(key, user.seen or 0) for key, user in batch])
            for (_, user), answer in zip(batch, answers, strict=True):
                done.add(user)
                if place := Place.of(answer):
                    logs.see(place.offset)
                    self._catch_up(user, place, is_same_run)

    def _catch_up(self, user: Subscriptions, place: Place, is_same_run: bool) -> None:
        news = [it for it in place.entries if it.node != self._node and it.number > self._numbers.get(it.node, 0)]
        lacking = (is_same_run and user.seen is not None and not place.whole) or place.lost > (user.seen or 0)
        cut = [subscription for subscription in user.subscriptions.values() if lacking or (news and subscription in self.late)]
        if cut:
            logger.warning("frames were missed: connections are closed", extra={"connections": len(cut)})
        for subscription in cut:
            subscription.subscriber.cut()
        for it in news:
            self._tell(user, it)
        user.seen = user.caught = place.offset
