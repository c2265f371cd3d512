"""`/chats/list`: the chats that the user may see, a page at a time."""

from backends.broker import send_ws_message
from backends.search import find_chats
from handlers.services import Services
from schemas.events import WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import GetChatsList
from schemas.users import Sender


async def get_chats_list(services: Services, sender: Sender, request: GetChatsList) -> None:
    """Answer the sender with one page, the newest chat first. A page past the last is empty."""
    offset = request.page_token * request.page_size
    async with services.connections.outboxes.room(sender.user.id):
        chats = await find_chats(services.backends.storage, sender.user.id, request.query or "", offset, request.page_size)
        send_ws_message(
            services.backends.broker, sender, WsRoutes.CHATS_LIST, WsEvent.GET_CHATS_LIST, chats, WsSendMethod.SENDER_ONLY
        )
