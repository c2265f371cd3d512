"""The HTTP interface as OpenAPI 3.1, made of the table of paths and the structs. `/openapi.json` serves it."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from handlers.authenticate import STATUS
from handlers.http.documents import Json, components, examples, in_words, told_by
from handlers.http.events import EVENTS
from schemas.errors import MEANINGS, WsError

HTTP_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "query": {"type": "apiKey", "in": "query", "name": "authentication", "description": "For browsers: the same JWT."},
}
REFUSALS = dict.fromkeys(STATUS.values(), WsError)
REASONS = {STATUS[code]: meaning for code, meaning in MEANINGS.items()}
RETRY_AFTER = {"Retry-After": {"description": "`retry_after`, rounded up.", "schema": {"type": "integer", "minimum": 0}}}
REFUSAL_HEADERS: dict[int, Json] = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}}},
    HTTPStatus.TOO_MANY_REQUESTS: RETRY_AFTER,
    HTTPStatus.SERVICE_UNAVAILABLE: RETRY_AFTER,
}


class Path(NamedTuple):
    """A path: its endpoint, its answers by status, and its body. A `str` is plain text, all else is JSON.

    `streams`: who accepts `text/event-stream` is answered with that.
    """

    method: str
    endpoint: Callable[[Request], Awaitable[Response]]
    answers: dict[int, Any]
    body: Any = None
    query: type[msgspec.Struct] | None = None
    streams: bool = False

    @property
    def needs_token(self) -> bool:
        """Whether a caller without a token is refused."""
        return HTTPStatus.UNAUTHORIZED in self.answers


def openapi_document(paths: Mapping[str, tuple[Path, ...]], version: str, max_body_bytes: int, root_path: str = "") -> Json:
    """The document, for a server of this version, below this path, that reads bodies of at most so many bytes."""
    each = [path for methods in paths.values() for path in methods]
    types = list({type: None for path in each for type in (*path.answers.values(), path.body) if type})
    made, schemas = components(types)
    by_type = dict(zip(types, made, strict=True))
    bound = f"At most {max_body_bytes} bytes."
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Threadcast",
            "version": version,
            "description": "Beside the WebSocket, which `/asyncapi.json` is about: posts and chats for who has none, and "
            "the server's state.",
        },
        "servers": [{"url": root_path or "/"}],
        "paths": {
            path: {each.method.lower(): _operation(path, each, by_type, bound) for each in methods}
            for path, methods in paths.items()
        },
        "components": {"schemas": schemas, "securitySchemes": HTTP_SECURITY},
    }


def _operation(path: str, each: Path, schemas: dict[Any, Json], bound: str) -> Json:
    operation: Json = {
        "operationId": each.endpoint.__name__,
        **in_words(told_by(each.endpoint)),
        "security": [{name: []} for name in HTTP_SECURITY] if each.needs_token else [],
        **({"parameters": parameters} if (parameters := _parameters(path, each)) else {}),
        "responses": {str(status): _response(path, status, each, schemas) for status in each.answers},
    }
    if each.body:
        content = _content(schemas[each.body], examples()["requests"].get(named(path, each.method), []))
        operation["requestBody"] = {"required": True, "description": bound, "content": content}
    return operation


def named(path: str, method: str) -> str:
    """What the recorded examples call an operation."""
    return f"{method} {path}" if path.startswith("/api/v1/") else path


def _parameters(path: str, each: Path) -> list[Json]:
    named: list[Json] = []
    if "{id}" in path:
        named.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}})
    if each.query:
        properties = components([each.query])[1][each.query.__name__]["properties"]
        named += [{"name": name, "in": "query", "schema": schema} for name, schema in properties.items()]
    return named


def _response(path: str, status: int, each: Path, schemas: dict[Any, Json]) -> Json:
    answer = each.answers[status]
    description = REASONS[status] if answer is WsError else HTTPStatus(status).phrase
    recorded = examples()["responses"].get(named(path, each.method), {}).get(str(status), [])
    response: Json = {"description": description, "content": {}}
    if answer is not str or not each.streams:
        response["content"] |= _content(schemas[answer], recorded, answer)
    if each.streams and answer is not WsError:
        response["content"][EVENTS] = {
            "schema": {"type": "string", "description": "Server-Sent Events, with frames as `data`."}
        }
    if answer is WsError and status in REFUSAL_HEADERS:
        response["headers"] = REFUSAL_HEADERS[status]
    return response


def _content(schema: Json, recorded: list[Any], answer: Any = None) -> Json:
    found: Json = {"schema": schema}
    if recorded:
        found["examples"] = {f"recorded{number}": {"value": value} for number, value in enumerate(recorded, 1)}
    return {"text/plain" if answer is str else "application/json": found}
