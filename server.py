"""The door: the application, its WebSocket endpoint and its lifespan."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.endpoints import WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from backends import Backends, open_backends
from backends.hosting import METRICS
from backends.logs import bind_contextvars
from backends.socket_protocol import LINE
from handlers.authenticate import no_such_page, no_such_path, refuse, token_of
from handlers.connection import Connection
from handlers.dev import demo_token, short_token
from handlers.http.asyncapi import WS_PATH
from handlers.http.cors import ApiCors
from handlers.http.paths import http_routes
from handlers.http.sub_path import SubPath
from handlers.index import keep_indexing
from handlers.let_in import go_on, keep_out, let_in, let_out
from handlers.line import PlainLine
from handlers.orphans import close_orphans_first
from handlers.receive import receive
from handlers.revoked import keep_checking
from handlers.services import Services, services_of
from handlers.sweep import keep_sweeping
from handlers.tasks import open_tasks
from handlers.timers import Timers
from schemas.users import Sender
from settings import Settings

logger = logging.getLogger("threadcast")


class Socket(WebSocketEndpoint):
    """`/api/v1/ws`: authenticates before the upgrade, then hands each frame on and never waits for what it starts."""

    encoding = None  # with "json" Starlette would close the socket at the first bad frame

    services: Services
    connection: Connection
    since: str | None = None
    connected_at = 0.0  # by the loop's clock
    timers: Timers

    async def dispatch(self) -> None:
        """When this ends, for any reason, all that belongs to the connection ends. Runs belong to the server and go on."""
        if await self.is_let_in():
            try:
                await self.converse()
            finally:
                let_out(self.services, self.connection)

    async def is_let_in(self) -> bool:
        """Make the connection of whoever has a token, if there is a place for it. Everybody else is refused."""
        websocket = WebSocket(self.scope, self.receive, self.send)
        self.services, self.since = websocket.state.services, websocket.query_params.get("since")
        try:
            token = token_of(websocket)
            brief = websocket.query_params.get("messages") == "new"
            self.connection = await let_in(self.services, token, Connection, numbered=self.since is not None, brief=brief)
        except Exception as error:
            if code := await refuse(websocket, keep_out(self.services, error)):
                self.services.backends.metrics.closed(code)
            return False
        return True

    async def converse(self) -> None:
        """Hear what the user is told, and take their frames, until the socket is closed."""
        sender = Sender(self.connection.user, self.connection.id)
        bind_contextvars(connection=sender.connection_id)
        self.timers = Timers(self.connection, sender, self.services.ping_seconds)
        async with self.services.backends.broker.subscribe(sender.user.id, self.connection, self.since) as resumption:
            go_on(self.services, self.connection, self.since or "", resumption)
            await super().dispatch()

    async def on_connect(self, websocket: WebSocket) -> None:
        self.connected_at = asyncio.get_running_loop().time()
        with suppress(OSError):  # the client has gone; the next receive() says so
            await websocket.accept()
        line = self.scope.get("extensions", {}).get(LINE, {}).get(LINE) or PlainLine(websocket.send_text, websocket.close)
        self.connection.open(line)
        self.timers.start()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        receive(self.services, self.connection, data)
        await anyio.lowlevel.checkpoint()  # many frames may have come at once: let other tasks run between them

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.timers.stop()
        seconds = round(asyncio.get_running_loop().time() - self.connected_at, 1)
        logger.info("disconnected", extra={"code": close_code, "seconds": seconds})
        self.services.backends.metrics.closed(close_code)


def create_app(
    settings: Settings, secret: Secret, opened: AbstractAsyncContextManager[Backends] | None = None, dev: bool = False
) -> Starlette:
    """The ASGI application. Its lifespan opens what the settings ask for, or enters `opened`, and holds all runs.

    `dev`: the demo user's short token is accepted, and `/demo.json` is served.
    """
    short_tokens = {short_token(secret): demo_token(secret)} if dev else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            opened or open_backends(settings, secret, short_tokens) as backends,
            AsyncExitStack() as stack,
            open_tasks() as tasks,
            anyio.create_task_group() as essential,  # if one of these ends, the server must end
        ):
            services = services_of(settings, backends, tasks)
            await stack.enter_async_context(services.cluster.joined(essential))
            await close_orphans_first(services, essential)
            essential.start_soon(keep_checking, services)
            essential.start_soon(keep_sweeping, services, settings.deleted_days)
            essential.start_soon(keep_indexing, services)
            yield {"services": services, METRICS: backends.metrics}
            essential.cancel_scope.cancel()

    routes = [
        WebSocketRoute(WS_PATH, Socket),
        WebSocketRoute(f"{WS_PATH}/", Socket),
        *http_routes(dev, settings.frame_ancestors, settings.login_url),
        WebSocketRoute("/{path:path}", no_such_path),
    ]
    below = [Middleware(SubPath, settings.root_path)] if settings.root_path else []
    cors = [Middleware(ApiCors, settings.cors_origins)] if settings.cors_origins else []
    app = Starlette(routes=routes, lifespan=lifespan, middleware=below + cors, exception_handlers={404: no_such_page})
    app.router.redirect_slashes = False  # a redirect would repeat the query, which may have a token
    return app


if __name__ == "__main__":
    import cli  # here, since cli imports this module

    cli.main()  # type: ignore[has-type]  # mypy reads this module first
