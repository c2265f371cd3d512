"""The one table of what there is over HTTP, and the two descriptions of it all. They need no token and name nobody."""

from collections.abc import Collection
from functools import cache
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from handlers.dev import demo_assets
from handlers.http.asyncapi import asyncapi_document
from handlers.http.chats import (
    ChatChange,
    MessageChange,
    Page,
    Stopped,
    copy_chat,
    delete_many_chats,
    get_chats,
    get_one_chat,
    put_chat,
    put_message,
    stop_one_chat,
)
from handlers.http.console import pages
from handlers.http.events import Brief, Since, get_events
from handlers.http.health import healthz, metrics, readyz
from handlers.http.openapi import REFUSALS, Path, openapi_document
from handlers.http.post_chats import post_chats
from handlers.services import Services
from schemas.chats import ChatListItem, ChatWithMessages, DeletedChats
from schemas.frames import encode
from schemas.health import Alive, NotReady, Ready
from schemas.requests import ChatCreateNewChat, DeleteChats, DuplicateChat, Ids


async def asyncapi(request: Request) -> Response:
    """The WebSocket protocol as AsyncAPI 3."""
    services: Services = request.state.services
    document = _asyncapi(services.version, services.max_frame_bytes, request.scope.get("root_path", ""))
    return Response(document, media_type="application/json")


async def openapi(request: Request) -> Response:
    """The HTTP interface as OpenAPI 3.1."""
    services: Services = request.state.services
    document = _openapi(services.version, services.max_frame_bytes, request.scope.get("root_path", ""))
    return Response(document, media_type="application/json")


PATHS: dict[str, tuple[Path, ...]] = {
    "/api/v1/chats": (
        Path("GET", get_chats, {200: list[ChatListItem], **REFUSALS}, query=Page),
        Path("POST", post_chats, {200: ChatWithMessages, **REFUSALS}, ChatCreateNewChat, Brief, streams=True),
        Path("DELETE", delete_many_chats, {200: DeletedChats, **REFUSALS}, DeleteChats | Ids),
    ),
    "/api/v1/chats/duplicate": (Path("POST", copy_chat, {200: ChatWithMessages, **REFUSALS}, DuplicateChat),),
    "/api/v1/chats/{id}": (
        Path("GET", get_one_chat, {200: ChatWithMessages, **REFUSALS}),
        Path("PUT", put_chat, {200: ChatWithMessages, **REFUSALS}, ChatChange),
    ),
    "/api/v1/chats/{id}/stop": (Path("POST", stop_one_chat, {200: Stopped, **REFUSALS}),),
    "/api/v1/messages/{id}": (Path("PUT", put_message, {200: ChatWithMessages, **REFUSALS}, MessageChange),),
    "/api/v1/events": (Path("GET", get_events, {200: str, **REFUSALS}, query=Since, streams=True),),
    "/healthz": (Path("GET", healthz, {200: Alive}),),
    "/readyz": (Path("GET", readyz, {200: Ready, 503: NotReady}),),
    "/metrics": (Path("GET", metrics, {200: str}),),
    "/asyncapi.json": (Path("GET", asyncapi, {200: dict[str, Any]}),),
    "/openapi.json": (Path("GET", openapi, {200: dict[str, Any]}),),
}


def http_routes(dev: bool, frame_ancestors: Collection[str], login_url: str | None) -> list[Route]:
    """The routes over HTTP: the table, the page, and in development the page's demo assets."""
    unlisted = pages(frame_ancestors, login_url)
    if dev:
        unlisted["/demo.json"] = demo_assets
    return [
        *(_route(path, methods) for path, methods in PATHS.items()),
        *(Route(path, endpoint, include_in_schema=False) for path, endpoint in unlisted.items()),
    ]


def _route(path: str, methods: tuple[Path, ...]) -> Route:
    """One route for all methods of a path, so that another method is told of all of them."""
    endpoints = {each.method: each.endpoint for each in methods}

    async def endpoint(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path.replace("{id}", "{id:uuid}"), endpoint, methods=list(endpoints))


@cache
def _asyncapi(version: str, max_frame_bytes: int, root_path: str) -> bytes:
    return encode(asyncapi_document(version, max_frame_bytes, root_path))


@cache
def _openapi(version: str, max_body_bytes: int, root_path: str) -> bytes:
    return encode(openapi_document(PATHS, version, max_body_bytes, root_path))
