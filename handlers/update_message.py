"""`/messages/update`: what the user thinks of an answer."""

from backends.broker import send_ws_message
from backends.chats import find_roles
from backends.family import set_feedback
from backends.stored import find_message
from handlers.services import Services
from schemas.assets import EDITING_ROLES
from schemas.chats import MessageFeedback
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.requests import UpdateMessage
from schemas.users import Sender


async def update_message(services: Services, sender: Sender, request: UpdateMessage) -> MessageFeedback:
    """Tell all connections of the user, and return that. Raises NotFound when the user may not edit the message's chat."""
    storage = services.backends.storage
    message = await find_message(storage, request.id)
    roles = await find_roles(storage, sender.user.id, message.chat_id) if message else None
    if message is None or roles is None or not roles & EDITING_ROLES:
        raise NotFound
    await set_feedback(storage, message.id, request.feedback)
    if (run := services.runs.get(message.id)) and run.transcript:
        run.transcript.message.feedback = request.feedback
    feedback = MessageFeedback(message.chat_id, message.id, request.feedback)
    send_ws_message(services.backends.broker, sender, WsRoutes.MESSAGES_UPDATE, WsEvent.UPDATE_MESSAGE, feedback)
    return feedback
