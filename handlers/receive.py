"""From a frame to its handler: read the envelope, look the route up, read the payload, start the handler.

Nothing here waits: this runs in the connection's receive loop, where waiting would hold up the next frame and even the
disconnect. What cannot be read is answered on as much of its own route, event and id as could be.
"""

import json
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace

from backends.broker import send_error_message
from handlers.connection import Connection
from handlers.errors import describe
from handlers.routes import ROUTES, Route
from handlers.services import Services
from schemas.errors import BadRequest, ThreadcastError, TooManyRequests
from schemas.events import WsEvent
from schemas.frames import RequestId, WsRequest, WsRoutes
from schemas.users import Sender

ENVELOPE = msgspec.json.Decoder(WsRequest)
QUOTED_TEXT = 64  # characters of a client's own words that an answer repeats, at most
LONGEST_SALVAGED = 65_536  # bytes or characters of a bad frame that is read again, which is slow and delays everybody
MOST_VISITED = 2_000  # values that are searched for a lone surrogate, for the same reason
LONGEST_PATH = 200  # characters of the path to a bad text
AT = " - at `$"  # msgspec's words for where; the payload is read by itself, so its paths lack `$.payload`


def receive(services: Services, connection: Connection, data: str | bytes) -> None:
    """Start what the frame asks for, or answer what is wrong with it."""
    within_rate = connection.rate.hit()
    try:
        text = data if isinstance(data, str) else data.decode()
        request = ENVELOPE.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not within_rate:
            return _refuse(services, Sender(connection.user, connection.id), None, None, _too_many(connection))
        salvaged = _salvage(data)
        sender = Sender(connection.user, connection.id, _request_id(salvaged.get("id")))
        return _refuse(services, sender, _quotable(salvaged.get("route")), None, BadRequest(_reason(error, salvaged)))
    sender = Sender(connection.user, connection.id, request.id)
    route = ROUTES.get(request.route)
    if route is None:
        unknown = BadRequest("unknown route - at `$.route`")
        return _refuse(services, sender, _quotable(request.route), request.event, unknown)
    try:
        if not within_rate:
            raise _too_many(connection)
        if request.event not in (None, route.event.value):
            raise BadRequest(f"the event of this route is {route.event.value} - at `$.event`")
        payload = read_payload(route, request.payload, "$.payload")
    except (BadRequest, TooManyRequests) as error:
        return _refuse(services, sender, request.route, None, error)
    services.tasks.start_soon(_handle, services, sender, route, WsRoutes(request.route), payload)


def _too_many(connection: Connection) -> TooManyRequests:
    return TooManyRequests("frames", f"more than {connection.rate.per_second} frames in a second, retry in 1 second", 1)


def read_payload(route: Route, data: bytes | msgspec.Raw, root: str) -> Any:
    """The route's payload. Raises BadRequest, which says what is wrong and at which field below `root`, such as `$.payload`."""
    return read(route.payload, data, root)


def read(decoder: msgspec.json.Decoder[Any], data: bytes | msgspec.Raw, root: str) -> Any:
    """What the decoder makes of it. Raises BadRequest, as `read_payload` does."""
    try:
        return decoder.decode(data)
    except UnicodeDecodeError:
        raise BadRequest(f"text must be UTF-8 - at `{root}`") from None
    except RecursionError:
        raise BadRequest(f"nested too deeply - at `{root}`") from None
    except msgspec.DecodeError as error:
        what, at, where = str(error).rpartition(AT)
        raise BadRequest(f"{what} - at `{root}{where}" if at else f"{where} - at `{root}`") from None


async def _handle(services: Services, sender: Sender, route: Route, path: WsRoutes, payload: Any) -> None:
    reader = sender.connection_id if route.is_read else None
    try:
        with services.requests.entered_by(sender.user.id), services.requests.needed_by(reader):
            await route.handler(services, sender, payload)
    except Exception as error:
        services.backends.metrics.refused(error)
        send_error_message(services.backends.broker, sender, path, route.event, describe(error))


def _refuse(services: Services, sender: Sender, route: str | None, event: str | None, error: ThreadcastError) -> None:
    known = ROUTES.get(route or "")
    answer = known.event if known else (_quotable(event) if route else None) or WsEvent.ERROR
    services.backends.metrics.refused(error)
    told = describe(error)
    told = replace(told, message=told.message.encode(errors="backslashreplace").decode())  # it may quote a lone surrogate
    send_error_message(services.backends.broker, sender, route or WsRoutes.ROOT, answer, told)


def _salvage(data: str | bytes) -> dict[str, Any]:
    """Read a frame that did not decode with a more forgiving reader, which passes wrong types and lone surrogates."""
    if len(data) > LONGEST_SALVAGED:
        return {}
    try:
        text = data if isinstance(data, str) else data.decode()  # from bytes, json would guess the encoding
        found = json.loads(text, parse_constant=_not_json, parse_int=float)  # int() refuses more than 4,300 digits
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _not_json(constant: str) -> NoReturn:
    raise ValueError(constant)  # NaN and Infinity: Python reads them, JSON does not have them


def _quotable(value: Any) -> str | None:
    """A client's own words if they may go back to it: text, short, and possible to encode."""
    return value if isinstance(value, str) and len(value) <= QUOTED_TEXT and value.isprintable() else None


def _request_id(value: Any) -> str | None:
    try:
        return msgspec.json.decode(msgspec.json.encode(value), type=RequestId)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def _reason(error: Exception, salvaged: dict[str, Any]) -> str:
    if isinstance(error, RecursionError):
        return "the frame is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "the frame is not UTF-8"
    if salvaged and not isinstance(error, msgspec.ValidationError):  # it is JSON, except for its surrogates
        return f"a lone surrogate is not text - at `{_surrogate(salvaged) or '$'}`"
    return str(error)


def _surrogate(value: Any) -> str | None:
    """The path of a text that cannot be encoded. Without recursion: the frame may be as deep as its reader could go."""
    left = [("$", value)]
    for _ in range(MOST_VISITED):
        if not left:
            break
        path, part = left.pop()
        if isinstance(part, str) and any("\ud800" <= character <= "\udfff" for character in part):
            return path[:LONGEST_PATH]
        if isinstance(part, dict):
            left += [(f"{path}.{key[:QUOTED_TEXT]}", below) for key, below in part.items()]
        elif isinstance(part, list):
            left += [(f"{path}[{index}]", below) for index, below in enumerate(part)]
    return None
