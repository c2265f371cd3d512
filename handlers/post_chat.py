"""Posting a chat, whatever it came over: check it, look up what it repeats, and answer it. Knows streams, but no sockets."""

from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

import anyio
from msgspec.structs import replace

from backends.lease import LeaseLost
from backends.logs import bind_contextvars
from backends.stored import find_message
from handlers.answer_post import answer_post, run_ended
from handlers.cluster import MessageTaken, RunElsewhere
from handlers.errors import describe
from handlers.initialize_chat import Begun, Opened, initialize_chat
from handlers.read_chat import read_chat
from handlers.run_agent import is_stuck
from handlers.runs import TURN_RETRY_S, Run
from handlers.services import Services
from handlers.store_answer import EndNotStored
from handlers.stream import Stream
from handlers.tasks import TooManyPosts
from schemas.assets import DASHBOARD, METRIC
from schemas.chats import ChatWithMessages
from schemas.errors import BadRequest, NotFound, ServiceUnavailable, WsError
from schemas.events import ThreadEvent
from schemas.requests import ChatCreateNewChat
from schemas.users import AuthenticatedUser

ASSET_TYPE_MISSING = "asset_type must be provided when asset_id is specified"
ASSET_ID_MISSING = "asset_id must be provided when asset_type is specified"
MORE_THAN_ONE = "only one of chat_id, asset_id, metric_id and dashboard_id can be provided"
APPROVALS_OF = "approvals need the chat_id of the chat that asks"
NOTHING_ASKED = "a prompt is required unless an asset is provided"


class Ran(NamedTuple):
    """The post was answered, which has been told, and this is the chat as it is stored."""

    chat: ChatWithMessages


class Failed(NamedTuple):
    """The post's answer has ended with an error, which has been told."""

    error: WsError


class Replayed(NamedTuple):
    """The post was a retry of one that had been answered before. Nothing was run."""

    chat: ChatWithMessages


class Joined(NamedTuple):
    """The post is a retry of one that is being answered: this is its run, which has begun, and whose end is not put yet."""

    run: Run


class JoinedElsewhere(NamedTuple):
    """The post is a retry of one that another node is answering."""

    run: RunElsewhere


class Closed(NamedTuple):
    """The post was being answered when this node lost its lease. The node that closes the run tells its end."""

    run: Run


Outcome = Ran | Failed | Replayed | Joined | JoinedElsewhere | Closed


async def post_chat_handler(services: Services, request: ChatCreateNewChat, user: AuthenticatedUser, stream: Stream) -> Outcome:
    """Run one post to its end, which the stream tells with all that comes before it.

    The run keeps its chat for itself until its end has been told. So whatever comes next in the chat, on any stream, is told
    after that end.

    Raises a ThreadcastError for what is refused, before anything is written, and whatever fails before the stream begins.
    """
    request = validate(request)
    if request.model not in (None, *services.models):
        raise BadRequest(f"model must be {' or '.join(services.models) or 'left out'}")
    if wait := await services.backends.rate_limit.hit(user.id):
        raise TooManyPosts(wait)
    if (request.prompt or request.approvals) and is_stuck(services):
        raise ServiceUnavailable("the agent does not let go of earlier posts", TURN_RETRY_S)
    run = Run(request.message_id or uuid4(), user.id, request.chat_id or uuid4(), stream.lease)
    run.model = request.model or next(iter(services.models), run.model)
    bind_contextvars(message=str(run.message_id))
    if joined := await _join(services, run, request):
        return Joined(joined)
    with services.runs.entered(run):
        while True:
            with suppress(MessageTaken):  # then it is a retry
                return await _look_up(services, run, request, user, stream)


async def _join(services: Services, run: Run, request: ChatCreateNewChat) -> Run | None:
    """Wait until no other run here has the message: a retry waits for its end, a replacement stops it.

    Returns the other run if the post is a retry that joins it. Raises NotFound if it is another user's, or in another chat.
    """
    while other := services.runs.get(run.message_id):
        if other.user_id != run.user_id:
            raise NotFound
        if request.chat_id not in (None, other.chat_id):
            if other.begun.is_set():
                raise NotFound
            await other.begun.wait()  # a retry that is being looked up: it has no chat yet, and never becomes a run
        elif request.chat_id and not request.once:  # the new post replaces it
            other.stop()
            await other.ended.wait()
        else:
            await other.begun.wait()
            if other.is_refused:
                raise other.refusal()
            if other.transcript and not other.is_over:
                return other
            await other.ended.wait()
    return None


