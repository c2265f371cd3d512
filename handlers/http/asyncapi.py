"""The WebSocket protocol as AsyncAPI 3, made of the routing table and the structs. `/asyncapi.json` serves it."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec.structs import fields

from handlers.http.documents import Json, changed, components, examples, in_words, table, told_by
from handlers.routes import ROUTES
from schemas.closes import CLOSES
from schemas.errors import MEANINGS, WsError
from schemas.events import TOLD, WsEvent
from schemas.frames import WsNumberedMessage, WsRequest, WsResponseMessage, WsRoutes, WsSendMethod

WS_PATH = "/api/v1/ws"
CHANNEL = "#/channels/socket"
LITERAL: Any = Literal  # for values that are known only at run time
ALONE = (WsSendMethod.SENDER_ONLY,)
WS_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "query": {"type": "httpApiKey", "in": "query", "name": "authentication", "description": "For browsers: the same JWT."},
}
QUERY = {
    "authentication": {"type": "string", "description": "The JWT, when it is not in the header."},
    "since": {
        "type": "string",
        "description": "Resume, and number the frames: empty from now on, or `<epoch>:<offset>` after that frame.",
    },
    "messages": {
        "type": "string",
        "enum": ["new"],
        "description": "In the chat of `initializeChat` and `complete` have only the message that the stream is about.",
    },
    "refuse": {
        "type": "string",
        "enum": ["close"],
        "description": "Refuse by a close with 4401 or 4503 instead of HTTP 401 or 503, which browsers show to no script.",
    },
}


class Message(NamedTuple):
    """A frame of one kind, whole: its type, and what it means."""

    frame: Any
    meaning: str


def requests() -> dict[str, Message]:
    """The messages that clients send, by name: one for each route."""
    made = {}
    for path, route in ROUTES.items():
        event, payload = LITERAL[route.event.value] | None, route.payload.type
        name = f"{route.event.value}Request"
        made[name] = Message(_narrowed(WsRequest, name, route=LITERAL[path], event=event, payload=payload), told_by(payload))
    return made


def answers() -> dict[str, Message]:
    """The messages that the server sends, by name: one for each event, an error for each route, and one for unknown routes."""
    made = {}
    for path, route in ROUTES.items():
        for event in route.answers:
            if event.value not in made:  # else it belongs to the stream that it ends
                made[event.value] = _answer(WsNumberedMessage, event, path, route.receivers)
        about = f"What was asked on `{path}` was refused, or has failed."
        name = f"{route.event.value}Error"
        made[name] = _error(name, about, route.receivers, route=LITERAL[path], event=LITERAL[route.event.value])
    about = "A frame was not understood. A `route` and an `event` that are not known are quoted; else they are `/` and `error`."
    made[WsEvent.ERROR.value] = _error("unknownError", about, ALONE, route=str, event=str)
    for event in (WsEvent.RESUMED, WsEvent.GOING_AWAY, WsEvent.HEARTBEAT):  # they belong to the connection, and to no request
        made[event.value] = _answer(WsResponseMessage, event, WsRoutes.STREAM.value, ALONE, without=("request_id",))
    return made


def _answer(
    envelope: Any, event: WsEvent, path: str, receivers: Iterable[WsSendMethod], without: tuple[str, ...] = ()
) -> Message:
    payload, meaning = TOLD[event]
    types = {"route": LITERAL[path], "event": LITERAL[event.value], "payload": payload, "error": None}
    return Message(_narrowed(envelope, f"{event.value}Frame", without, **types, send_method=_any_of(receivers)), meaning)


def _error(name: str, meaning: str, receivers: Iterable[WsSendMethod], **types: Any) -> Message:
    types |= {"payload": None, "error": WsError, "send_method": _any_of(receivers)}
    return Message(_narrowed(WsNumberedMessage, f"{name}Frame", **types), meaning)


def _any_of(methods: Iterable[WsSendMethod]) -> Any:
    return LITERAL[tuple(method.value for method in methods)]


def _narrowed(envelope: Any, name: str, without: tuple[str, ...] = (), **types: Any) -> Any:
    """The envelope as it is in one kind of frame: some of its fields can be less there."""
    kept = [field for field in fields(envelope) if field.name not in without]
    made = [(field.name, types.get(field.name, field.type), field.default) for field in kept]
    return msgspec.defstruct(name[0].upper() + name[1:], [each[:2] if each[2] is msgspec.NODEFAULT else each for each in made])


def asyncapi_document(version: str, max_frame_bytes: int, root_path: str = "") -> Json:
    """The document, for a server of this version, below this path, that reads frames of at most so many bytes."""
    sent, received = answers(), requests()
    messages = received | sent
    payloads, schemas = components([message.frame for message in messages.values()])
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Threadcast",
            "version": version,
            "description": "One message in, the answer streamed to every device of its user.",
        },
        "defaultContentType": "application/json",
        "servers": {"threadcast": _server(root_path)},
        "channels": {"socket": _channel(messages, max_frame_bytes)},
        "operations": {f"receive{_title(name)}": _receive(name) for name in received}
        | {f"send{_title(name)}": _operation("send", message.meaning, [name]) for name, message in sent.items()},
        "components": {
            "messages": {name: _message(name, messages[name], schema) for name, schema in zip(messages, payloads, strict=True)},
            "schemas": changed(schemas, _draft_7),
            "securitySchemes": WS_SECURITY,
        },
    }


def _server(root_path: str) -> Json:
    return {
        "host": "{host}",
        **({"pathname": root_path} if root_path else {}),
        "protocol": "ws",
        "description": "`wss` behind a proxy that has a certificate.",
        "variables": {"host": {"default": "127.0.0.1:8000", "description": "Where this document came from."}},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in WS_SECURITY],
    }


def _channel(messages: Iterable[str], max_frame_bytes: int) -> Json:
    errors = table(("code", "when"), *((f"`{code.value}`", meaning) for code, meaning in MEANINGS.items()))
    closes = table(("code", "why", "connect again"), *((code, close.why, close.reconnect) for code, close in CLOSES.items()))
    parts = [
        f"A client's frame is text or binary, UTF-8 JSON of at most {max_frame_bytes} bytes; unknown keys are ignored. "
        "The server's are text.",
        "An upgrade may be refused: with HTTP 401 without a good token, with 503 while the server is full or about to stop.",
        f"Errors leave the connection open:\n\n{errors}",
        f"Close codes:\n\n{closes}",
    ]
    query = {"type": "object", "properties": QUERY}
    return {
        "address": WS_PATH,
        "description": "\n\n".join(parts),
        "servers": [{"$ref": "#/servers/threadcast"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "query": query, "bindingVersion": "0.1.0"}},
    }


def _receive(name: str) -> Json:
    route = next(route for route in ROUTES.values() if name == f"{route.event.value}Request")
    answered = [*(event.value for event in route.answers), f"{route.event.value}Error"]
    operation = _operation("receive", told_by(route.payload.type), [name])
    return operation | {"reply": {"channel": {"$ref": CHANNEL}, "messages": _references(answered)}}


def _operation(action: str, meaning: str, names: list[str]) -> Json:
    return {"action": action, "channel": {"$ref": CHANNEL}, **in_words(meaning), "messages": _references(names)}


def _references(names: Iterable[str]) -> list[Json]:
    return [{"$ref": f"{CHANNEL}/messages/{name}"} for name in names]


def _message(name: str, message: Message, schema: Json) -> Json:
    label = "id" if "id" in message.frame.__struct_fields__ else "request_id"
    correlated = label in message.frame.__struct_fields__
    return {
        "name": name,
        **in_words(message.meaning),
        "contentType": "application/json",
        **({"correlationId": {"location": f"$message.payload#/{label}"}} if correlated else {}),
        "payload": schema,
        "examples": [{"payload": example} for example in examples()["messages"].get(name, [])],
    }


def _title(name: str) -> str:
    return name[0].upper() + name[1:]


def _draft_7(schema: Json) -> Json:
    """AsyncAPI's schemas are of JSON Schema's draft 7, which has tuples under another name, and no such discriminators."""
    match schema:
        case {"prefixItems": items, **rest}:
            return {**rest, "items": items}
        case {"discriminator": {"mapping": _}, **rest}:
            return rest
    return schema
