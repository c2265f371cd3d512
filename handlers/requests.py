"""What is being done here: how much of it is whose, over sockets and HTTP alike, and when all of it is done."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import anyio

from schemas.errors import ServiceUnavailable, TooManyRequests

RETRY_S = 2  # a guess: by then some of them have been answered, unless their answers are not read
RESTART_S = 1  # another server takes the request at once, and one that restarts alone needs about this long to be back


class Restarting(ServiceUnavailable):
    """This server begins nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is restarting, retry on another connection", RESTART_S)


class Gate:
    """What has been let in is inside until its block ends."""

    def __init__(self) -> None:
        self._inside = 0
        self._shut = False
        self._emptied = anyio.Event()

    def __len__(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def is_shut(self) -> bool:
        """Whether nobody is let in any more."""
        return self._shut

    def shut(self) -> None:
        """Let nobody in any more. Who is inside stays."""
        self._shut = True
        self._tell()

    async def emptied(self) -> None:
        """Wait until it is shut and all have left."""
        await self._emptied.wait()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside until the block ends. Raises Restarting when it is shut."""
        if self._shut:
            raise Restarting
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tell()

    def _tell(self) -> None:
        if self._shut and not self._inside:
            self._emptied.set()


class TooManyOpen(TooManyRequests):
    """Of this user."""

    def __init__(self, most: int) -> None:
        super().__init__("requests", f"{most} of your requests are open, retry in {RETRY_S} seconds", RETRY_S)


class Requests(Gate):
    """Of one user at most `most_per_user` in this process. Each is inside until it has been answered."""

    def __init__(self, most_per_user: int) -> None:
        super().__init__()
        self._most_per_user = most_per_user
        self._open: dict[UUID, int] = {}
        self._of_connections: dict[str, set[anyio.CancelScope]] = {}

    @contextmanager
    def entered_by(self, user_id: UUID) -> Iterator[None]:
        """Be inside as one of the user's until the block ends. Raises Restarting, or TooManyOpen."""
        count = self._open.get(user_id, 0)
        if count >= self._most_per_user:
            raise TooManyOpen(self._most_per_user)
        with self.entered():
            self._open[user_id] = count + 1
            try:
                yield
            finally:
                self._open[user_id] -= 1
                if not self._open[user_id]:
                    del self._open[user_id]

    @contextmanager
    def connected(self, connection_id: str) -> Iterator[None]:
        """The connection is there until the block ends. What only it was to be told is then cancelled."""
        scopes = self._of_connections[connection_id] = set()
        try:
            yield
        finally:
            del self._of_connections[connection_id]
            for scope in scopes:
                scope.cancel()

    @contextmanager
    def needed_by(self, connection_id: str | None) -> Iterator[None]:
        """The block is cancelled, and left, when this connection goes, or has gone. None: whatever goes."""
        if connection_id is None:
            yield
            return
        with anyio.CancelScope() as scope:
            scopes = self._of_connections.get(connection_id)
            if scopes is None:
                scope.cancel()
                scopes = set()
            scopes.add(scope)
            try:
                yield
            finally:
                scopes.discard(scope)
