"""The door: the application, its WebSocket endpoint and its lifespan, and the command line."""

import asyncio
import gc
import logging
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import anyio
import anyio.lowlevel
import click
from anyio.abc import TaskGroup
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from backends import Backends, alone, migrate, open_backends, open_storage
from backends.accounts import add_api_key, find_user_by_email
from backends.auth import API, PERSON, issue_token
from backends.descriptors import all_descriptors
from backends.hosting import LINE, METRICS, Server
from backends.limits import FrameRate
from backends.listening import CannotListen, address_of, sockets_on
from backends.logs import bind_contextvars
from backends.nodes import Nodes
from backends.storage import Probe
from backends.workers import serve_together
from handlers.asyncapi import WS_PATH
from handlers.connection import TOKEN_EXPIRED, Connection, PlainLine
from handlers.connections import Connections
from handlers.console import page
from handlers.dev import NoSecret, demo_assets, demo_token, dev_secret, make_dev_secret, short_token, url_kept, welcome
from handlers.draining import drain
from handlers.errors import describe
from handlers.frames import heartbeat_frame, resumed_frames
from handlers.gate import Gate
from handlers.http import authenticate, refuse, token_of
from handlers.load_file import DEMO_FILE, LoadError, load_file
from handlers.notices import tell_crowded
from handlers.others import Others
from handlers.outboxes import Outboxes
from handlers.paths import PATHS
from handlers.receive import receive
from handlers.requests import Requests
from handlers.revoked import keep_checking
from handlers.runs import Runs
from handlers.services import Sender, Services, Timeouts
from handlers.tasks import Tasks, open_tasks
from handlers.watch import enter, leave
from schemas.errors import NotFound
from schemas.load import LoadFile
from settings import MIN_SECRET_CHARACTERS, VERSION, Settings, SettingsError, load_settings

DAY_S = 86_400
THREAD_SWITCH_S = 0.0005  # Python's 5 ms are long for the database's thread, and so for whoever waits for a commit
ALONE = (
    "--workers needs THREADCAST_BROKER_URL=redis://... and THREADCAST_DATABASE_URL=postgresql+asyncpg://...: without Redis no "
    "process hears what another one answers, and SQLite has one that writes"
)
FEW_UNHEARD = 1_000  # sockets of which nobody knows who they are, where few connections are allowed
GARBAGE = (20_000, 20, 50)  # objects and turns: Python's 700 search what is alive for cycles at every second post
LONGEST_SLEEP_S = 86_400.0  # event loops do not take any number of seconds; a token may

logger = logging.getLogger("threadcast")


class Socket(WebSocketEndpoint):
    """`/api/v1/ws`: authenticates before the upgrade, then hands each frame on and never waits for what it starts."""

    encoding = None  # Starlette's "json" closes the socket on the first bad frame

    connection: Connection
    connected_at = 0.0  # by the loop's clock
    tasks: TaskGroup
    sender: Sender
    expiry: asyncio.TimerHandle | None = None
    heartbeat: asyncio.TimerHandle | None = None

    async def dispatch(self) -> None:
        websocket = WebSocket(self.scope, self.receive, self.send)
        services: Services = websocket.state.services
        self.services, metrics = services, services.backends.metrics
        since = websocket.query_params.get("since")
        async with AsyncExitStack() as stack:
            try:
                token = token_of(websocket)
                user = await authenticate(services, token)
                self.connection = Connection(
                    user,
                    token,
                    FrameRate(services.frames_per_second),
                    metrics.traffic,
                    services.connections.outboxes.share_of(user.id),
                    joins=services.flush_seconds > 0,
                    numbered=since is not None,
                )
                await stack.enter_async_context(
                    services.connections.entered(self.connection, partial(tell_crowded, services, user.id))
                )
                stack.enter_context(services.requests.connected(self.connection.id))
            except Exception as error:
                metrics.refused(error)
                told = describe(error)
                logger.info("refused a connection", extra={"code": told.code.value})
                if code := await refuse(websocket, told):
                    metrics.closed(code)
            else:
                await self.converse(since)

    async def converse(self, since: str | None) -> None:
        """All that belongs to the connection ends with this, whatever ends it; runs belong to the server and go on."""
        self.sender = sender = Sender(self.connection.user, self.connection.id)
        bind_contextvars(connection=sender.connection_id)
        async with anyio.create_task_group() as self.tasks:
            async with self.services.backends.broker.subscribe(sender.user.id, self.connection, since) as resumption:
                if resumption:
                    outcome = "lost" if not resumption.recovered else "recovered" if since else "started"
                    self.services.backends.metrics.resumes.labels(outcome).inc()
                    self.connection.go_on(resumed_frames(sender, resumption))
                await super().dispatch()
            self.tasks.cancel_scope.cancel()

    async def on_connect(self, websocket: WebSocket) -> None:
        self.connected_at = asyncio.get_running_loop().time()
        with suppress(OSError):  # it has gone already, as will be heard at once
            await websocket.accept()
        line = self.scope.get("extensions", {}).get(LINE, {}).get(LINE) or PlainLine(websocket)
        self.tasks.start_soon(self.connection.write, websocket, line)
        self.expire()
        if self.connection.numbered:
            self.beat()

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        receive(self.services, self.connection, data)
        await anyio.lowlevel.checkpoint()  # of many frames that came at once, each lets others have a turn

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        for timer in (self.expiry, self.heartbeat):
            if timer:
                timer.cancel()
        seconds = round(asyncio.get_running_loop().time() - self.connected_at, 1)
        logger.info("disconnected", extra={"code": close_code, "seconds": seconds})
        self.services.backends.metrics.closed(close_code)

    def expire(self) -> None:
        """Close the connection when its token ends. A timer and not a task: most connections end before."""
        left = self.connection.user.expires_at - time.time()
        if left <= 0:
            self.connection.close(TOKEN_EXPIRED)
        else:
            self.expiry = asyncio.get_running_loop().call_later(min(left, LONGEST_SLEEP_S), self.expire)

    def beat(self) -> None:
        """Send a heartbeat, since a script sees no pings, when nothing else was sent for so long. None waits behind a frame."""
        loop, seconds = asyncio.get_running_loop(), self.services.ping_seconds
        left = self.connection.sent_at + seconds - loop.time()
        if left <= 0 and self.connection.is_idle:
            self.connection.put(heartbeat_frame(self.sender, seconds))
        self.heartbeat = loop.call_later(left if left > 0 else seconds, self.beat)


