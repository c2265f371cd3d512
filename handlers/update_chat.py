"""`/chats/update`: a chat's title, and whether it is one of the user's favourites."""

from backends.broker import send_ws_message
from backends.chats import find_roles
from backends.chats_list import find_list_item
from backends.family import mark_chat, rename_chat
from handlers.services import Services
from schemas.assets import EDITING_ROLES
from schemas.chats import ChatListItem
from schemas.errors import BadRequest, NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.requests import UpdateChat
from schemas.users import AuthenticatedUser, Sender

NOTHING_TO_UPDATE = "title or is_favorited is required"
BLANK = "title must not be blank"


async def update_chat(services: Services, sender: Sender, request: UpdateChat) -> None:
    """Tell all connections of the user the chat's new row of the list. Raises NotFound, or BadRequest."""
    item = await _update(services, sender.user, request)
    send_ws_message(services.backends.broker, sender, WsRoutes.CHATS_UPDATE, WsEvent.UPDATE_CHAT, item)


async def _update(services: Services, user: AuthenticatedUser, request: UpdateChat) -> ChatListItem:
    """Who may edit the chat may name it, and who may see it may have it among their favourites."""
    title = " ".join(request.title.split()) if request.title is not None else None
    storage = services.backends.storage
    roles = await find_roles(storage, user.id, request.id)
    if roles is None or (title is not None and not roles & EDITING_ROLES):
        raise NotFound
    if title is None and request.is_favorited is None:
        raise BadRequest(NOTHING_TO_UPDATE)
    if title == "":
        raise BadRequest(BLANK)
    if title:
        await rename_chat(storage, request.id, title)
    if request.is_favorited is not None:
        await mark_chat(storage, user.id, request.id, request.is_favorited)
    if (run := services.runs.in_chat(request.id)) and run.transcript:
        run.transcript.rename(title, request.is_favorited if run.user_id == user.id else None)
    if item := await find_list_item(storage, user.id, request.id):
        return item
    raise NotFound  # deleted meanwhile
