"""The one table of routes."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from handlers.context import posted_type_hook
from handlers.get_chat import get_chat
from handlers.get_chats_list import get_chats_list
from handlers.post_thread import post_thread
from handlers.services import Sender, Services
from handlers.stop_chat import stop_chat
from schemas.chats import ChatCreateNewChat, GetChat, GetChatsList, StopChat
from schemas.events import WsEvent
from schemas.frames import WsRoutes


class Route(NamedTuple):
    """What a route answers to."""

    event: WsEvent
    payload: msgspec.json.Decoder[Any]
    handler: Callable[[Services, Sender, Any], Awaitable[object]]


ROUTES: dict[str, Route] = {
    WsRoutes.CHATS_POST.value: Route(
        WsEvent.POST_THREAD, msgspec.json.Decoder(ChatCreateNewChat, dec_hook=posted_type_hook), post_thread
    ),
    WsRoutes.CHATS_GET.value: Route(WsEvent.GET_CHAT, msgspec.json.Decoder(GetChat), get_chat),
    WsRoutes.CHATS_LIST.value: Route(WsEvent.GET_CHATS_LIST, msgspec.json.Decoder(GetChatsList), get_chats_list),
    WsRoutes.CHATS_STOP.value: Route(WsEvent.STOP_CHAT, msgspec.json.Decoder(StopChat), stop_chat),
}