async def no_such_path(websocket: WebSocket) -> None:
    """Answer an upgrade of any other path by HTTP 404, where Starlette's own is a 403."""
    await refuse(websocket, describe(NotFound()))


def create_app(
    settings: Settings, secret: Secret, opened: AbstractAsyncContextManager[Backends] | None = None, dev: bool = False
) -> Starlette:
    """The ASGI application. Its lifespan opens what the settings ask for, or enters `opened`, and holds all runs.

    `dev`: the demo user's short token is one, and `/demo.json` is there.
    """
    short_tokens = {short_token(secret): demo_token(secret)} if dev else None

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[Mapping[str, Any]]:
        async with (
            opened or open_backends(settings, secret, short_tokens) as backends,
            AsyncExitStack() as stack,
            open_tasks() as tasks,
            anyio.create_task_group() as essential,  # where one of these ends, the server must not go on
        ):
            services = _services(settings, backends, tasks)
            await enter(services, essential)
            stack.push_async_callback(leave, services)
            essential.start_soon(keep_checking, services)
            yield {"services": services, METRICS: backends.metrics}
            essential.cancel_scope.cancel()

    routes = [
        WebSocketRoute(WS_PATH, Socket),
        WebSocketRoute(f"{WS_PATH}/", Socket),
        *(Route(path, each.endpoint, methods=[each.method]) for path, each in PATHS.items()),
        Route("/", page("index.html", "text/html"), include_in_schema=False),
        Route("/console.css", page("console.css", "text/css"), include_in_schema=False),
        Route("/console.js", page("console.js", "text/javascript"), include_in_schema=False),
        *([Route("/demo.json", demo_assets, include_in_schema=False)] if dev else []),
        WebSocketRoute("/{path:path}", no_such_path),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.router.redirect_slashes = False  # a redirect would repeat the query, and so a token, to whoever is asked next
    return app


def _services(settings: Settings, backends: Backends, tasks: Tasks) -> Services:
    return Services(
        backends,
        tasks,
        Timeouts(settings.first_token_seconds, settings.between_tokens_seconds, settings.run_seconds),
        version=VERSION,
        flush_seconds=settings.flush_ms / 1000,
        max_frame_bytes=settings.max_frame_bytes,
        chat_bytes=settings.chat_bytes,
        frames_per_second=settings.frames_per_second,
        ping_seconds=settings.ping_seconds,
        connections=Connections(
            settings.max_connections,
            settings.max_connections_per_user,
            backends.connection_quota,
            Outboxes(settings.outbox_bytes, settings.outbox_bytes_per_user, settings.outbox_bytes_in_all),
        ),
        requests=Requests(settings.max_requests_per_user + settings.max_runs_per_user),
        posts=Gate(),
        runs=Runs(settings.max_runs_per_user, backends.run_quota),
        nodes=Nodes(backends.storage, backends.shared),
        probe=Probe(backends.storage),
        others=Others(),
    )


def create_server(
    app: Starlette, settings: Settings, ready: Callable[[], None] | None = None, max_unheard: int = FEW_UNHEARD
) -> Server:
    """What serves the application: it drains it before it stops."""

    async def drained(state: Mapping[str, Any], hurry: anyio.Event) -> None:
        await drain(state["services"], settings.drain_seconds, hurry)

    return Server(
        app,
        drained,
        host=settings.host,
        port=settings.port,
        max_unheard=max_unheard,
        max_frame_bytes=settings.max_frame_bytes,
        ping_seconds=settings.ping_seconds,
        pong_seconds=settings.pong_seconds,
        log_level=settings.log_level,
        paths=[route.path for route in app.routes if isinstance(route, Route)],
        ready=ready,
    )


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What is wrong with the settings, or with what they name, is said without a traceback."""
    try:
        yield
    except (SettingsError, NoSecret, CannotListen) as error:
        raise click.ClickException(str(error)) from None


def work(settings: Settings, secret: Secret, listening: socket, ready: Callable[[], None], dev: bool = False) -> None:
    """Serve in this process, on this socket."""
    sys.setswitchinterval(THREAD_SWITCH_S)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    descriptors = all_descriptors()  # half of them for connections, a third for sockets that may become some, the rest for us
    settings = replace(settings, max_connections=min(settings.max_connections, descriptors // 2))
    max_unheard = min(max(settings.max_connections, FEW_UNHEARD), descriptors // 3)
    create_server(create_app(settings, secret, dev=dev), settings, ready, max_unheard).run([listening])


@click.group(context_settings={"show_default": True})
@click.pass_context
def main(context: click.Context) -> None:
    """Threadcast: one message in, the answer streamed to every device of its user."""
    with _in_one_line():
        context.obj = load_settings()


@main.command()
@click.option("--dev", is_flag=True, help="For a laptop: a secret of its own, demo data, and a token to start with.")
@click.option("--host", help="Instead of THREADCAST_HOST.")
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of THREADCAST_PORT.")
@click.option("--workers", type=click.IntRange(min=1), default=1, help="Processes that share the port.")
@click.pass_obj
def serve(settings: Settings, dev: bool, host: str | None, port: int | None, workers: int) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    if workers > 1 and not settings.is_shared:
        raise click.ClickException(ALONE)
    with _in_one_line():
        secret = settings.jwt_secret or (make_dev_secret() if dev else None)
    if secret is None:
        raise click.ClickException(f"THREADCAST_JWT_SECRET must be set, to at least {MIN_SECRET_CHARACTERS} characters")

    async def prepare() -> None:
        async with open_backends(settings, secret) as backends:  # what cannot be had is said here, in one line
            if dev:
                await load_file(backends.storage, DEMO_FILE.read_bytes())

    with _in_one_line(), ExitStack() as stack:
        listening = [stack.enter_context(each) for each in sockets_on(settings.host, settings.port, workers)]
        stack.enter_context(alone(settings))
        anyio.run(prepare)
        address, start = address_of(listening[0]), partial(work, settings, secret, dev=dev)
        said = ""
        if dev:
            stack.enter_context(url_kept(address))
            said = welcome(secret, address)
        if workers == 1:
            start(listening[0], partial(_running, address, said))
        else:
            sys.exit(serve_together(start, listening, settings.log_level, partial(click.echo, said, nl=dev)))


def _running(address: str, said: str) -> None:
    logger.info("running on http://%s until Ctrl-C", address)
    click.echo(said, nl=bool(said))


@main.command("migrate")
@click.pass_obj
def migrate_database(settings: Settings) -> None:
    """Bring the database's schema up to date. Of SQLite, `serve` does it by itself."""
    with _in_one_line():
        anyio.run(migrate, settings)
    click.echo("the schema is up to date")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def load(settings: Settings, file: Path) -> None:
    """Load users, assets, permissions and API keys from a JSON FILE: all of it or nothing."""

    data = file.read_bytes()

    async def run() -> LoadFile:
        async with open_storage(settings) as storage:
            return await load_file(storage, data)

    try:
        with _in_one_line():
            loaded = anyio.run(run)
    except LoadError as error:
        raise click.ClickException(f"{file}: {error}") from None
    click.echo(
        f"loaded {len(loaded.users)} users, {len(loaded.assets)} assets, "
        f"{len(loaded.permissions)} permissions, {len(loaded.api_keys)} API keys"
    )


@main.command()
@click.argument("email")
@click.option("--ttl", type=click.IntRange(min=1), default=DAY_S, help="Seconds until it expires.")
@click.option("--aud", type=click.Choice([PERSON, API]), default=PERSON, help="`api` also stores it as an API key.")
@click.pass_obj
def token(settings: Settings, email: str, ttl: int, aud: str) -> None:
    """Print a token for the user with this EMAIL address."""
    with _in_one_line():
        secret = settings.jwt_secret or dev_secret()
    if secret is None:
        raise click.ClickException("THREADCAST_JWT_SECRET must be set to the server's own")

    async def run() -> str:
        async with open_storage(settings) as storage:
            user = await find_user_by_email(storage, email)
            if user is None:
                raise click.ClickException(f"no user has the address {email}")
            made = issue_token(secret, user["id"], ttl, aud)
            if aud == API:
                await add_api_key(storage, user["id"], made)
            return made

    with _in_one_line():
        click.echo(anyio.run(run))


if __name__ == "__main__":
    main()
