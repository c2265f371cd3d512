"""`/chats/get`: one chat, whole, and as it stands when a message of it is being answered."""

from functools import partial
from uuid import UUID

import anyio

from backends.messages import title_from
from handlers.context import KINDS, Context
from handlers.frames import send_chat, send_ws_message
from handlers.nodes.elsewhere import LOOK_S, ask_for_chat, is_elsewhere
from handlers.nodes.watch import close_soon, is_orphan
from handlers.runs import INTERRUPTED
from handlers.services import Sender, Services
from schemas.assets import CHAT
from schemas.chats import ChatWithMessages
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import GetChat
from schemas.users import AuthenticatedUser


async def get_chat(services: Services, sender: Sender, request: GetChat) -> None:
    """Answer the sender with the chat: if it is being answered, in the stream's order, so that nothing is missed or doubled.

    Raises NotFound, or TooManyRequests or ServiceUnavailable when what waits for the user's connections leaves no room for it.
    """
    async with services.connections.outboxes.room(sender.user.id):
        await _answer(services, sender, request)


async def _answer(services: Services, sender: Sender, request: GetChat) -> None:
    broker = services.backends.broker
    answer = partial(send_ws_message, broker, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, method=WsSendMethod.SENDER_ONLY)
    outboxes = services.connections.outboxes
    while True:
        ended = services.others.end_in(request.id)
        chat, context = await read_chat(services, sender.user, request.id)
        if outboxes.is_full(outboxes.share_of(sender.user.id)):  # by another answer, which was read at the same time
            await outboxes.wait(sender.user.id)
            continue
        run = services.runs.in_chat(request.id)
        if run and run.holds and run.user_id != sender.user.id:  # its stream is not the sender's
            return answer(chat)
        if run and run.transcript and not run.lease.is_sure:  # of such a run nothing may be told
            return answer(chat)
        if run and run.transcript:
            return await run.tell(partial(send_chat, services, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, WsEvent.GET_CHAT))
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
        with anyio.move_on_after(LOOK_S):
            await (run.begun if run else ended).wait()


async def read_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    """The chat from the database, and what else there is to know of it. Raises NotFound.

    Reading needs no write, so a chat can be read while the database takes none. A message that nobody answers any more is shown
    as what it is about to be, interrupted; a task closes it.
    """
    context = await load_chat(services, user, chat_id)
    if is_orphan(services, context.running):
        context = await load_chat(services, user, chat_id)  # its run may have stored its end, and left, between the two
    chat = chat_of(context)
    if context.running and is_orphan(services, context.running):
        message = chat.messages[context.running.id]
        message.is_completed, message.final_reasoning_message = True, INTERRUPTED
        chat.title = chat.title or title_from(message.request_message.request if message.request_message else None)
        close_soon(services, chat_id)
    return chat, context


async def load_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> Context:
    """The chat as it is stored. Raises NotFound."""
    return await KINDS[CHAT].load(services.backends.storage, user.id, chat_id)


def chat_of(context: Context) -> ChatWithMessages:
    """The chat that was loaded. Raises NotFound when it was something else."""
    if context.chat is None:
        raise NotFound
    return context.chat


def is_settled(chat: ChatWithMessages) -> bool:
    """Whether all of its messages have been answered."""
    return all(message.is_completed for message in chat.messages.values())
