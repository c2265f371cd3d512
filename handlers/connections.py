"""The open connections of this process, all users': how many there may be, and whom to tell that the server goes."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from handlers.connection import Connection
from handlers.gate import Gate
from schemas.errors import ServiceUnavailable, TooManyRequests

RETRY_S = 10  # a guess: what a client should wait for others to leave


class ServerFull(ServiceUnavailable):
    limit = "connections"

    def __init__(self) -> None:
        super().__init__(f"the server has all the connections that it may have, retry in {RETRY_S} seconds")


class TooManyConnections(TooManyRequests):
    """Of this user."""

    def __init__(self) -> None:
        super().__init__("connections_per_user", "too many connections")


class Connections:
    """At most `most` in all, and `most_per_user` of one user."""

    def __init__(self, most: int, most_per_user: int) -> None:
        self.gate = Gate()
        self._most = most
        self._most_per_user = most_per_user
        self._open: set[Connection] = set()
        self._of_user: Counter[UUID] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    @property
    def outbox_bytes(self) -> int:
        """What waits in all their outboxes."""
        return sum(connection.waiting for connection in self._open)

    @contextmanager
    def entered(self, connection: Connection) -> Iterator[None]:
        """The connection is one of them until the block ends. Raises ServiceUnavailable, or TooManyConnections."""
        user_id = connection.user.id
        with self.gate.entered():  # first of all: who is told to come back elsewhere is not told that there are too many
            if len(self._open) >= self._most:
                raise ServerFull
            if self._of_user[user_id] >= self._most_per_user:
                raise TooManyConnections
            self._open.add(connection)
            self._of_user[user_id] += 1
            try:
                yield
            finally:
                self._open.remove(connection)
                self._of_user[user_id] -= 1
                if not self._of_user[user_id]:
                    del self._of_user[user_id]
