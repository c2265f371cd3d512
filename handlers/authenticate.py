"""Authentication, and the wording of refusals, for HTTP and for the WebSocket's handshake."""

import math

from msgspec import UNSET
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from backends.logs import bind_contextvars
from handlers.errors import describe
from handlers.services import Services
from schemas.errors import NotFound, Unauthorized, WsError, WsErrorCode
from schemas.frames import encode
from schemas.users import AuthenticatedUser

STATUS = {
    WsErrorCode.BAD_REQUEST: 400,
    WsErrorCode.UNAUTHORIZED: 401,
    WsErrorCode.NOT_FOUND: 404,
    WsErrorCode.TOO_MANY_REQUESTS: 429,
    WsErrorCode.INTERNAL_SERVER_ERROR: 500,
    WsErrorCode.SERVICE_UNAVAILABLE: 503,
}

# How an upgrade is refused with `refuse=close`. Of an HTTP response a browser shows a script neither status nor body.
CLOSE = {
    WsErrorCode.UNAUTHORIZED: 4401,
    WsErrorCode.SERVICE_UNAVAILABLE: 4503,
    WsErrorCode.TOO_MANY_REQUESTS: 4029,
}
TOO_MANY = CLOSE[WsErrorCode.TOO_MANY_REQUESTS]  # always a close


def token_of(connection: HTTPConnection) -> str:
    """The token that came in the header, or in the query, since browsers cannot set headers. Raises Unauthorized."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    found = token.strip() if scheme.lower() == "bearer" else connection.query_params.get("authentication")
    if not found:
        raise Unauthorized("no token")
    return found


async def authenticate(services: Services, token: str) -> AuthenticatedUser:
    """The user for whom the token stands. Raises Unauthorized."""
    user = await services.backends.auth.authenticate(token)
    if user is None:
        raise Unauthorized("invalid token")
    bind_contextvars(user=str(user.id))
    return user


def json_response(payload: object, status: int = 200) -> Response:
    """A payload of the wire as an HTTP body."""
    return Response(encode(payload), status, media_type="application/json")


async def refuse(websocket: WebSocket, error: WsError) -> int | None:
    """Answer an upgrade by this error: in HTTP, or by a close whose code is returned."""
    code = CLOSE.get(error.code)
    if code == TOO_MANY or (code and websocket.query_params.get("refuse") == "close"):
        await websocket.accept()
        await websocket.close(code, error.message)
        return code
    await websocket.send_denial_response(refusal(error))
    return None


def refusal(error: WsError) -> Response:
    """An error of the wire as an HTTP response."""
    response = json_response(error, STATUS[error.code])
    if error.code is WsErrorCode.UNAUTHORIZED:
        response.headers["www-authenticate"] = "Bearer"
    if error.retry_after is not UNSET:
        response.headers["retry-after"] = str(math.ceil(error.retry_after))
    return response


async def no_such_page(request: Request, error: Exception) -> Response:
    """Answer a request for a path that is not there, in the words of the API."""
    return refusal(describe(NotFound()))


async def no_such_path(websocket: WebSocket) -> None:
    """Answer an upgrade of any other path by HTTP 404, where Starlette's own is a 403."""
    await refuse(websocket, describe(NotFound()))
