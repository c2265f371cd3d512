"""The one table of routes."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from handlers.context import posted_type_hook
from handlers.post_thread import post_thread
from handlers.services import Sender, Services
from schemas.chats import ChatCreateNewChat
from schemas.events import WsEvent
from schemas.frames import WsRoutes


class Route(NamedTuple):
    """What a route answers to."""

    event: WsEvent
    payload: msgspec.json.Decoder[Any]
    handler: Callable[[Services, Sender, Any], Awaitable[None]]


ROUTES: dict[str, Route] = {
    WsRoutes.CHATS_POST.value: Route(
        WsEvent.POST_THREAD, msgspec.json.Decoder(ChatCreateNewChat, dec_hook=posted_type_hook), post_thread
    ),
}
