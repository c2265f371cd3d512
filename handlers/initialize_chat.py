"""The beginning of a run: its message, and where there is none yet its chat, made and stored before anybody is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import NamedTuple
from uuid import UUID

from backends.chats import find_roles
from backends.logs import bind_contextvars
from backends.messages import add_message, create_chat, replace_message, size_of_message
from backends.storage import Conflict
from handlers.approvals import answered
from handlers.cluster import ChatBusy, MessageTaken, Overtaken
from handlers.context import KINDS, Context
from handlers.open_asset import open_asset
from handlers.orphans import is_orphan
from handlers.read_chat import is_settled, stored_chat
from handlers.runs import Run
from handlers.services import Services
from handlers.tasks import Restarting
from handlers.transcript import Transcript
from schemas.assets import CHAT, EDITING_ROLES, AssetPermissionRole
from schemas.chats import ChatMessage, ChatUserMessage, ChatWithMessages
from schemas.errors import BadRequest, NotFound, Unauthorized
from schemas.events import Item, ThreadEvent
from schemas.requests import ChatCreateNewChat
from schemas.users import AuthenticatedUser

CHAT_FULL = "the chat is full, start another"


class Begun(NamedTuple):
    """A post whose message is stored, and is to be answered."""

    context: Context
    transcript: Transcript


class Opened(NamedTuple):
    """A post without a prompt, which is stored with its answer. `items` are what is told of it before its end."""

    transcript: Transcript
    items: list[Item]


@asynccontextmanager
async def initialize_chat(
    services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser
) -> AsyncIterator[Begun | Opened]:
    """Store the message: the first of a new chat, a new one of the context's chat, or one of its own again.

    It is stored when it is the run's turn, and the run has the chat for itself until the block ends. Raises MessageTaken when
    the message is there by then and not to be replaced, BadRequest when the chat is full, and what waiting for a turn does.
    """
    if request.chat_id:
        roles = await find_roles(services.backends.storage, user.id, request.chat_id)
        _check_may_edit(roles)  # who may not edit may not wait in line either
    bind_contextvars(chat=str(run.chat_id))
    async with services.runs.turn(run):
        if services.runs.cannot_end or run.lease.lost:
            raise Restarting
        attempt = _initialize if request.prompt or request.approvals else _open
        yield await services.cluster.turn(run, partial(attempt, services, run, request, user))


async def _initialize(services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser) -> Begun:
    context = await _load_context(services, request, user)
    if run.lease.lost:
        raise Restarting
    if request.once and context.chat and run.message_id in context.chat.messages:
        raise MessageTaken
    if context.chat and not is_settled(context.chat):
        raise ChatBusy
    asked = answered(context.chat, request.approvals) if context.chat and request.approvals else None
    room = _room(services, context, run.message_id, request.prompt)
    run.holds = True
    try:
        return await _store(services, run, request, user, context, room, asked)
    except (Overtaken, Conflict):
        run.holds = False
        raise


async def _open(services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser) -> Opened:
    """Without a prompt the whole answer is known now, so one commit stores all of it, and nothing is told before."""
    context = await _load_context(services, request, user)
    room = _room(services, context, run.message_id, None)
    if run.lease.lost:
        raise Restarting
    if run.stopping.done():
        raise run.refusal()
    message = _message(run.message_id, request, user)
    transcript = Transcript(_chat(run.chat_id, user, message, title=f"View {context.assets[0].name}"), message, room)
    begin = transcript.snapshot(), ThreadEvent.INITIALIZE_CHAT
    parts = [transcript.add_response(part, "completed") for part in open_asset(context.assets)]
    message.is_completed = True
    await create_chat(services.backends.storage, transcript.chat, message, user, run.owner, context.assets[:1])
    return Opened(transcript, [begin, *parts])


async def _editable_chat(services: Services, user: AuthenticatedUser, chat_id: UUID) -> Context:
    """The chat, and what it is about. Raises NotFound, or Unauthorized."""
    context = await stored_chat(services, user, chat_id)
    _check_may_edit(context.roles)
    return context


def _check_may_edit(roles: frozenset[AssetPermissionRole] | None) -> None:
    """Raises NotFound when the user may not even see the chat, or Unauthorized."""
    if roles is None:
        raise NotFound
    if not roles & EDITING_ROLES:
        raise Unauthorized("you may view this chat, but not post in it")


async def _load_context(services: Services, request: ChatCreateNewChat, user: AuthenticatedUser) -> Context:
    if request.asset_id and request.asset_type:
        return await KINDS[request.asset_type].load(services.backends.storage, user.id, request.asset_id)
    if request.chat_id:
        context = await _editable_chat(services, user, request.chat_id)
        if is_orphan(services, context.running):
            await services.cluster.close_orphans(request.chat_id)
            return await _editable_chat(services, user, request.chat_id)
        return context
    return Context()


def _room(services: Services, context: Context, message_id: UUID, prompt: str | None) -> int:
    """The bytes that the answer may have. Messages that are replaced make room. Raises BadRequest when there is none."""
    kept = takewhile(lambda each: each[0] != message_id, context.sizes.items())
    room = services.chat_bytes - sum(size for _, size in kept) - size_of_message(prompt)
    if room <= 0:
        raise BadRequest(CHAT_FULL)
    return room


async def _store(
    services: Services,
    run: Run,
    request: ChatCreateNewChat,
    user: AuthenticatedUser,
    context: Context,
    room: int,
    asked: ChatMessage | None,
) -> Begun:
    """Raises Overtaken when what was loaded is not how the chat stands, and Conflict when there is such a message.

    `asked` is the chat's last message when the post answers its questions: of several such posts exactly one is stored.
    """
    storage, owner = services.backends.storage, run.owner
    message = _message(run.message_id, request, user)
    if context.chat is None:
        chat = _chat(run.chat_id, user, message, title="")
        await create_chat(storage, chat, message, user, owner)
        return Begun(context, Transcript(chat, message, room))
    chat = context.chat
    seen = chat.updated_at
    chat.updated_at = message.created_at
    if before := chat.messages.get(message.id):
        message.created_at = before.created_at
        discarded = _discard_after(chat, message.id)
        stored = await replace_message(storage, chat, message, owner, seen)
        if stored and discarded:  # assets that only the discarded messages had are not the chat's any more
            with suppress(Exception):  # the post is stored: if this fails, it is answered with the assets of before
                context = await KINDS[CHAT].load(storage, user.id, chat.id)
    else:
        chat.message_ids.append(message.id)
        stored = await add_message(storage, chat, message, user, owner, seen, asked)
        if asked:
            chat.messages[asked.id] = asked
    chat.messages[message.id] = message
    if not stored:
        raise Overtaken
    return Begun(context, Transcript(chat, message, room))


def _discard_after(chat: ChatWithMessages, message_id: UUID) -> list[UUID]:
    """Take out the messages after this one, which is asked anew, and return their ids."""
    end = chat.message_ids.index(message_id) + 1
    chat.message_ids, discarded = chat.message_ids[:end], chat.message_ids[end:]
    for id in discarded:
        del chat.messages[id]
    return discarded


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
