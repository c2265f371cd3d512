"""`/chats/duplicate`: a chat of one's own that begins as another one."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from msgspec import UNSET
from msgspec.structs import replace

from backends.broker import send_ws_message
from backends.family import store_copy
from handlers.read_chat import read_chat
from handlers.services import Services
from handlers.tasks import TooManyPosts
from schemas.chats import ChatMessage, ChatWithMessages, ReasoningMessage
from schemas.errors import NotFound
from schemas.events import WsEvent
from schemas.frames import WsRoutes
from schemas.requests import DuplicateChat
from schemas.users import AuthenticatedUser, Sender


async def duplicate_chat(services: Services, sender: Sender, request: DuplicateChat) -> ChatWithMessages:
    """Tell all connections of the user the new chat, and return it. Raises NotFound, also for a message that it lacks."""
    async with services.connections.outboxes.room(sender.user.id):
        copy = await _duplicate(services, sender.user, request)
        send_ws_message(services.backends.broker, sender, WsRoutes.CHATS_DUPLICATE, WsEvent.DUPLICATE_CHAT, copy)
        return copy


async def _duplicate(services: Services, user: AuthenticatedUser, request: DuplicateChat) -> ChatWithMessages:
    """Copy what is finished, up to and with the message. It counts as a post: it stores as much."""
    chat, _ = await read_chat(services, user, request.id)
    last = request.message_id
    if last and last not in chat.messages:
        raise NotFound
    if wait := await services.backends.rate_limit.hit(user.id):
        raise TooManyPosts(wait)
    old = chat.message_ids[: chat.message_ids.index(last) + 1] if last else chat.message_ids
    ids = {id: uuid4() for id in old if chat.messages[id].is_completed}
    now = datetime.now(UTC)
    copy = replace(
        chat,
        id=uuid4(),
        is_favorited=False,
        message_ids=list(ids.values()),
        messages={new: _copied(chat.messages[id], new) for id, new in ids.items()},
        created_at=now,
        updated_at=now,
        created_by=user.id,
        created_by_id=user.id,
        created_by_name=user.name,
        created_by_avatar=user.avatar_url,
    )
    await store_copy(services.backends.storage, request.id, copy, ids)
    return copy


def _copied(message: ChatMessage, id: UUID) -> ChatMessage:
    """The message without what only the original may do: what its agent waits for is answered there, and once."""
    steps = {id: _settled(step) for id, step in message.reasoning_messages.items()}
    answered = [each for each in message.approvals or () if each.approved is not None]
    return replace(message, id=id, reasoning_messages=steps, feedback=None, approvals=answered or UNSET)


def _settled(step: ReasoningMessage) -> ReasoningMessage:
    return replace(step, status="failed") if step.status == "loading" else step
