"""`/chats/get`: one chat, whole, and as it stands when a message of it is being answered."""

from functools import partial
from uuid import UUID

from handlers.context import KINDS, Context
from handlers.elsewhere import ask_for_chat, is_elsewhere
from handlers.frames import send_ws_message
from handlers.services import Sender, Services
from handlers.watch import close_orphans
from schemas.assets import CHAT
from schemas.chats import ChatWithMessages
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import GetChat
from schemas.users import AuthenticatedUser


async def get_chat(services: Services, sender: Sender, request: GetChat) -> None:
    """Answer the sender with the chat: if it is being answered, in the stream's order, so that nothing is missed or doubled."""
    broker = services.backends.broker
    answer = partial(send_ws_message, broker, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, method=WsSendMethod.SENDER_ONLY)
    while True:
        chat, context = await read_chat(services, sender.user, request.id)
        run = services.runs.in_chat(request.id)
        if run and run.holds and run.user_id != sender.user.id:  # its stream is not the sender's
            return answer(chat)
        if run and run.transcript and not run.lease.is_sure:  # of such a run nothing may be told
            return answer(chat)
        if run and run.transcript:
            return await run.tell(answer)
        if is_settled(chat):
            return answer(chat)
        running = context.running
        if running and is_elsewhere(services, running):
            if running.user_id != sender.user.id:
                return answer(chat)
            match await ask_for_chat(services, sender, running):
                case True:
                    return None
                case None:  # it is dead, or cannot be reached: what is stored is all there is
                    return answer(chat)
        # A run was about to begin, or has ended, while the chat was read: what was read is not what was streamed.


async def read_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    """The chat from the database, and what else there is to know of it. Raises NotFound.

    Messages that nobody answers any more are finished as they stand.
    """
    found = await _load(services, user, chat_id)
    if not is_settled(found[0]) and await close_orphans(services, chat_id):
        return await _load(services, user, chat_id)
    return found


async def _load(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    context = await KINDS[CHAT].load(services.backends.storage, user.id, chat_id)
    if context.chat is None:
        raise NotFound
    return context.chat, context


def is_settled(chat: ChatWithMessages) -> bool:
    """Whether all of its messages have been answered."""
    return all(message.is_completed for message in chat.messages.values())
