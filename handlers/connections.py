"""The open connections of this process, all users': how many there may be, and whom to tell that the server goes."""

from collections import Counter
from collections.abc import Callable, Iterator
from uuid import UUID

import anyio

from backends.limits import Quota
from handlers.connection import GONE, Connection
from handlers.crowding import end_silent
from handlers.outboxes import Outboxes
from handlers.tasks import Gate
from schemas.errors import ServiceUnavailable, TooManyRequests

PLACE_S = 3.0  # seconds for a place to become free: a dead connection must miss a ping, and Redis must count its end
PLACE_LOOK_S = 0.2  # seconds between looks for one
PLACE_RETRY_S = 10  # a guess: by then other connections may have left


class ServerFull(ServiceUnavailable):
    limit = "connections"

    def __init__(self) -> None:
        super().__init__(
            f"the server has all the connections that it may have, retry in {PLACE_RETRY_S} seconds", PLACE_RETRY_S
        )


class TooManyConnections(TooManyRequests):
    """This user has as many connections as they may have."""

    def __init__(self) -> None:
        super().__init__("connections_per_user", "too many connections", PLACE_RETRY_S)


class Connections:
    """At most `most` in all, and `most_per_user` of one user, over all processes that share the quota."""

    def __init__(self, most: int, most_per_user: int, quota: Quota, outboxes: Outboxes) -> None:
        self.gate = Gate()
        self.outboxes = outboxes
        self._most = most
        self._most_per_user = most_per_user
        self._open: set[Connection] = set()
        self._newcomers: Counter[UUID] = Counter()  # connections that wait for a place, by user
        self._quota = quota

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, connection: Connection) -> bool:
        return connection in self._open

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._open)

    async def enter(self, connection: Connection, tell_others: Callable[[], bool]) -> None:
        """The connection is one of them until it leaves. Raises ServiceUnavailable, or TooManyConnections.

        If the user then has one too many, dead connections make room, on this node and on others: `tell_others` has the other
        nodes look, and returns whether there are other nodes.
        """
        self.gate.enter()  # first, since a server that restarts says so, and not that there are too many connections
        try:
            if len(self._open) >= self._most:
                raise ServerFull
            self._open.add(connection)  # before any await, so that others count it
            connection.share.members.add(connection)
            if not await self._enter(connection) and not await self._wait_for_place(connection, tell_others):
                raise TooManyConnections
        except BaseException:
            self._forget(connection)
            raise

    def leave(self, connection: Connection) -> None:
        """Remove a connection that has ended."""
        self._quota.leave(connection.user.id, connection.id)
        self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        connection.close(GONE)  # nothing waits for it any longer
        connection.share.members.discard(connection)
        self._open.discard(connection)
        self.gate.leave()

    async def _enter(self, connection: Connection) -> bool:
        return await self._quota.enter(connection.user.id, connection.id, self._most_per_user)

    async def _wait_for_place(self, connection: Connection, tell_others: Callable[[], bool]) -> bool:
        user_id = connection.user.id
        if self._newcomers[user_id] >= self._most_per_user:  # no more could find a place
            return False
        self._newcomers[user_id] += 1
        try:
            with anyio.move_on_after(PLACE_S):
                someone_goes = tell_others() | await end_silent(connection.share)
                while True:  # a connection may leave at any time, on any node, and another newcomer may be quicker
                    if await self._enter(connection):
                        return True
                    if not someone_goes:
                        return False
                    await anyio.sleep(PLACE_LOOK_S)
            return False
        finally:
            self._newcomers[user_id] -= 1
            self._newcomers += Counter()  # without those that are zero
