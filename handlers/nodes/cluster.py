"""The seam of `handlers/cluster.py` where several nodes share a database."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from uuid import UUID

from anyio.abc import TaskGroup

from backends import Backends
from backends.lease import Lease
from backends.nodes import Membership
from backends.stored import Stored, find_message, find_running
from handlers.nodes.elsewhere import ElsewhereRun, heard, is_elsewhere, turn
from handlers.nodes.node import Node
from handlers.nodes.notices import tell_crowded, tell_run_ended
from handlers.nodes.watch import close_orphans, watching
from handlers.outboxes import Outboxes
from handlers.runs import Run, Runs
from handlers.services import Timeouts
from handlers.tasks import Tasks

T = TypeVar("T")


class Several:
    """This node among several."""

    def __init__(self, backends: Backends, tasks: Tasks, timeouts: Timeouts, runs: Runs, outboxes: Outboxes) -> None:
        membership = Membership(backends.storage)
        self.node = Node(backends, tasks, timeouts, runs, outboxes, membership)

    @property
    def lease(self) -> Lease:
        return self.node.membership.lease

    def elsewhere(self, stored: Stored | None) -> ElsewhereRun | None:
        return ElsewhereRun(self.node, stored) if stored and is_elsewhere(self.node, stored) else None

    async def find(self, chat_id: UUID, message_id: UUID | None) -> ElsewhereRun | None:
        storage = self.node.backends.storage
        found = await (find_message(storage, message_id) if message_id else find_running(storage, chat_id))
        return self.elsewhere(found) if found and found.chat_id == chat_id else None

    async def turn(self, run: Run, attempt: Callable[[], Awaitable[T]]) -> T:
        return await turn(self.node, run, attempt)

    def begun(self, run: Run) -> None:
        self.node.backends.broker.streams.begin(run.user_id, run.chat_id, run.message_id)

    def ended(self, run: Run, *, lost: bool = False) -> None:
        tell_run_ended(self.node, run, lost)

    async def heard(self, user_id: UUID, chat_id: UUID) -> None:
        await heard(self.node, user_id, chat_id)

    async def close_orphans(self, chat_id: UUID | None = None) -> None:
        await close_orphans(self.node, chat_id)

    def end_silent(self, user_id: UUID) -> bool:
        return tell_crowded(self.node, user_id)

    def joined(self, essential: TaskGroup) -> AbstractAsyncContextManager[None]:
        return watching(self.node, essential)
