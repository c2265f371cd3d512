"""A chat from the database, as everybody may see it who may see the chat."""

from uuid import UUID

from msgspec.structs import replace

from backends.messages import title_from
from handlers.context import KINDS, Context
from handlers.orphans import close_soon, is_orphan
from handlers.runs import INTERRUPTED
from handlers.services import Services
from schemas.assets import CHAT
from schemas.chats import ChatWithMessages
from schemas.errors import NotFound
from schemas.requests import GetChat
from schemas.users import AuthenticatedUser


async def read_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> tuple[ChatWithMessages, Context]:
    """The chat from the database, and what else there is to know of it. Raises NotFound.

    Reading needs no write, so a chat can be read while the database takes none. A message that nobody answers any more is shown
    as what it is about to be, interrupted; a task closes it.
    """
    context = await stored_chat(services, user, chat_id)
    if is_orphan(services, context.running):
        context = await stored_chat(services, user, chat_id)  # between the two reads its run may have stored its end and left
    chat = chat_of(context)
    if context.running and is_orphan(services, context.running):
        message = chat.messages[context.running.id]
        message.is_completed, message.final_reasoning_message, message.finish_reason = True, INTERRUPTED, "interrupted"
        chat.title = chat.title or title_from(message.request_message.request if message.request_message else None)
        close_soon(services, chat_id)
    return chat, context


async def stored_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> Context:
    """The chat as it is stored. Raises NotFound."""
    return await KINDS[CHAT].load(services.backends.storage, user.id, chat_id)


def chat_of(context: Context) -> ChatWithMessages:
    """The chat that was loaded. Raises NotFound when it was something else."""
    if context.chat is None:
        raise NotFound
    return context.chat


def excerpt(chat: ChatWithMessages, request: GetChat) -> ChatWithMessages:
    """The chat with those of its messages that are asked for. If the chat has no `before`, there are none."""
    ids = chat.message_ids
    if request.before:
        ids = ids[: ids.index(request.before)] if request.before in ids else []
    if request.last:
        ids = ids[-request.last :]
    return replace(chat, messages={id: chat.messages[id] for id in ids})


def is_settled(chat: ChatWithMessages) -> bool:
    """Whether all of its messages have been answered."""
    return all(message.is_completed for message in chat.messages.values())
