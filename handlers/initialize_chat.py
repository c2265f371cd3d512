"""The beginning of a run: its message, and where there is none yet its chat, made and stored before anybody is told."""

from datetime import UTC, datetime
from uuid import UUID

from backends.chats import add_message, create_chat, replace_message
from backends.storage import Storage
from handlers.context import Context
from handlers.runs import Run
from handlers.transcript import Transcript
from schemas.chats import ChatCreateNewChat, ChatMessage, ChatUserMessage, ChatWithMessages
from schemas.users import AuthenticatedUser


async def initialize_chat(
    storage: Storage, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, context: Context
) -> Transcript:
    """Store an unanswered message: the first of a new chat, a new one of the context's chat, or one of its own again."""
    message = _message(run.message_id, request, user)
    if context.chat is None:
        chat = _chat(run.chat_id, user, message, title="" if request.prompt else f"View {context.assets[0].name}")
        await create_chat(storage, chat, message, user)
        return Transcript(chat, message)
    chat = context.chat
    chat.updated_at = message.created_at
    if before := chat.messages.get(message.id):
        message.created_at = before.created_at
        await replace_message(storage, chat, message)
    else:
        chat.message_ids.append(message.id)
        await add_message(storage, chat, message, user)
    chat.messages[message.id] = message
    return Transcript(chat, message)


def _message(id: UUID, request: ChatCreateNewChat, user: AuthenticatedUser) -> ChatMessage:
    return ChatMessage(
        id=id,
        request_message=ChatUserMessage(request.prompt, user.id, user.name, user.avatar_url) if request.prompt else None,
        response_message_ids=[],
        response_messages={},
        reasoning_message_ids=[],
        reasoning_messages={},
        created_at=datetime.now(UTC),
        final_reasoning_message=None,
        is_completed=False,
    )


def _chat(id: UUID, user: AuthenticatedUser, message: ChatMessage, title: str) -> ChatWithMessages:
    return ChatWithMessages(
        id=id,
        title=title,
        is_favorited=False,
        message_ids=[message.id],
        messages={message.id: message},
        created_at=message.created_at,
        updated_at=message.created_at,
        created_by=user.id,
        created_by_id=user.id,
        created_by_name=user.name,
        created_by_avatar=user.avatar_url,
    )
