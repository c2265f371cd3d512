"""Messages that nobody answers any more, since the process that did has died: they are closed as they stand."""

import logging
from contextlib import suppress
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from backends.storage import DatabaseAway
from backends.stored import Stored
from handlers.services import Services

CLOSE_AGAIN_S = 3.0  # seconds between tries to close what the database did not take

logger = logging.getLogger("threadcast")


def is_orphan(services: Services, unfinished: Stored | None) -> bool:
    """Whether this is a message that nobody answers any more."""
    if unfinished is None or unfinished.id in services.runs:
        return False
    return unfinished.node in (None, services.cluster.lease.id)


async def close_orphans_first(services: Services, essential: TaskGroup) -> None:
    """Close all orphans before this node begins to answer, or as soon as the database takes it."""
    try:
        await services.cluster.close_orphans()
    except DatabaseAway:  # chats can be read all the same
        logger.warning("what dead nodes left unfinished could not be closed yet", exc_info=True)
        essential.start_soon(_close_later, services)


def close_soon(services: Services, chat_id: UUID) -> None:
    """Close the orphans of a chat in a task. If the database does not take it, the next post in the chat or the watch does."""
    if chat_id not in services.runs.closing:
        services.runs.closing.add(chat_id)
        services.tasks.start_soon(_try_to_close, services, chat_id)


async def _try_to_close(services: Services, chat_id: UUID) -> None:
    try:
        await services.cluster.close_orphans(chat_id)
    except Exception:
        logger.debug("a message that nobody answers is closed later", exc_info=True)  # as often as the chat is read
        await anyio.sleep(CLOSE_AGAIN_S)  # so it is not tried more often either
    finally:
        services.runs.closing.discard(chat_id)


async def _close_later(services: Services) -> None:
    left = True
    while left:
        await anyio.sleep(CLOSE_AGAIN_S)
        with suppress(Exception):
            await services.cluster.close_orphans()
            left = False
