"""The command line: `python server.py ...`, and `threadcast ...` where the package is installed."""

import gc
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import anyio
import click
from starlette.applications import Starlette
from starlette.datastructures import Secret
from starlette.routing import Route

from backends import alone, erase_user, migrate, open_backends, open_storage
from backends.accounts import add_api_key, find_user_by_email
from backends.auth import API, PERSON, issue_token
from backends.descriptors import all_descriptors
from backends.hosting import Server
from backends.listening import CannotListen, address_of, sockets_on
from backends.retention import erase_deleted, kept_of
from backends.statements import to_json
from backends.workers import serve_together
from handlers.dev import NoSecret, dev_secret, make_dev_secret, url_kept, welcome
from handlers.draining import drain
from handlers.load_file import DEMO_FILE, LoadError, load_file
from schemas.load import LoadFile
from server import create_app
from settings import MIN_SECRET_CHARACTERS, Settings, SettingsError, load_settings, unknown

DAY_S = 86_400
THREAD_SWITCH_S = 0.0005  # Python's default of 5 ms lets the database's thread wait, and with it every commit
NEEDS_SHARED = (
    "--workers needs THREADCAST_BROKER_URL=redis://... and THREADCAST_DATABASE_URL=postgresql+asyncpg://...: without Redis no "
    "process hears what another one answers, and SQLite has one that writes"
)
GARBAGE = (20_000, 20, 50)  # gc.set_threshold(): with Python's default of 700 the collector runs at every second post
FEW_UNHEARD = 1_000  # sockets that may wait unauthenticated, even where fewer connections are allowed

logger = logging.getLogger("threadcast")


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Turn an error in the settings, or in what they name, into one line without a traceback."""
    try:
        yield
    except (SettingsError, NoSecret, CannotListen) as error:
        raise click.ClickException(str(error)) from None


def create_server(
    app: Starlette, settings: Settings, ready: Callable[[], None] | None = None, max_unheard: int = FEW_UNHEARD
) -> Server:
    """The server of the application, which drains the application before it stops."""

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
        root_path=settings.root_path,
        ready=ready,
    )


def work(settings: Settings, secret: Secret, listening: socket, ready: Callable[[], None], dev: bool = False) -> None:
    """Serve in this process, on this socket."""
    sys.setswitchinterval(THREAD_SWITCH_S)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    descriptors = all_descriptors()  # half for connections, a third for sockets that are no connections yet, the rest for files
    settings = replace(settings, max_connections=min(settings.max_connections, descriptors // 2))
    max_unheard = min(max(settings.max_connections, FEW_UNHEARD), descriptors // 3)
    create_server(create_app(settings, secret, dev=dev), settings, ready, max_unheard).run([listening])


@click.group(context_settings={"show_default": True})
@click.pass_context
def main(context: click.Context) -> None:
    """Threadcast: one message in, the answer streamed to every device of its user."""
    for warning in unknown():
        click.echo(f"Warning: {warning}", err=True)
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
        raise click.ClickException(NEEDS_SHARED)
    with _in_one_line():
        secret = settings.jwt_secret or (make_dev_secret() if dev else None)
    if secret is None:
        raise click.ClickException(f"THREADCAST_JWT_SECRET must be set, to at least {MIN_SECRET_CHARACTERS} characters")

    async def prepare() -> None:
        async with open_backends(settings, secret) as backends:  # what is missing is said here, in one line
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
            said = welcome(secret, address + settings.root_path)
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
@click.option("--before", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), required=True, help="In UTC.")
@click.pass_obj
def purge(settings: Settings, before: datetime) -> None:
    """Erase the chats that were deleted before a date, without waiting for THREADCAST_DELETED_DAYS."""

    async def run() -> int:
        async with open_storage(settings) as storage:
            return await erase_deleted(storage, before.replace(tzinfo=UTC))

    with _in_one_line():
        click.echo(f"erased {anyio.run(run)} chats")


@main.command()
@click.argument("email")
@click.pass_obj
def export(settings: Settings, email: str) -> None:
    """Print all that is kept of the user with this EMAIL address, as JSON Lines."""

    async def run() -> None:
        async with open_storage(settings) as storage:
            user = await find_user_by_email(storage, email)
            if user is None:
                raise click.ClickException(f"no user has the address {email}")
            async for row in kept_of(storage, user["id"]):
                click.echo(to_json(row))

    with _in_one_line():
        anyio.run(run)


@main.command()
@click.argument("email")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def erase(settings: Settings, email: str, yes: bool) -> None:
    """Erase the user with this EMAIL address, and all that is kept of them, which `export` shows. It cannot be undone."""

    async def run() -> None:
        async with open_storage(settings) as storage:
            user = await find_user_by_email(storage, email)
            if user is None:
                raise click.ClickException(f"no user has the address {email}")
            if not yes:
                click.confirm(f"Erase {email}, and all of their chats?", abort=True)
            await erase_user(settings, storage, user["id"])

    with _in_one_line():
        anyio.run(run)
    click.echo(f"erased {email}")


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
