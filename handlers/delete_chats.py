"""`/chats/delete`: chats that are gone for everybody. What is being answered in them is stopped first."""

from contextlib import suppress
from uuid import UUID

import anyio

from backends.broker import send_ws_message
from backends.family import delete_chats as delete_stored
from backends.family import find_own
from handlers.services import Services
from schemas.chats import DeletedChats
from schemas.errors import NotFound, ThreadcastError
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.requests import DeleteChats
from schemas.users import Sender

STOP_S = 5.0  # seconds that an answer has to end in a chat that is deleted; it ends soon after, too


async def delete_chats(services: Services, sender: Sender, request: DeleteChats) -> DeletedChats:
    """Tell all connections of the user which chats are gone, and return that. Raises NotFound when they own none of them.

    Such as are gone already count, so that a request can be sent again.
    """
    own = await find_own(services.backends.storage, sender.user.id, request.ids)
    if not own:
        raise NotFound
    for chat_id in own:
        with anyio.move_on_after(STOP_S):
            await _stop(services, chat_id)
    await delete_stored(services.backends.storage, own)
    deleted = DeletedChats(own)
    send_ws_message(services.backends.broker, sender, WsRoutes.CHATS_DELETE, WsEvent.DELETE_CHATS, deleted)
    return deleted


async def _stop(services: Services, chat_id: UUID) -> None:
    """Stop what is answered in the chat, and wait for its end."""
    if (run := services.runs.in_chat(chat_id)) and run.holds:
        run.stop()
        await run.ended.wait()
    elif elsewhere := await services.cluster.find(chat_id, None):
        with suppress(ThreadcastError):  # its node cannot be reached: the chat is gone all the same
            await elsewhere.stop()
