"""This node among the others: it says that it lives, and closes the runs that dead nodes have left."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from backends import nodes as membership
from backends.broker import send_ws_message
from backends.orphans import finish_orphans
from backends.stored import Stored, find_message
from handlers.nodes.node import Node
from handlers.nodes.notices import hear, tell_end
from handlers.nodes.untold import find_chat_of, tell_untold
from handlers.read_chat import is_settled
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.users import Sender

LEAVE_S = 3.0  # seconds to tell the others that this node leaves
CLOSING_LOOKS = 10  # looks at a closing whose answer was lost; by the last one the database has done it or given it up

logger = logging.getLogger("threadcast")


@asynccontextmanager
async def watching(node: Node, essential: TaskGroup) -> AsyncIterator[None]:
    """Be one of the nodes until the block ends, hear the others' notices, and look after the dead."""
    await node.membership.enter()
    try:
        with node.backends.broker.listen(partial(hear, node)):
            for keep in (_keep_lease, _keep_watch, _keep_ends_told):
                essential.start_soon(keep, node)
            yield
    finally:
        await _leave(node)


async def _leave(node: Node) -> None:
    """Leave the nodes. If the database cannot be told, the others notice it by themselves."""
    try:
        with anyio.fail_after(LEAVE_S):
            await node.membership.leave()
    except Exception:
        logger.warning("the other nodes could not be told that this node leaves", exc_info=True)


async def _keep_lease(node: Node) -> None:
    """Renew this node's lease, for ever. Apart from `_keep_watch`, so that closing what others have left holds up nothing."""

    async def renew() -> None:
        try:
            await node.membership.renew()
        finally:
            node.runs.give_up()

    await _every(renew, "the lease could not be renewed")


async def _keep_watch(node: Node) -> None:
    """Look for the dead and for what they have left, for ever."""

    async def look() -> None:
        await node.membership.bury()
        await close_orphans(node)

    await _every(look, "the other nodes could not be looked at")


async def _keep_ends_told(node: Node) -> None:
    """Look for ends that were stored and not told, for ever."""
    await _every(partial(tell_untold, node), "streams without an end could not be looked up")


async def close_orphans(node: Node, chat_id: UUID | None = None) -> None:
    """Close what nobody answers any more, in one chat or in all.

    Clients have not heard the end of a dead node's runs, so we tell it. They have heard the end of our own: only the database
    missed it.
    """
    me = node.id

    def unsure(orphan: Stored, closing: UUID) -> None:
        if orphan.owner.node != me:  # else there is nobody to tell
            node.tasks.start_soon(_find_out, node, me, orphan, closing)

    async with aclosing(finish_orphans(node.backends.storage, me, unsure, node.runs, chat_id)) as orphans:
        async for orphan in orphans:
            await _tell_closed(node, me, orphan)


async def _find_out(node: Node, me: UUID, orphan: Stored, closing: UUID) -> None:
    """The database's answer to this closing was lost. Look whether the orphan is closed, and if so tell its end."""
    looks = 0
    while looks < CLOSING_LOOKS:
        with suppress(Exception):  # an outage does not count
            now = await find_message(node.backends.storage, orphan.id)
            if now and now.owner.node == closing:
                return await _tell_closed(node, me, orphan)
            looks += 1
        await anyio.sleep(membership.RENEW_S)


async def _tell_closed(node: Node, me: UUID, orphan: Stored) -> None:
    try:
        if orphan.owner.node != me:
            logger.warning("a dead node's run was closed", extra={"answer": str(orphan.id), "node": str(orphan.owner.node)})
            node.backends.metrics.runs_ended.labels("interrupted").inc()
            await _tell_interrupted(node, orphan)
    finally:
        tell_end(node, orphan.chat_id)  # after its end: it lets others begin in the chat


async def _tell_interrupted(node: Node, orphan: Stored) -> None:
    streams = node.backends.broker.streams
    if streams.has_ended(orphan.id):  # it ended with an error before its end could be stored
        return
    try:
        stored = await find_chat_of(node, orphan.user_id, orphan.chat_id)
    except Exception:  # it is stored as closed, so no other node will tell it
        logger.debug("the end of message %s is told later", orphan.id, exc_info=True)
        node.tasks.start_soon(_tell_later, node, orphan)
        return
    goes_on = streams.has_other(orphan.user_id, orphan.chat_id, orphan.id)
    if stored and (goes_on or not is_settled(stored[1])):  # another run has begun in the chat, and its end has not been told
        if (message := stored[1].messages.get(orphan.id)) and message.is_completed:  # else that run is of the same message
            streams.remember(orphan.user_id, orphan.chat_id, orphan.id)  # for `tell_untold`, after its end
    elif stored:
        user, chat = stored
        streams.end(orphan.user_id, orphan.id)
        sender = Sender(user, None)
        send_ws_message(node.backends.broker, sender, WsRoutes.CHATS_POST, WsEvent.COMPLETE, chat, about=orphan.id)


async def _tell_later(node: Node, orphan: Stored) -> None:
    await anyio.sleep(membership.RENEW_S)
    await _tell_interrupted(node, orphan)


async def _every(step: Callable[[], Awaitable[None]], failure: str) -> None:
    works = True
    while True:
        await anyio.sleep(membership.RENEW_S)
        try:
            await step()
        except Exception:
            if works:  # one line for each outage
                logger.warning(failure, exc_info=True)
            works = False
        else:
            works = True
