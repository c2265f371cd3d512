"""Pages of other origins: browsers ask, and are told, which may call the API. No cookie is used, so none is allowed."""

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

API = "/api/v1/"
PREFLIGHT_S = 600  # seconds for which a browser need not ask again


class ApiCors:
    """Answers the preflights of all paths of the API, and lets pages of these origins read what they are answered."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=("GET", "POST", "PUT", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "Last-Event-ID"),
            expose_headers=("Retry-After",),
            max_age=PREFLIGHT_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_open = scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")).startswith(API)
        await (self._open if is_open else self._app)(scope, receive, send)
