"""The chat family over HTTP. What is changed is told to the user's sockets by the frames that the same change on one sends."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from backends.search import find_chats
from handlers.delete_chats import delete_chats
from handlers.duplicate_chat import duplicate_chat
from handlers.http.asked import answered, id_of, payload_of, query_of
from handlers.read_chat import read_chat
from handlers.services import Services
from handlers.stop_chat import stop_chat
from handlers.update_chat import update_chat
from handlers.update_message import update_message
from schemas.chats import ChatListItem, ChatWithMessages, DeletedChats, Feedback
from schemas.requests import ChatTitle, DeleteChats, DuplicateChat, Ids, PageToken, Query, StopChat, UpdateChat, UpdateMessage
from schemas.users import Sender


class Page(msgspec.Struct, frozen=True):
    """Which page, counted from 0, how many chats a page has, and which words the chats have.

    A page has up to 5,000, since the first client of all asks for 3,500.
    """

    page_token: PageToken = 0
    page_size: Annotated[int, msgspec.Meta(ge=1, le=5000)] = 25
    query: Query | None = None


class ChatChange(msgspec.Struct, frozen=True):
    """What is to become of a chat. What is left out stays as it is."""

    title: ChatTitle | None = None
    is_favorited: bool | None = None


class MessageChange(msgspec.Struct, frozen=True):
    """What the user thinks of the answer; null takes it back."""

    feedback: Feedback | None


class Stopped(msgspec.Struct, frozen=True):
    """The chat whose answer is being stopped."""

    id: str


CHANGE = msgspec.json.Decoder(ChatChange)
FEEDBACK = msgspec.json.Decoder(MessageChange)
COPY = msgspec.json.Decoder(DuplicateChat)
GONE = msgspec.json.Decoder(DeleteChats | Ids)


async def get_chats(request: Request) -> Response:
    """The chats that the user may see, or those of them with these words, the newest first."""
    return await answered(request, _list)


async def get_one_chat(request: Request) -> Response:
    """The chat; if it is being answered, as it stands."""
    return await answered(request, _get)


async def put_chat(request: Request) -> Response:
    """Name the chat, or have it among one's favourites, or not. Answers with the chat."""
    return await answered(request, _update)


async def delete_many_chats(request: Request) -> Response:
    """Delete chats, for everybody. The body is a list of their ids, or an object with one."""
    return await answered(request, _delete)


async def copy_chat(request: Request) -> Response:
    """Make a chat of one's own that begins as another. Answers with the new chat."""
    return await answered(request, _copy)


async def stop_one_chat(request: Request) -> Response:
    """Stop the user's own answer in this chat. Its stream ends with what there was."""
    return await answered(request, _stop)


async def put_message(request: Request) -> Response:
    """Say what one thinks of an answer. Answers with the chat."""
    return await answered(request, _rate)


async def _list(services: Services, sender: Sender, request: Request) -> list[ChatListItem]:
    page: Page = query_of(request, Page)
    offset = page.page_token * page.page_size
    return await find_chats(services.backends.storage, sender.user.id, page.query or "", offset, page.page_size)


async def _get(services: Services, sender: Sender, request: Request) -> ChatWithMessages:
    id = id_of(request)
    chat, _ = await read_chat(services, sender.user, id)
    run = services.runs.in_chat(id)
    return run.transcript.snapshot() if run and run.transcript and run.user_id == sender.user.id else chat


async def _update(services: Services, sender: Sender, request: Request) -> ChatWithMessages:
    change: ChatChange = await payload_of(services, request, CHANGE)
    await update_chat(services, sender, UpdateChat(id_of(request), change.title, change.is_favorited))
    return await _get(services, sender, request)


async def _delete(services: Services, sender: Sender, request: Request) -> DeletedChats:
    given = await payload_of(services, request, GONE)
    return await delete_chats(services, sender, given if isinstance(given, DeleteChats) else DeleteChats(given))


async def _copy(services: Services, sender: Sender, request: Request) -> ChatWithMessages:
    return await duplicate_chat(services, sender, await payload_of(services, request, COPY))


async def _stop(services: Services, sender: Sender, request: Request) -> Stopped:
    id = id_of(request)
    await stop_chat(services, sender, StopChat(id))
    return Stopped(str(id))


async def _rate(services: Services, sender: Sender, request: Request) -> ChatWithMessages:
    change: MessageChange = await payload_of(services, request, FEEDBACK)
    told = await update_message(services, sender, UpdateMessage(id_of(request), change.feedback))
    chat, _ = await read_chat(services, sender.user, told.chat_id)
    return chat
