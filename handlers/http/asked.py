"""What clients ask over HTTP that a frame asks on a socket: the same token, limits and checks, and the answer as JSON."""

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from handlers.authenticate import authenticate, refusal, token_of
from handlers.errors import describe
from handlers.http.answer import Answer
from handlers.receive import read
from handlers.services import Services
from schemas.errors import BadRequest
from schemas.frames import encode
from schemas.users import Sender

Work = Callable[[Services, Sender, Request], Awaitable[object]]


async def answered(request: Request, work: Work) -> Response:
    """What the work returns, as JSON; or a refusal. The request is open until its answer has been read."""
    services: Services = request.state.services
    try:
        user = await authenticate(services, token_of(request))
        with ExitStack() as inside:
            inside.enter_context(services.requests.entered_by(user.id))
            outboxes = services.connections.outboxes
            outboxes.check(user.id)
            share = outboxes.share_of(user.id)
            found = await work(services, Sender(user, connection_id=None), request)
            await outboxes.wait(user.id)
            return Answer(encode(found), share, inside.pop_all())
    except Exception as error:
        services.backends.metrics.refused(error)
        return refusal(describe(error))


async def body_of(request: Request, max_bytes: int) -> bytes:
    """The request's body. Raises BadRequest when it is too large, or ends too early."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > max_bytes:
                raise BadRequest(f"the body is larger than {max_bytes} bytes")
    except ClientDisconnect:  # nobody is there to read an answer, and it is no failure of ours
        raise BadRequest("the body ended too early") from None
    return bytes(body)


async def payload_of(services: Services, request: Request, decoder: msgspec.json.Decoder[Any]) -> Any:
    """The body, decoded. Raises BadRequest, which says at which field."""
    return read(decoder, await body_of(request, services.max_frame_bytes), "$")


def id_of(request: Request) -> UUID:
    """The id in the path."""
    id: UUID = request.path_params["id"]
    return id


def query_of(request: Request, type: Any) -> Any:
    """The query as this struct. Raises BadRequest, which says at which name."""
    given = {name: value for name, value in request.query_params.items() if name in type.__struct_fields__}
    try:
        return msgspec.convert(given, type, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
