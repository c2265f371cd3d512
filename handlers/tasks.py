"""Tasks that outlive whoever starts them, such as runs. Each stands alone: whatever comes out of one ends that one only."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVarTuple

import anyio

LAST_WORDS_S = 5.5  # for what cancelled tasks still store: `run_agent.LET_GO_S` and `post_chat.SAVE_TIMEOUT_S`, and a little

Arguments = TypeVarTuple("Arguments")

logger = logging.getLogger("threadcast")


class Tasks:
    """Independent tasks of this server. Made by `open_tasks`.

    A task group would cancel all of its tasks when one of them raises, so each task here stands alone.
    """

    def __init__(self) -> None:
        self._scopes: dict[asyncio.Task[None], anyio.CancelScope] = {}
        self._have_ended = False

    def __len__(self) -> int:
        return len(self._scopes)

    def start_soon(self, work: Callable[[*Arguments], Awaitable[object]], *arguments: *Arguments) -> None:
        """Run `work(*arguments)` in a task of its own, until it ends or the server does."""
        scope = anyio.CancelScope()
        if self._have_ended:
            scope.cancel()
        task = asyncio.create_task(_alone(scope, work, *arguments))
        self._scopes[task] = scope
        task.add_done_callback(self._scopes.pop)

    async def end(self) -> None:
        """Cancel all of them, and wait for what they still store. The process ends without those that do not heed it."""
        self._have_ended = True
        deadline = anyio.current_time() + LAST_WORDS_S
        while self._scopes and (left := deadline - anyio.current_time()) > 0:
            for scope in self._scopes.values():
                scope.cancel()
            await asyncio.wait(list(self._scopes), timeout=left)
        if self._scopes:
            logger.error("tasks are left behind", extra={"tasks": len(self._scopes)})


async def _alone(scope: anyio.CancelScope, work: Callable[[*Arguments], Awaitable[object]], *arguments: *Arguments) -> None:
    try:
        with scope:
            await work(*arguments)
    except BaseException:  # SystemExit would end the event loop, and with it everybody's runs
        if (task := asyncio.current_task()) and task.cancelling():  # the loop itself ends
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
