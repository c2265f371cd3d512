"""One seam for all that only several nodes need: runs that another node answers, and what this node tells the others.

`Alone` is the implementation for one node. `handlers/nodes/` has the one for several nodes; it is imported only for these.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol, TypeVar
from uuid import UUID

from anyio.abc import TaskGroup

from backends.lease import Lease
from backends.nodes import forget_nodes
from backends.orphans import finish_orphans
from backends.storage import Storage
from backends.stored import Stored
from handlers.runs import Run, Runs
from schemas.requests import GetChat
from schemas.users import Sender

T = TypeVar("T")


class ChatBusy(Exception):
    """A message of this chat is being answered by another node."""


class Overtaken(Exception):
    """Another node has changed the chat since it was read."""


class MessageTaken(Exception):
    """There is a message with this id by now, so the post that names it is a retry."""


class RunElsewhere(Protocol):
    """A run that another node answers."""

    stored: Stored

    async def stop(self, run: Run | None = None) -> None:
        """Stop it, and wait for its end: for seconds, or with `run`, which is to replace it, for as long as a run may take.

        Raises ServiceUnavailable when its node cannot be reached, or TooManyRequests when `run` has waited for too long.
        """

    async def follow(self, sender: Sender) -> bool:
        """Have the sender told how far it is, and wait for its end. Returns whether the sender was told.

        Raises ServiceUnavailable when this node is to stop before that.
        """

    async def ask(self, sender: Sender, request: GetChat) -> bool | None:
        """Have the sender's `getChat` answered by its node. Whether the sender was told; None when nobody knows."""


class Cluster(Protocol):
    """This node among those that share its database."""

    @property
    def lease(self) -> Lease:
        """The lease under which a run that begins now is answered."""

    def elsewhere(self, stored: Stored | None) -> RunElsewhere | None:
        """The run of this message, if another node answers it."""

    async def find(self, chat_id: UUID, message_id: UUID | None) -> RunElsewhere | None:
        """The run that another node answers in this chat. With a message's id, only if the run answers that message."""

    async def turn(self, run: Run, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make the attempt to store the run's message, and again after ChatBusy and Overtaken. Returns what it returns.

        Raises MessageTaken, ServiceUnavailable when the run is stopped by then, or TooManyRequests when it waits for too long.
        """

    def begun(self, run: Run) -> None:
        """The run begins to tell its stream."""

    def ended(self, run: Run, *, lost: bool = False) -> None:
        """Tell the other nodes that the run has ended: when its stream is over, or before its error is told.

        `lost`: another node has closed it, and tells its end.
        """

    async def heard(self, user_id: UUID, chat_id: UUID) -> None:
        """Wait, for a moment at most, until the user's connections here have heard an end that another node has stored."""

    async def close_orphans(self, chat_id: UUID | None = None) -> None:
        """Close as they stand the messages that nobody answers any more, in one chat or in all."""

    def end_silent(self, user_id: UUID) -> bool:
        """Have the other nodes end one of the user's connections that does not answer. Whether there are others to tell."""

    def joined(self, essential: TaskGroup) -> AbstractAsyncContextManager[None]:
        """Be one of the nodes until the block ends. What must not end before is started in `essential`."""


class EndlessLease(Lease):
    """A lease that nobody can take."""

    async def settled(self) -> bool:
        return True


class Alone:
    """The only node of its database: nothing runs elsewhere."""

    def __init__(self, storage: Storage, runs: Runs) -> None:
        self.lease = EndlessLease()
        self._storage = storage
        self._runs = runs

    def elsewhere(self, stored: Stored | None) -> RunElsewhere | None:
        return None

    async def find(self, chat_id: UUID, message_id: UUID | None) -> RunElsewhere | None:
        return None

    async def turn(self, run: Run, attempt: Callable[[], Awaitable[T]]) -> T:
        while True:
            with suppress(Overtaken):
                return await attempt()

    def begun(self, run: Run) -> None:
        pass

    def ended(self, run: Run, *, lost: bool = False) -> None:
        pass

    async def heard(self, user_id: UUID, chat_id: UUID) -> None:
        pass

    async def close_orphans(self, chat_id: UUID | None = None) -> None:
        async for _ in finish_orphans(self._storage, self.lease.id, lambda orphan, closing: None, self._runs, chat_id):
            pass

    def end_silent(self, user_id: UUID) -> bool:
        return False

    @asynccontextmanager
    async def joined(self, essential: TaskGroup) -> AsyncIterator[None]:
        await forget_nodes(self._storage)  # a node that has left a row there is dead
        yield
