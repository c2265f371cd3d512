"""`/chats/delete`: chats that are gone for everybody. What is being answered in them is stopped.

The deletion is stored first: a post whose turn comes then finds the chat gone, and a message is not added to one that is.
"""

from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

import anyio

from backends.broker import send_ws_message
from backends.family import delete_chats as delete_stored
from backends.family import find_own
from handlers.cluster import RunElsewhere
from handlers.services import Services
from schemas.chats import DeletedChats
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.requests import DeleteChats
from schemas.users import Sender

STOP_S = 5.0  # seconds that the answers have to end, in all of the chats together; one that has not ends soon after


async def delete_chats(services: Services, sender: Sender, request: DeleteChats) -> DeletedChats:
    """Tell all connections of the user which chats are gone, and return that. Raises NotFound when they own none of them.

    Such as are gone already count, so that a request can be sent again.
    """
    own = await find_own(services.backends.storage, sender.user.id, request.ids)
    if not own:
        raise NotFound
    await delete_stored(services.backends.storage, own)
    with anyio.move_on_after(STOP_S):
        await _stop(services, own)
    deleted = DeletedChats(own)
    send_ws_message(services.backends.broker, sender, WsRoutes.CHATS_DELETE, WsEvent.DELETE_CHATS, deleted)
    return deleted


async def _stop(services: Services, chat_ids: Iterable[UUID]) -> None:
    """Stop what is answered in the chats, all at once, and wait until all of it has ended."""
    ends: list[Callable[[], Coroutine[Any, Any, None]]] = []
    for chat_id in chat_ids:
        if (run := services.runs.in_chat(chat_id)) and run.holds:
            run.stop()
            ends.append(run.ended.wait)
        elif elsewhere := await services.cluster.find(chat_id, None):
            ends.append(partial(_stop_elsewhere, elsewhere))
    async with anyio.create_task_group() as waits:
        for end in ends:
            waits.start_soon(end)


async def _stop_elsewhere(run: RunElsewhere) -> None:
    with suppress(Exception):  # its node cannot be reached: the chat is gone all the same
        await run.stop()
