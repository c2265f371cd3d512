"""`POST /api/v1/chats`: `/chats/post` for those who have no socket. The same payload, checks and run, by `post_thread`."""

from contextlib import ExitStack
from uuid import UUID

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from handlers.authenticate import authenticate, refusal, token_of
from handlers.errors import describe
from handlers.http.answer import Answer, NotAnswered
from handlers.http.asked import body_of
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
    """Answer with the finished chat. The user's sockets see its stream, and the run goes on if the caller goes away."""
    services: Services = request.state.services
    try:
        user = await authenticate(services, token_of(request))
        with ExitStack() as inside:
            inside.enter_context(services.requests.entered_by(user.id))
            services.connections.outboxes.check(user.id)  # now, since the answer might find no room
            payload = read_payload(ROUTES[WsRoutes.CHATS_POST.value], await body_of(request, services.max_frame_bytes), "$")
            end = await _end_of(services, Sender(user, connection_id=None), payload, request.receive)
            if not isinstance(end, WsError):
                return await _answer(services, user.id, end, inside)
    except Exception as error:
        services.backends.metrics.refused(error)
        end = describe(error)
    return refusal(end)


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
