"""`/chats/get`: one chat, or a part of it, and as it stands when a message of it is being answered."""

import anyio

from backends.broker import send_ws_message
from handlers.frames import send_chat
from handlers.read_chat import excerpt, is_settled, read_chat
from handlers.services import Services
from schemas.chats import ChatWithMessages
from schemas.errors import BadRequest
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import GetChat
from schemas.users import Sender

BEGIN_S = 0.5  # seconds that a get waits for a run that is about to begin
UNSURE_S = 3.0  # seconds that a get waits while it is unsure whether a run is still ours: the next renewal comes within them
NO_SUCH_MESSAGE = "the chat has no such message - at `$.payload.before`"


async def get_chat(services: Services, sender: Sender, request: GetChat) -> None:
    """Answer the sender with the chat: if it is being answered, in the stream's order, so that nothing is missed or doubled.

    Raises NotFound, BadRequest, or TooManyRequests or ServiceUnavailable when what waits for the user's connections leaves no
    room for it.
    """
    async with services.connections.outboxes.room(sender.user.id):
        await _answer(services, sender, request)


async def _answer(services: Services, sender: Sender, request: GetChat) -> None:
    def answer(chat: ChatWithMessages) -> None:
        shown = excerpt(chat, request)
        method = WsSendMethod.SENDER_ONLY
        send_ws_message(services.backends.broker, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, shown, method)

    def answer_in_stream(chat: ChatWithMessages) -> None:
        send_chat(services, sender, WsRoutes.CHATS_GET, WsEvent.GET_CHAT, WsEvent.GET_CHAT, excerpt(chat, request))

    outboxes = services.connections.outboxes
    while True:
        ended = services.runs.end_in(request.id)
        chat, context = await read_chat(services, sender.user, request.id)
        if request.before and request.before not in chat.messages:
            raise BadRequest(NO_SUCH_MESSAGE)
        if outboxes.is_full(outboxes.share_of(sender.user.id)):  # another answer, read at the same time, may have filled it
            await outboxes.wait(sender.user.id)
            continue
        run = services.runs.in_chat(request.id)
        if run and run.holds and run.user_id != sender.user.id:  # its stream goes to another user
            return answer(chat)
        if run and run.transcript:
            with anyio.move_on_after(UNSURE_S):
                await run.lease.settled()
            if not run.lease.is_sure:  # nothing may be told of a run that is lost, or may be
                return answer(chat)
            if await run.tell(answer_in_stream):
                return None
            with anyio.move_on_after(BEGIN_S):
                await run.ended.wait()
            continue
        if is_settled(chat) and not ended.is_set():
            await services.cluster.heard(sender.user.id, request.id)
            return answer(chat)
        if elsewhere := services.cluster.elsewhere(context.running):
            if elsewhere.stored.user_id != sender.user.id:
                return answer(chat)
            match await elsewhere.ask(sender, request):
                case True:
                    return None
                case None:  # its node is dead, or cannot be reached: what is stored is all there is
                    return answer(chat)
        elif run:
            with anyio.move_on_after(BEGIN_S):
                await run.begun.wait()
        # While the chat was read, a run began or ended: what was read is not what was streamed.