async def _look_up(
    services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, stream: Stream
) -> Outcome:
    """Take up what became of a post that this one repeats, or answer it."""
    if request.message_id and (earlier := await find_message(services.backends.storage, run.message_id)):
        if earlier.user_id != user.id or request.chat_id not in (None, earlier.chat_id):
            raise NotFound
        elsewhere = services.cluster.elsewhere(earlier)
        is_retry = request.once or not request.chat_id
        if is_retry and elsewhere:
            return JoinedElsewhere(elsewhere)
        if is_retry:
            await services.cluster.heard(user.id, earlier.chat_id)
            async with services.connections.outboxes.room(user.id):  # as for a get, since many may come at once
                chat, _ = await read_chat(services, user, earlier.chat_id)
            return Replayed(chat)
        if elsewhere:
            await elsewhere.stop(run)
    async with initialize_chat(services, run, request, user) as stored:
        services.cluster.begun(run)
        if isinstance(stored, Opened):
            outcome: Ran | Failed | Closed = await _tell_opened(services, run, stored, stream)
        else:
            async with stream.opened() as run.channel:
                outcome = await _answer(services, run, request, user, stored, stream)
        if isinstance(outcome, Ran):
            services.cluster.ended(run)
        return outcome


async def _tell_opened(services: Services, run: Run, opened: Opened, stream: Stream) -> Ran:
    """Tell the whole stream of a post that was stored with its answer. Nobody joins it: a retry gets it from the database."""
    run.over()
    run.end = opened.transcript.snapshot()
    run_ended(services, run, opened.transcript, "Completed")
    await stream.tell([*opened.items, (run.end, ThreadEvent.COMPLETED)])
    return Ran(run.end)


async def _answer(
    services: Services, run: Run, request: ChatCreateNewChat, user: AuthenticatedUser, stored: Begun, stream: Stream
) -> Ran | Failed | Closed:
    """Answer the post. Its end is the last that is put into the channel."""
    try:
        run.end = await answer_post(services, run, request, user, stored, stream)
    except LeaseLost:
        services.cluster.ended(run, lost=True)
        run.error = EndNotStored()
        with suppress(Exception):  # only posts over HTTP and retries need it
            chat, _ = await read_chat(services, user, run.chat_id)
            if chat.messages[run.message_id].is_completed:
                run.end = chat
        return Closed(run)
    except BaseException as error:  # whatever happens in a run ends only that run
        services.cluster.ended(run)
        if not isinstance(error, Exception):  # cancelled: the server stops
            raise
        services.backends.metrics.refused(error)
        end = describe(error)
        with suppress(anyio.BrokenResourceError):  # the stream has failed, and has said so
            await run.channel.send([end])
        return Failed(end)
    with suppress(anyio.BrokenResourceError):
        await run.channel.send([(run.end, ThreadEvent.COMPLETED)])
    return Ran(run.end)


def validate(request: ChatCreateNewChat) -> ChatCreateNewChat:
    """The request in its plain form: a blank prompt is None, a legacy field is the generic pair. Raises BadRequest.

    Looks nothing up. The checks count the fields as they came, so that a legacy field is never counted beside its own pair.
    """
    if request.asset_id and not request.asset_type:
        raise BadRequest(ASSET_TYPE_MISSING)
    if request.asset_type and not request.asset_id:
        raise BadRequest(ASSET_ID_MISSING)
    subjects = [request.chat_id, request.asset_id, request.metric_id, request.dashboard_id]
    if sum(subject is not None for subject in subjects) > 1:
        raise BadRequest(MORE_THAN_ONE)
    if request.approvals and not request.chat_id:
        raise BadRequest(APPROVALS_OF)
    plain = _without_legacy(replace(request, prompt=request.prompt if (request.prompt or "").strip() else None))
    if plain.prompt is None and plain.asset_id is None and not plain.approvals:
        raise BadRequest(NOTHING_ASKED)
    return replace(plain, once=True) if plain.approvals else plain  # what was approved is not to be done twice


def _without_legacy(request: ChatCreateNewChat) -> ChatCreateNewChat:
    if request.metric_id:
        return replace(request, asset_id=request.metric_id, asset_type=METRIC, metric_id=None)
    if request.dashboard_id:
        return replace(request, asset_id=request.dashboard_id, asset_type=DASHBOARD, dashboard_id=None)
    return request
