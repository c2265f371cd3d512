"""`/chats/get`: one chat, whole, and as it stands when a message of it is being answered."""

from functools import partial
from uuid import UUID

from backends.chats import finish_dead_messages
from handlers.context import KINDS, Context
from handlers.frames import send_ws_message
from handlers.services import Sender, Services
from schemas.assets import CHAT
from schemas.chats import ChatWithMessages, GetChat
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.users import AuthenticatedUser


async def get_chat(services: Services, sender: Sender, request: GetChat) -> None:
    """Answer the sender with the chat: if it is being answered, in the stream's order, so that nothing is missed or doubled."""
    broker = services.backends.broker
    answer = partial(send_ws_message, broker, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, method=WsSendMethod.SENDER_ONLY)
    while True:
        chat, _ = await read_chat(services, sender.user, request.id)
        run = services.runs.in_chat(request.id)
        if run and run.user_id != sender.user.id:  # its stream is not the sender's
            return answer(chat)
        if run and run.transcript:
            return await run.tx.send(partial(answer, run.snapshot()))
        if _is_settled(chat):
            return answer(chat)
        # A run was about to begin, or has ended, while the chat was read: what was read is not what was streamed.


async def read_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    """The chat from the database, and what else there is to know of it. Raises NotFound.

    Messages that nobody answers any more, because the database was away when their runs ended, are finished as they stand.
    """
    found = await _load(services, user, chat_id)
    if not _is_settled(found[0]) and await finish_dead_messages(services.backends.storage, chat_id, alive=services.runs):
        return await _load(services, user, chat_id)
    return found


async def _load(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    context = await KINDS[CHAT].load(services.backends.storage, user.id, chat_id)
    if context.chat is None:
        raise NotFound
    return context.chat, context


def _is_settled(chat: ChatWithMessages) -> bool:
    return all(message.is_completed for message in chat.messages.values())
