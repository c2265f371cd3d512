"""This node among the others: it says that it lives, and closes what those have left that do not."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from backends import nodes
from backends.messages import Stored, find_message, finish_orphans
from backends.storage import DatabaseAway
from handlers.frames import send_ws_message
from handlers.nodes.notices import hear, tell_end
from handlers.nodes.untold import find_chat_of, tell_untold
from handlers.services import Sender, Services
from schemas.events import WsEvent
from schemas.frames import WsRoutes

LEAVE_S = 3.0  # for saying that this node goes
LOOKS = 10  # for a closing whose answer was lost: by then the database has done or ended what it was asked

logger = logging.getLogger("threadcast")


async def enter(services: Services, essential: TaskGroup) -> None:
    """Become one of the nodes. Runs that dead nodes have left are closed before this one begins."""
    await services.nodes.enter()
    try:
        await close_orphans(services)
    except DatabaseAway:  # what is left can be read all the same, or `enter` would have failed
        logger.warning("what dead nodes have left is closed later", exc_info=True)
        essential.start_soon(_close_later, services)
    if services.nodes.shared:
        services.backends.broker.heard = partial(hear, services)
        essential.start_soon(_keep_lease, services)
        essential.start_soon(_keep_watch, services)
        essential.start_soon(_keep_ends_told, services)


async def leave(services: Services) -> None:
    """Be none of them any more. When the database does not hear it, the others find out by themselves."""
    services.backends.broker.heard = lambda notice: None
    try:
        with anyio.fail_after(LEAVE_S):
            await services.nodes.leave()
    except Exception:
        logger.warning("the others could not be told that this node goes", exc_info=True)


async def _keep_lease(services: Services) -> None:
    """Renew this node's lease, for ever. Apart from `_keep_watch`, so that closing what others have left holds up nothing."""

    async def renew() -> None:
        try:
            await services.nodes.renew()
        finally:
            services.runs.give_up()

    await _every(renew, "the lease could not be renewed")


async def _keep_watch(services: Services) -> None:
    """Look for the dead and for what they have left, for ever."""

    async def look() -> None:
        await services.nodes.bury()
        await close_orphans(services)

    await _every(look, "the other nodes could not be looked at")


async def _keep_ends_told(services: Services) -> None:
    """Look for ends that were stored and not told, for ever."""
    await _every(partial(tell_untold, services), "streams without an end could not be looked up")


def is_orphan(services: Services, unfinished: Stored | None) -> bool:
    """Whether this is a message that nobody answers any more."""
    if unfinished is None or unfinished.id in services.runs:
        return False
    return unfinished.node in (None, services.nodes.lease.id)


def close_soon(services: Services, chat_id: UUID) -> None:
    """Have the orphans of a chat closed, if the database takes it now. Else the next post in the chat does it, or the watch."""
    if chat_id not in services.runs.closing:
        services.runs.closing.add(chat_id)
        services.tasks.start_soon(_try_to_close, services, chat_id)


async def _try_to_close(services: Services, chat_id: UUID) -> None:
    try:
        await close_orphans(services, chat_id)
    except Exception:
        logger.debug("a message that nobody answers is closed later", exc_info=True)  # as often as clients read it
        await anyio.sleep(nodes.RENEW_S)  # and so, too, is it tried
    finally:
        services.runs.closing.discard(chat_id)


async def close_orphans(services: Services, chat_id: UUID | None = None) -> int:
    """Close what nobody answers any more, in one chat or in all. Returns how many.

    Clients have not heard the end of a dead node's runs. They have heard the end of ours; only the database missed it.
    """
    me, closed = services.nodes.lease.id, 0

    def unsure(orphan: Stored, closing: UUID) -> None:
        if services.nodes.shared and orphan.owner.node != me:  # else there is nobody to tell
            services.tasks.start_soon(_find_out, services, me, orphan, closing)

    async with aclosing(finish_orphans(services.backends.storage, me, unsure, services.runs, chat_id)) as orphans:
        async for orphan in orphans:
            closed += 1
            await _tell_closed(services, me, orphan)
    return closed


async def _find_out(services: Services, me: UUID, orphan: Stored, closing: UUID) -> None:
    """The answer to this closing was lost: tell of the orphan if it is seen to have come through."""
    looks = 0
    while looks < LOOKS:
        with suppress(Exception):  # away, which does not count
            now = await find_message(services.backends.storage, orphan.id)
            if now and now.owner.node == closing:
                return await _tell_closed(services, me, orphan)
            looks += 1
        await anyio.sleep(nodes.RENEW_S)


async def _tell_closed(services: Services, me: UUID, orphan: Stored) -> None:
    tell_end(services, orphan.chat_id)
    if services.nodes.shared and orphan.owner.node != me:
        logger.warning("a dead node's run was closed", extra={"answer": str(orphan.id), "node": str(orphan.owner.node)})
        services.backends.metrics.runs_ended.labels("interrupted").inc()
        await _tell_interrupted(services, orphan)


async def _tell_interrupted(services: Services, orphan: Stored) -> None:
    if services.backends.broker.streams.has_ended(orphan.id):  # with an error, before its end could be stored
        return
    try:
        stored = await find_chat_of(services, orphan.user_id, orphan.chat_id)
    except Exception:  # it is closed, so nobody else will tell it
        logger.debug("the end of message %s is told later", orphan.id, exc_info=True)
        services.tasks.start_soon(_tell_later, services, orphan)
        return
    if stored:
        user, chat = stored
        services.backends.broker.streams.end(orphan.user_id, orphan.id)
        send_ws_message(services.backends.broker, Sender(user, None), WsRoutes.CHATS_POST, WsEvent.COMPLETE, chat)


async def _tell_later(services: Services, orphan: Stored) -> None:
    await anyio.sleep(nodes.RENEW_S)
    await _tell_interrupted(services, orphan)


async def _close_later(services: Services) -> None:
    left = True
    while left:
        await anyio.sleep(nodes.RENEW_S)
        with suppress(Exception):
            await close_orphans(services)
            left = False


async def _every(step: Callable[[], Awaitable[None]], failure: str) -> None:
    works = True
    while True:
        await anyio.sleep(nodes.RENEW_S)
        try:
            await step()
        except Exception:
            if works:  # the first of an outage tells enough
                logger.warning(failure, exc_info=True)
            works = False
        else:
            works = True
