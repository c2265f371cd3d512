"""Work in progress: tasks that outlive whoever starts them, and requests, which are inside a gate until they are done."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVarTuple
from uuid import UUID

import anyio

from schemas.errors import ServiceUnavailable, TooManyRequests

LAST_WORDS_S = 5.5  # seconds to store, when cancelled: a little more than `run_agent.LET_GO_S` + `answer_post.SAVE_TIMEOUT_S`
REQUEST_RETRY_S = 2  # a guess: by then some have been answered, if their answers are read
RESTART_S = 1  # a single server needs about as long to restart; if there are others, they take the request at once

Arguments = TypeVarTuple("Arguments")

logger = logging.getLogger("threadcast")


class Tasks:
    """Independent tasks of this server. Made by `open_tasks`.

    A task group would cancel all of its tasks when one of them raises, so each task here stands alone.
    """

    def __init__(self) -> None:
        self._scopes: dict[asyncio.Task[None], anyio.CancelScope | None] = {}  # None until the task has begun
        self._have_ended = False

    def __len__(self) -> int:
        return len(self._scopes)

    def start_soon(self, work: Callable[[*Arguments], Awaitable[object]], *arguments: *Arguments) -> None:
        """Run `work(*arguments)` in a task of its own, until it ends or the server does. Timers may call this, too."""
        task = asyncio.create_task(self._alone(work, *arguments))
        self._scopes[task] = None
        task.add_done_callback(self._scopes.pop)

    async def end(self) -> None:
        """Cancel all of them, and wait for what they still store. The process ends without those that do not heed it."""
        self._have_ended = True
        deadline = anyio.current_time() + LAST_WORDS_S
        while self._scopes and (left := deadline - anyio.current_time()) > 0:
            for scope in self._scopes.values():
                if scope:
                    scope.cancel()
            await asyncio.wait(list(self._scopes), timeout=left)
        if self._scopes:
            logger.error("tasks are left behind", extra={"tasks": len(self._scopes)})

    async def _alone(self, work: Callable[[*Arguments], Awaitable[object]], *arguments: *Arguments) -> None:
        task = asyncio.current_task()
        try:
            with anyio.CancelScope() as scope:
                if task:
                    self._scopes[task] = scope
                if self._have_ended:
                    scope.cancel()
                await work(*arguments)
        except BaseException:  # SystemExit would end the event loop, and with it everybody's runs
            if task and task.cancelling():  # the event loop ends
                raise
            logger.exception("a task has failed")


@asynccontextmanager
async def open_tasks() -> AsyncIterator[Tasks]:
    """Tasks that end with the block."""
    tasks = Tasks()
    try:
        yield tasks
    finally:
        with anyio.CancelScope(shield=True):
            await tasks.end()


class Restarting(ServiceUnavailable):
    """This server begins nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is restarting, retry on another connection", RESTART_S)


class Gate:
    """A gate. Whoever was let in is inside until their block ends."""

    def __init__(self) -> None:
        self._inside = 0
        self._shut = False
        self._emptied = anyio.Event()

    def __len__(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def is_shut(self) -> bool:
        """Whether the gate lets nobody in any more."""
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
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Be inside until `leave`. Raises Restarting when it is shut."""
        if self._shut:
            raise Restarting
        self._inside += 1

    def leave(self) -> None:
        """Be inside no more."""
        self._inside -= 1
        self._tell()

    def _tell(self) -> None:
        if self._shut and not self._inside:
            self._emptied.set()


class TooManyOpen(TooManyRequests):
    """This user has as many open requests as they may have."""

    def __init__(self, most: int) -> None:
        super().__init__("requests", f"{most} of your requests are open, retry in {REQUEST_RETRY_S} seconds", REQUEST_RETRY_S)


class TooManyPosts(TooManyRequests):
    """This user has posted as often as they may for now."""

    def __init__(self, wait: int) -> None:
        super().__init__("posts", f"too many requests, retry in {wait} seconds", wait)


class Requests(Gate):
    """The open requests of this process, at most `most_per_user` of one user. Each is inside until it has been answered."""

    def __init__(self, most_per_user: int) -> None:
        super().__init__()
        self._most_per_user = most_per_user
        self._open: dict[UUID, int] = {}
        self._of_connections: dict[str, set[anyio.CancelScope] | None] = {}  # None until there is one

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

    def connected(self, connection_id: str) -> None:
        """The connection is there from now on."""
        self._of_connections[connection_id] = None

    def disconnected(self, connection_id: str) -> None:
        """The connection has gone: cancel the requests that only it needs."""
        for scope in self._of_connections.pop(connection_id) or ():
            scope.cancel()

    @contextmanager
    def needed_by(self, connection_id: str | None) -> Iterator[None]:
        """The block is cancelled, and left, when this connection goes, or has gone. With None it is not cancelled."""
        if connection_id is None:
            yield
            return
        with anyio.CancelScope() as scope:
            if connection_id in self._of_connections:
                scopes = self._of_connections[connection_id] = self._of_connections[connection_id] or set()
            else:
                scope.cancel()
                scopes = set()
            scopes.add(scope)
            try:
                yield
            finally:
                scopes.discard(scope)
