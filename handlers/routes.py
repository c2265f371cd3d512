"""The one table of routes."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from handlers.context import posted_type_hook
from handlers.delete_chats import delete_chats
from handlers.duplicate_chat import duplicate_chat
from handlers.get_chat import get_chat
from handlers.get_chats_list import get_chats_list
from handlers.post_thread import post_thread
from handlers.services import Services
from handlers.stop_chat import stop_chat
from handlers.update_chat import update_chat
from handlers.update_message import update_message
from schemas.events import WS_EVENTS, WsEvent
from schemas.frames import WsRoutes, WsSendMethod
from schemas.requests import (
    ChatCreateNewChat,
    DeleteChats,
    DuplicateChat,
    GetChat,
    GetChatsList,
    StopChat,
    UpdateChat,
    UpdateMessage,
)
from schemas.users import Sender


class Route(NamedTuple):
    """A route: its event, its payload, its handler, the events that answer it, and who receives these.

    An error on the route has the route's own event.

    A route that `is_read` changes nothing, so its handler is cancelled when the connection that asked goes.
    """

    event: WsEvent
    payload: msgspec.json.Decoder[Any]
    handler: Callable[[Services, Sender, Any], Awaitable[object]]
    answers: tuple[WsEvent, ...]
    receivers: tuple[WsSendMethod, ...] = (WsSendMethod.SENDER_ONLY,)
    is_read: bool = False


TO_ALL = (WsSendMethod.ALL, WsSendMethod.SENDER_ONLY)  # refusals go to the sender

ROUTES: dict[str, Route] = {
    WsRoutes.CHATS_POST.value: Route(
        WsEvent.POST_THREAD,
        msgspec.json.Decoder(ChatCreateNewChat, dec_hook=posted_type_hook),
        post_thread,
        tuple(WS_EVENTS.values()),
        (WsSendMethod.ALL, WsSendMethod.SENDER_ONLY),  # the sender only: refusals, and the answers to retries
    ),
    WsRoutes.CHATS_GET.value: Route(
        WsEvent.GET_CHAT, msgspec.json.Decoder(GetChat), get_chat, (WsEvent.GET_CHAT,), is_read=True
    ),
    WsRoutes.CHATS_LIST.value: Route(
        WsEvent.GET_CHATS_LIST, msgspec.json.Decoder(GetChatsList), get_chats_list, (WsEvent.GET_CHATS_LIST,), is_read=True
    ),
    WsRoutes.CHATS_UPDATE.value: Route(
        WsEvent.UPDATE_CHAT, msgspec.json.Decoder(UpdateChat), update_chat, (WsEvent.UPDATE_CHAT,), TO_ALL
    ),
    WsRoutes.CHATS_DELETE.value: Route(
        WsEvent.DELETE_CHATS, msgspec.json.Decoder(DeleteChats), delete_chats, (WsEvent.DELETE_CHATS,), TO_ALL
    ),
    WsRoutes.CHATS_DUPLICATE.value: Route(
        WsEvent.DUPLICATE_CHAT, msgspec.json.Decoder(DuplicateChat), duplicate_chat, (WsEvent.DUPLICATE_CHAT,), TO_ALL
    ),
    WsRoutes.MESSAGES_UPDATE.value: Route(
        WsEvent.UPDATE_MESSAGE, msgspec.json.Decoder(UpdateMessage), update_message, (WsEvent.UPDATE_MESSAGE,), TO_ALL
    ),
    # Its answer is the end of the stopped stream, on that stream's route.
    WsRoutes.CHATS_STOP.value: Route(WsEvent.STOP_CHAT, msgspec.json.Decoder(StopChat), stop_chat, (WsEvent.COMPLETE,)),
}
