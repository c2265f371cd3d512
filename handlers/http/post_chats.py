"""`POST /api/v1/chats`: `/chats/post` for those who have no socket. The same payload, checks and run, by `post_thread`.

The answer is the finished chat or, for who accepts `text/event-stream`, the stream of the post.
"""

from contextlib import ExitStack
from uuid import UUID, uuid4

import anyio
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from handlers.authenticate import authenticate, refusal, token_of
from handlers.errors import describe
from handlers.http.answer import Answer, NotAnswered
from handlers.http.asked import body_of, query_of
from handlers.http.events import EVENTS, Brief
from handlers.http.post_stream import PostConnection, PostStream
from handlers.let_in import keep_out, let_in, let_out
from handlers.post_thread import post_thread
from handlers.receive import read_payload
from handlers.routes import ROUTES
from handlers.services import Services
from handlers.tasks import Restarting
from schemas.chats import ChatWithMessages
from schemas.errors import ThreadcastError, WsError
from schemas.frames import WsRoutes, encode
from schemas.requests import ChatCreateNewChat
from schemas.users import Sender


async def post_chats(request: Request) -> Response:
    """Answer with the finished chat. The user's sockets see its stream, and the run goes on if the caller goes away.

    For who accepts `text/event-stream` it is the stream of this post, as `/api/v1/events` tells it, up to its end. What is
    refused before anything was sent is a status there, too.
    """
    if wants_events(request):
        return await _streamed(request)
    services: Services = request.state.services
    try:
        user = await authenticate(services, token_of(request))
        with ExitStack() as inside:
            inside.enter_context(services.requests.entered_by(user.id))
            services.connections.outboxes.check(user.id)  # now, since the answer might find no room
            query_of(request, Brief)  # of a stream, and wrong here, too, if it is wrong there
            payload = await _payload_of(services, request)
            end = await _end_of(services, Sender(user, connection_id=None), payload, request.receive)
            if not isinstance(end, WsError):
                return await _answer(services, user.id, end, inside)
    except Exception as error:
        services.backends.metrics.refused(error)
        end = describe(error)
    return refusal(end)


def wants_events(request: Request) -> bool:
    """Whether the client names Server-Sent Events among what it accepts."""
    accepted = ",".join(request.headers.getlist("accept")).split(",")
    return any(each.partition(";")[0].strip().lower() == EVENTS for each in accepted)


async def _streamed(request: Request) -> Response:
    services: Services = request.state.services
    try:
        query: Brief = query_of(request, Brief)
        connection = await let_in(services, token_of(request), PostConnection, numbered=True, brief=query.is_brief)
    except Exception as error:
        return refusal(keep_out(services, error))
    with ExitStack() as unless_streamed:
        unless_streamed.callback(let_out, services, connection)
        try:
            payload = await _payload_of(services, request)
        except Exception as error:
            services.backends.metrics.refused(error)
            return refusal(describe(error))
        unless_streamed.pop_all()
    message_id = payload.message_id or uuid4()  # the frames of the post are known by it
    return PostStream(services, connection, replace(payload, message_id=message_id), message_id)


async def _payload_of(services: Services, request: Request) -> ChatCreateNewChat:
    """The post in the body. Raises BadRequest, which says at which field."""
    body = await body_of(request, services.max_frame_bytes)
    post: ChatCreateNewChat = read_payload(ROUTES[WsRoutes.CHATS_POST.value], body, "$")
    return post


async def _answer(services: Services, user_id: UUID, chat: ChatWithMessages, inside: ExitStack) -> Answer:
    """The answer, once there is room for it. The request is open until it has been read. Raises NotAnswered."""
    outboxes = services.connections.outboxes
    share = outboxes.share_of(user_id)
    try:
        await outboxes.wait(user_id)
    except ThreadcastError:
        raise NotAnswered from None
    return Answer(encode(chat), share, inside.pop_all())


async def _end_of(
    services: Services, sender: Sender, payload: ChatCreateNewChat, receive: Receive
) -> ChatWithMessages | WsError:
    ends: list[ChatWithMessages | WsError] = []
    ended = anyio.Event()

    async def run() -> None:
        try:
            ends.append(await post_thread(services, sender, payload))
        except Exception as error:
            ends.append(describe(error))
        finally:
            ended.set()

    services.tasks.start_soon(run)  # the run belongs to the server: this request may be cancelled
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_gone, receive, ended)
        await ended.wait()
        tasks.cancel_scope.cancel()
    return ends[0] if ends else describe(Restarting())


async def _until_gone(receive: Receive, ended: anyio.Event) -> None:
    """Wait until the caller has gone away, which ends the request."""
    while (await receive())["type"] != "http.disconnect":
        pass
    ended.set()
