"""Posting a chat, whatever it came over: check, look up, store, answer, store. Knows channels, but no sockets."""

import logging
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import anyio

from backends.agent import AgentTask
from backends.lease import Lease
from backends.logs import bind_contextvars
from backends.messages import Stored, find_message
from handlers.channel import Channel
from handlers.checkpoints import checkpointed
from handlers.context import Context
from handlers.finish_chat import EndNotStored, LeaseLost, finish_chat
from handlers.gate import Restarting
from handlers.get_chat import read_chat
from handlers.initialize_chat import editable_chat, initialize_chat
from handlers.nodes.elsewhere import MessageTaken, Patience, is_elsewhere
from handlers.nodes.notices import tell_run_ended
from handlers.open_asset import open_asset
from handlers.run_agent import is_stuck, run_agent
from handlers.runs import FAILED, INTERRUPTED, RETRY_S, Run
from handlers.services import Services
from handlers.transcript import Transcript
from handlers.validate import validate
from schemas.assets import Asset
from schemas.chats import ChatWithMessages
from schemas.errors import NotFound, ServiceUnavailable, ThreadcastError, TooManyRequests
from schemas.events import ThreadEvent
from schemas.requests import ChatCreateNewChat
from schemas.users import AuthenticatedUser

SAVE_TIMEOUT_S = 3.0  # for keeping what there is of a run that was cancelled: a shutdown waits for no longer

logger = logging.getLogger("threadcast")


class Ran(NamedTuple):
    """The post was answered, and this is the chat as it is stored."""

    chat: ChatWithMessages


class Replayed(NamedTuple):
    """The post was a retry of one that had been answered before. Nothing was run."""

    chat: ChatWithMessages


class Joined(NamedTuple):
    """The post is a retry of one that is being answered: this is its run, which has begun and not ended."""

    run: Run


class JoinedElsewhere(NamedTuple):
    """The same, of a run of another node."""

    running: Stored


class Closed(NamedTuple):
    """The post was being answered when this node lost its lease. Whoever has closed the run tells its end."""

    chat: ChatWithMessages | None


Outcome = Ran | Replayed | Joined | JoinedElsewhere | Closed


async def post_chat_handler(
    services: Services, request: ChatCreateNewChat, user: AuthenticatedUser, channel: Channel, lease: Lease
) -> Outcome:
    """Run one post to its end; all that comes before the end goes into `channel`.

    Raises a ThreadcastError for what is refused, before anything is written, and whatever fails underneath.
    """
    request = validate(request)
    if wait := await services.backends.rate_limit.hit(user.id):
        raise TooManyRequests("posts", f"too many requests, retry in {wait} seconds", wait)
    if request.prompt and is_stuck(services):
        raise ServiceUnavailable("the agent does not let go of earlier posts", RETRY_S)
    run = Run(request.message_id or uuid4(), user.id, request.chat_id or uuid4(), channel, lease)
    bind_contextvars(message=str(run.message_id))
    while other := services.runs.get(run.message_id):
        if other.user_id != user.id:
            raise NotFound
        if request.chat_id not in (None, other.chat_id):
            if other.begun.is_set():
                raise NotFound
            await other.begun.wait()  # a retry that is being looked up: it is of no chat yet, and will be no run
        elif request.chat_id and not request.once:  # to be replaced
            other.stop()
            await other.ended.wait()
        else:
            await other.begun.wait()
            if other.is_refused:
                raise other.refusal()
            if other.transcript and not other.ended.is_set():
                return Joined(other)
    with services.runs.entered(run):
        patience = Patience(services, run)
        while True:
            with suppress(MessageTaken):  # and so it is a retry
                return await _look_up(services, run, request, user, patience)


