"""Posting a chat, whatever it came over: check, look up, store, answer, store. Knows channels, but no sockets."""

import logging
import time
from contextlib import aclosing
from datetime import UTC, datetime
from uuid import UUID, uuid4

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from backends.agent import AgentTask
from backends.chats import add_message, create_chat, finish_message, message_exists, title_from
from handlers.context import KINDS, Context
from handlers.open_asset import open_asset
from handlers.services import Services
from handlers.transcript import Item, Transcript
from handlers.validate import validate
from schemas.assets import CHAT, EDITING_ROLES, Asset
from schemas.chats import ChatCreateNewChat, ChatMessage, ChatUserMessage, ChatWithMessages
from schemas.errors import NotFound, TooManyRequests, Unauthorized
from schemas.events import ThreadEvent
from schemas.users import AuthenticatedUser

Channel = MemoryObjectSendStream[Item]

logger = logging.getLogger("threadcast")

SAVE_TIMEOUT_S = 10.0  # for keeping what there is of a run that was cancelled: a shutdown waits for no longer


async def post_chat_handler(
    services: Services, request: ChatCreateNewChat, user: AuthenticatedUser, tx: Channel
) -> ChatWithMessages:
    """Run one post to its end and return the chat as it is then stored; all that comes before the end goes into `tx`.

    Raises a ThreadcastError for what is refused, before anything is written, and whatever fails underneath.
    """
    request = validate(request)
    if wait := await services.backends.rate_limit.hit(user.id):
        raise TooManyRequests(f"too many requests, retry in {wait} seconds")
    message_id = request.message_id or uuid4()
    if message_id in services.running:
        raise NotFound
    services.running.add(message_id)
    try:
        context = await _load_context(services, request, user)
        if request.message_id and await message_exists(services.backends.storage, message_id):
            raise NotFound
        transcript = _begin(message_id, request, user, context)
        await _store(services, transcript, user, is_new=context.chat is None)
        await _send(tx, (transcript.snapshot(), ThreadEvent.INITIALIZE_CHAT))
        return await _answer(services, transcript, request, context, tx)
    finally:
        services.running.discard(message_id)


async def _load_context(services: Services, request: ChatCreateNewChat, user: AuthenticatedUser) -> Context:
    storage = services.backends.storage
    if request.asset_id and request.asset_type:
        return await KINDS[request.asset_type].load(storage, user.id, request.asset_id)
    if request.chat_id:
        context = await KINDS[CHAT].load(storage, user.id, request.chat_id)
        if not context.roles & EDITING_ROLES:
            raise Unauthorized("you may view this chat, but not post in it")
        if context.chat:
            await _bury(services, context.chat)
        return context
    return Context()


async def _bury(services: Services, chat: ChatWithMessages) -> None:
    """Finish, as they stand, messages that nobody answers any more: the database was away when their runs ended."""
    for message in chat.messages.values():
        if not message.is_completed and message.id not in services.running:
            message.is_completed, message.final_reasoning_message = True, "Interrupted"
            await finish_message(services.backends.storage, chat, message, ())


def _begin(message_id: UUID, request: ChatCreateNewChat, user: AuthenticatedUser, context: Context) -> Transcript:
    now = datetime.now(UTC)
    message = ChatMessage(
        id=message_id,
        request_message=ChatUserMessage(request.prompt, user.id, user.name, user.avatar_url) if request.prompt else None,
        response_message_ids=[],
        response_messages={},
        reasoning_message_ids=[],
        reasoning_messages={},
        created_at=now,
        final_reasoning_message=None,
        is_completed=False,
    )
    chat = context.chat or _new_chat(user, now, title="" if request.prompt else f"View {context.assets[0].name}")
    chat.message_ids.append(message.id)
    chat.messages[message.id] = message
    chat.updated_at = now
    return Transcript(chat, message)


def _new_chat(user: AuthenticatedUser, now: datetime, title: str) -> ChatWithMessages:
    return ChatWithMessages(
        id=uuid4(),
        title=title,
        is_favorited=False,
        message_ids=[],
        messages={},
        created_at=now,
        updated_at=now,
        created_by=user.id,
        created_by_id=user.id,
        created_by_name=user.name,
        created_by_avatar=user.avatar_url,
    )


async def _store(services: Services, transcript: Transcript, user: AuthenticatedUser, is_new: bool) -> None:
    store = create_chat if is_new else add_message
    await store(services.backends.storage, transcript.chat, transcript.message, user)


async def _answer(
    services: Services, transcript: Transcript, request: ChatCreateNewChat, context: Context, tx: Channel
) -> ChatWithMessages:
    files = context.assets[:1] if request.asset_id else ()
    try:
        if request.prompt is None:
            for part in open_asset(context.assets):
                await _send(tx, transcript.add_response(part, "completed"))
        else:
            await _run_agent(services, transcript, request.prompt, context, tx)
        return await _finish(services, transcript, files)
    except Exception:
        await _keep(services, transcript, files, "Failed")
        raise
    except BaseException:  # cancelled: the server is going down
        with anyio.CancelScope(shield=True), anyio.move_on_after(SAVE_TIMEOUT_S):
            await _keep(services, transcript, files, "Interrupted")
        raise


async def _run_agent(services: Services, transcript: Transcript, prompt: str, context: Context, tx: Channel) -> None:
    started = time.monotonic()
    history = context.chat.messages.values() if context.chat else ()
    task = AgentTask(
        prompt=prompt,
        assets=context.assets,
        history=tuple(message for message in history if message is not transcript.message),
        wants_title=not transcript.chat.title,
    )
    async with aclosing(services.backends.agent.run(task)) as events:
        async for event in events:
            for item in transcript.apply(event):
                await _send(tx, item)
    for item in transcript.close():
        await _send(tx, item)
    transcript.message.final_reasoning_message = f"Reasoned for {round(time.monotonic() - started)} seconds"


async def _finish(services: Services, transcript: Transcript, files: tuple[Asset, ...]) -> ChatWithMessages:
    """Store the message as it now stands and as finished."""
    transcript.close()
    transcript.message.is_completed = True
    transcript.chat.updated_at = datetime.now(UTC)
    transcript.chat.title = transcript.chat.title or title_from(_request_of(transcript.message))
    await finish_message(services.backends.storage, transcript.chat, transcript.message, files)
    return transcript.snapshot()


async def _keep(services: Services, transcript: Transcript, files: tuple[Asset, ...], why: str) -> None:
    """Store what there is of a run that ends early. The run's own error matters more than one of this."""
    transcript.message.final_reasoning_message = why
    try:
        await _finish(services, transcript, files)
    except Exception:
        logger.exception("message %s stays unfinished until the next start", transcript.message.id)


def _request_of(message: ChatMessage) -> str | None:
    return message.request_message.request if message.request_message else None


async def _send(tx: Channel, item: Item) -> None:
    """Put into the channel, waiting only when it is full: `send` gives up the processor each time, `send_nowait` does not."""
    try:
        tx.send_nowait(item)
    except anyio.WouldBlock:
        await tx.send(item)
