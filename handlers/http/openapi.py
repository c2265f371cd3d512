"""The HTTP interface as OpenAPI 3.1, made of the table of paths and the structs. `/openapi.json` serves it."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from handlers.authenticate import STATUS
from handlers.http.documents import Json, components, examples, in_words, told_by
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
    """A path: its endpoint, its answers by status, and its body. A `str` is plain text, all else is JSON."""

    method: str
    endpoint: Callable[[Request], Awaitable[Response]]
    answers: dict[int, Any]
    body: Any = None  # a path that takes a body needs a token, too


def openapi_document(paths: Mapping[str, Path], version: str, max_body_bytes: int) -> Json:
    """The document, for a server of this version that reads bodies of at most so many bytes."""
    types = list({type: None for path in paths.values() for type in (*path.answers.values(), path.body) if type})
    made, schemas = components(types)
    by_type = dict(zip(types, made, strict=True))
    bound = f"At most {max_body_bytes} bytes."
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Threadcast",
            "version": version,
            "description": "Beside the WebSocket, which `/asyncapi.json` is about: a post for those who have none, and the "
            "server's state.",
        },
        "servers": [{"url": "/"}],
        "paths": {path: {each.method.lower(): _operation(path, each, by_type, bound)} for path, each in paths.items()},
        "components": {"schemas": schemas, "securitySchemes": HTTP_SECURITY},
    }


def _operation(path: str, each: Path, schemas: dict[Any, Json], bound: str) -> Json:
    operation: Json = {
        "operationId": each.endpoint.__name__,
        **in_words(told_by(each.endpoint)),
        "security": [{name: []} for name in HTTP_SECURITY] if each.body else [],
        "responses": {str(status): _response(path, status, each, schemas) for status in each.answers},
    }
    if each.body:
        content = _content(schemas[each.body], examples()["requests"].get(path, []))
        operation["requestBody"] = {"required": True, "description": bound, "content": content}
    return operation


def _response(path: str, status: int, each: Path, schemas: dict[Any, Json]) -> Json:
    answer = each.answers[status]
    description = REASONS[status] if answer is WsError else HTTPStatus(status).phrase
    recorded = examples()["responses"].get(path, {}).get(str(status), [])
    response: Json = {"description": description, "content": _content(schemas[answer], recorded, answer)}
    if answer is WsError and status in REFUSAL_HEADERS:
        response["headers"] = REFUSAL_HEADERS[status]
    return response


def _content(schema: Json, recorded: list[Any], answer: Any = None) -> Json:
    media: Json = {"schema": schema}
    if recorded:
        media["examples"] = {f"recorded{number}": {"value": value} for number, value in enumerate(recorded, 1)}
    return {"text/plain" if answer is str else "application/json": media}
