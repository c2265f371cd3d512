"""Who hears what: the fan-out's interface, and the embedded implementation, a table in memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from uuid import UUID

from schemas.frames import WsSendMethod


class Subscriber(Protocol):
    """One open connection, as the broker sees it."""

    @property
    def id(self) -> str:
        """Tells connections apart, over all nodes."""

    def put(self, frame: str) -> None:
        """Take a frame for sending. Returns at once and never raises: a bad reader is its own problem only."""


class Broker(Protocol):
    """Carries encoded frames to the connections of a user."""

    def subscribe(self, user_id: UUID, subscriber: Subscriber) -> AbstractContextManager[None]:
        """The subscriber hears the user's frames until the block ends."""

    def publish(self, user_id: UUID, frame: str, method: WsSendMethod, sender_id: str | None) -> None:
        """Hand the frame over, in order, without waiting. `sender_id` is the connection that asked, if one did."""


class MemoryBroker:
    """One process' connections. Holds nothing of a user who has none open."""

    def __init__(self) -> None:
        self._subscribers: dict[UUID, dict[str, Subscriber]] = {}

    @contextmanager
    def subscribe(self, user_id: UUID, subscriber: Subscriber) -> Iterator[None]:
        self._subscribers.setdefault(user_id, {})[subscriber.id] = subscriber
        try:
            yield
        finally:
            mine = self._subscribers[user_id]
            del mine[subscriber.id]
            if not mine:
                del self._subscribers[user_id]

    def publish(self, user_id: UUID, frame: str, method: WsSendMethod, sender_id: str | None) -> None:
        # put() neither awaits nor calls back, so the table cannot change under this loop.
        for id, subscriber in self._subscribers.get(user_id, {}).items():
            if method is WsSendMethod.ALL or (id == sender_id) is (method is WsSendMethod.SENDER_ONLY):
                subscriber.put(frame)
