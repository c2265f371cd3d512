"""The fan-out: which connections get a message. The interface, and the embedded implementation, a table in memory."""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import UNSET

from backends.frame import Frame
from backends.lease import Lease
from backends.resume import ResumeLimits, ResumeLog, Resumption
from backends.streams import Streams
from schemas.errors import WsError
from schemas.events import WsEvent
from schemas.frames import Payload, SentBy, WsResponseMessage, WsRoutes, WsSendMethod
from schemas.users import Sender

T = TypeVar("T")


class Subscriber(Protocol):
    """One open connection, as the broker sees it."""

    @property
    def id(self) -> str:
        """Tells connections apart, over all nodes."""

    def put(self, frame: Frame) -> None:
        """Take a frame for sending. Returns at once and never raises: a bad reader is its own problem only."""

    def cut(self) -> None:
        """Frames that it should have heard are lost: close it, so that it comes back and gets what there is.

        What is put afterwards is not sent.
        """


class Broker(Protocol):
    """Carries messages to the connections of a user, each encoded once, and notices from node to node."""

    streams: Streams  # streams whose beginning connections here have heard

    @property
    def connected(self) -> bool:
        """Whether this node is connected to the other nodes. True if there can be none."""

    def subscribe(
        self, user_id: UUID, subscriber: Subscriber, since: str | None
    ) -> AbstractAsyncContextManager[Resumption | None]:
        """The subscriber hears what the user is told until the block ends.

        With `since` the block gets what came before, up to where the subscriber begins to hear, without gap or overlap.
        This holds only if the block uses it before it awaits anything.
        """

    def publish(self, user_id: UUID, frame: Frame, sender_id: str | None, lease: Lease | None = None) -> None:
        """Hand the frame over, in order, without waiting. `sender_id` is the connection that asked, if one did.

        What waits for the other nodes goes to them while its `lease`, if it has one, is sure; never once that is lost.
        """

    def listen(self, heard: Callable[[bytes], None]) -> AbstractContextManager[None]:
        """Call `heard` with each notice of another node until the block ends."""

    def tell(self, notice: bytes) -> bool:
        """Have all other nodes hear this, in order. False when it cannot be sent now; and it may get lost on its way."""

    async def flush(self) -> None:
        """Wait, for some seconds at most, until what was published here has been put here, and sent on."""

    async def caught_up(self) -> bool:
        """Wait until all has been put here that other nodes had published when this was called. False if that is not known."""

    def cut_user(self, user_id: UUID) -> None:
        """Cut the user's connections here."""


def send_ws_message(
    broker: Broker,
    sender: Sender,
    route: WsRoutes,
    event: WsEvent,
    payload: Payload,
    method: WsSendMethod = WsSendMethod.ALL,
    lease: Lease | None = None,
    about: UUID | None = None,
) -> None:
    """Send an answer to the sender's user, by default to all of their connections.

    `about`: the message that a chat is told for, if it may be another than its newest.
    """
    frame = Frame(answer_to(sender, route, event, payload, None, method))
    frame.about = about
    send_frame(broker, sender, frame, lease)


def send_error_message(
    broker: Broker,
    sender: Sender,
    route: WsRoutes | str,
    event: WsEvent | str,
    error: WsError,
    method: WsSendMethod = WsSendMethod.SENDER_ONLY,
) -> None:
    """Send a refusal or a failure, by default only to the connection that asked."""
    send_frame(broker, sender, Frame(answer_to(sender, route, event, None, error, method)))


def send_frame(broker: Broker, sender: Sender, frame: Frame, lease: Lease | None = None) -> None:
    """Send a frame that answers the sender."""
    broker.publish(sender.user.id, frame, sender.connection_id, lease)


def answer_to(
    sender: Sender,
    route: WsRoutes | str,
    event: WsEvent | str,
    payload: Payload | None,
    error: WsError | None,
    method: WsSendMethod,
) -> WsResponseMessage:
    """A message that answers the sender."""
    request_id = UNSET if sender.request_id is None else sender.request_id
    return WsResponseMessage(route, event, payload, sent_by(sender), error, method, request_id)


def sent_by(sender: Sender) -> SentBy:
    """The sender as it stands in a frame."""
    return SentBy(sender.user.id, sender.user.name)


def audience(connections: Mapping[str, T], method: WsSendMethod, sender_id: str | None) -> Iterable[T]:
    """The connections that a frame is for, out of a user's connections by their ids."""
    if method is WsSendMethod.ALL:
        return connections.values()
    return [each for id, each in connections.items() if (id == sender_id) is (method is WsSendMethod.SENDER_ONLY)]


class _User:
    """One user's connections, and what those that can resume may have missed."""

    def __init__(self) -> None:
        self.subscribers: dict[str, Subscriber] = {}
        self.log: ResumeLog | None = None  # from the first connection that can resume


class MemoryBroker:
    """One process' connections. Of a user who has gone it holds the log, for as long as the limits say, and nothing else."""

    def __init__(self, limits: ResumeLimits) -> None:
        self._limits = limits
        self._users: dict[UUID, _User] = {}
        self._gone: dict[UUID, float] = {}  # when each left, the earliest first
        self.streams = Streams()

    @property
    def connected(self) -> bool:
        return True

    async def flush(self) -> None:
        pass

    async def caught_up(self) -> bool:
        return True

    def cut_user(self, user_id: UUID) -> None:
        for subscriber in list(self._users[user_id].subscribers.values()) if user_id in self._users else ():
            subscriber.cut()

    @asynccontextmanager
    async def subscribe(self, user_id: UUID, subscriber: Subscriber, since: str | None) -> AsyncIterator[Resumption | None]:
        self._forget()
        self._gone.pop(user_id, None)
        user = self._users.setdefault(user_id, _User())
        if since is not None and user.log is None:
            user.log = ResumeLog(self._limits)
        user.subscribers[subscriber.id] = subscriber
        try:
            yield user.log.resume(since) if user.log and since is not None else None
        finally:
            del user.subscribers[subscriber.id]
            if not user.subscribers:
                self.streams.forget(str(user_id))
            if not user.subscribers and user.log:
                self._gone[user_id] = time.monotonic()
            elif not user.subscribers:
                del self._users[user_id]

    def publish(self, user_id: UUID, frame: Frame, sender_id: str | None, lease: Lease | None = None) -> None:
        self._forget()
        frame.asked_by = sender_id
        user = self._users.get(user_id)
        if user is None:
            return
        method = frame.method
        if user.log:
            user.log.number(frame)
            if method is not WsSendMethod.SENDER_ONLY:  # an answer to one connection is of no use to another
                user.log.keep(frame)
        # put() neither awaits nor calls back, so the table cannot change under this loop.
        for subscriber in audience(user.subscribers, method, sender_id):
            subscriber.put(frame)

    def listen(self, heard: Callable[[bytes], None]) -> AbstractContextManager[None]:
        return nullcontext()  # there are no other nodes

    def tell(self, notice: bytes) -> bool:
        return True  # there are no other nodes

    def _forget(self) -> None:
        """Drop the logs of those who have been gone for too long: whenever something happens, so that nothing can pile up."""
        deadline = time.monotonic() - self._limits.seconds
        while self._gone and (longest := next(iter(self._gone))) and self._gone[longest] < deadline:
            del self._gone[longest]
            del self._users[longest]