async def _look_up(
    services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, patience: Patience
) -> Outcome:
    if request.message_id and (stored := await find_message(services.backends.storage, run.message_id)):
        if stored.user_id != user.id or request.chat_id not in (None, stored.chat_id):
            raise NotFound
        is_retry = request.once or not request.chat_id
        if is_retry and is_elsewhere(services, stored):
            return JoinedElsewhere(stored)
        if is_retry:
            async with services.connections.outboxes.room(user.id):  # as a get has: many may come at once
                chat, _ = await read_chat(services, user, stored.chat_id)
            return Replayed(chat)
        if is_elsewhere(services, stored):
            await patience.stop(stored)
    if request.chat_id:
        await editable_chat(services, user, request.chat_id)  # who may not edit may not wait either
    bind_contextvars(chat=str(run.chat_id))
    async with services.runs.turn(run):
        if services.runs.cannot_end:
            raise Restarting
        context, transcript = await initialize_chat(services, run, request, user, patience)
        lost = False
        try:
            run.end = await _run(services, run, request, context, transcript)
            return Ran(run.end)
        except LeaseLost:
            lost = True
            _ended(services, run, "lost")
            with suppress(Exception):  # only a post that came over HTTP wants it
                run.end, _ = await read_chat(services, user, run.chat_id)
            return Closed(run.end)
        finally:
            tell_run_ended(services, run, lost)


async def _run(
    services: Services, run: Run, request: ChatCreateNewChat, context: Context, transcript: Transcript
) -> ChatWithMessages:
    await run.channel.send([(transcript.snapshot(), ThreadEvent.INITIALIZE_CHAT)])
    run.begin(transcript)
    if services.nodes.shared:
        services.backends.broker.streams.begin(run.user_id, run.chat_id, run.message_id)
    files = context.assets[:1] if request.asset_id else ()
    try:
        has_ended = await _answer(services, run, transcript, request, context)
        reasoned = f"Reasoned for {round(run.seconds)} seconds" if request.prompt else None
        await run.channel.send(transcript.close())
        chat = await finish_chat(services, run, transcript, files, reasoned if has_ended else run.stopped_as)
        _ended(services, run, "Completed" if has_ended else run.stopped_as)
        return chat
    except LeaseLost:
        raise
    except EndNotStored as error:
        run.error = error
        _ended(services, run, INTERRUPTED)
        raise
    except Exception as error:
        await _keep(services, run, transcript, files, FAILED)
        if isinstance(error, ThreadcastError):  # a refusal, of which no other line tells
            logger.info("run ended")
        raise
    except BaseException:  # cancelled: the server is going down
        with anyio.move_on_after(SAVE_TIMEOUT_S, shield=True):
            await _keep(services, run, transcript, files, INTERRUPTED)
        raise


async def _answer(services: Services, run: Run, transcript: Transcript, request: ChatCreateNewChat, context: Context) -> bool:
    """Answer the post. False when it is stopped before its end."""
    if request.prompt is None:
        if run.stopping.done():
            return False
        await run.channel.send(transcript.add_response(part, "completed") for part in open_asset(context.assets))
        return True
    ids = transcript.chat.message_ids
    history = tuple(transcript.chat.messages[id] for id in ids[: ids.index(run.message_id)])
    task = AgentTask(request.prompt, context.assets, history)
    with checkpointed(services, run, transcript) as checkpoints:
        return await run_agent(services, run, task, transcript, checkpoints)


async def _keep(services: Services, run: Run, transcript: Transcript, files: tuple[Asset, ...], why: str) -> None:
    """Store what there is of a run that ends early. The run's own error matters more than one of this, but for LeaseLost."""
    for _ in transcript.close():  # nobody is told
        pass
    try:
        await finish_chat(services, run, transcript, files, why)
    except LeaseLost:
        raise
    except Exception:
        logger.exception("message %s stays unfinished until somebody posts in its chat", transcript.message.id)
    _ended(services, run, why)


def _ended(services: Services, run: Run, end: str) -> None:
    facts = {"end": end.lower(), "seconds": round(run.seconds, 1), "words": run.transcript.words if run.transcript else 0}
    if end == FAILED:
        bind_contextvars(**facts)  # its error's line has them
    else:
        logger.info("run ended", extra=facts)
    services.backends.metrics.runs_ended.labels(end.lower()).inc()
