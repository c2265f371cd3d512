"""A whole server in the test's own process: uvicorn on a free port, and real WebSocket clients."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import pytest
from starlette.datastructures import Secret
from websockets.asyncio.client import connect

from backends import Backends, open_backends
from backends.agent import Agent
from backends.auth import PERSON, issue_token
from backends.hosting import Server
from backends.storage import Change, Row
from cli import FEW_UNHEARD, create_server
from handlers.services import Services
from server import create_app
from settings import Settings, load_settings
from tests.support.client import TIMEOUT_S, Client
from tests.support.database import Where, where
from tests.support.fitting import FittingClient
from tests.support.settling import settle
from tests.support.world import ALICE

BOTH = ("sqlite", "postgres")


SECRET = Secret("a secret of the tests, of at least 32 characters")


@dataclass
class House:
    """A running server and how to get in."""

    url: str
    settings: Settings
    backends: Backends
    server: Server

    @property
    def database(self) -> Where:
        return where(self.settings)

    @property
    def services(self) -> Services:
        services = self.server.lifespan.state["services"]
        assert isinstance(services, Services)
        return services

    def token(self, user_id: UUID = ALICE, ttl: int = 60, audience: str = PERSON) -> str:
        return issue_token(SECRET, user_id, ttl, audience)

    @asynccontextmanager
    async def connect(self, user_id: UUID = ALICE, ttl: int = 60, token: str = "", **options: Any) -> AsyncIterator[Client]:
        headers = {"Authorization": f"Bearer {token or self.token(user_id, ttl)}"}
        # Without a bounded queue: a client that closes with a full one waits for its own reading, in vain.
        async with connect(self.url, additional_headers=headers, max_size=None, max_queue=None, **options) as connection:
            yield FittingClient(connection)


class HeldFetch:
    """Lets the server's storage read only when it is let go."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetch_all: Callable[..., Awaitable[list[Row]]] = house.backends.storage.fetch_all
        self.reached = anyio.Event()
        self.gate = anyio.Event()
        monkeypatch.setattr(house.backends.storage, "fetch_all", self.held)

    async def held(self, *query: object, **values: object) -> list[Row]:
        self.reached.set()
        await self.gate.wait()
        return await self.fetch_all(*query, **values)


class HeldCommit:
    """Lets a storage write only when it is let go."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        self.storage = house.backends.storage
        self.write = self.storage.write
        self.reached = anyio.Event()
        self.gate = anyio.Event()
        monkeypatch.setattr(self.storage, "write", self.held)

    async def held(self, *changes: Change, only_if: Change | None = None) -> bool:
        self.reached.set()
        await self.gate.wait()
        return await self.write(*changes, only_if=only_if)


def settings_in(folder: Path, database_url: str = "") -> Settings:
    """As a user has them, but without waiting, neither of the agent nor at the end, with hardly a limit, and not joined."""
    environ = {
        "THREADCAST_DATABASE_URL": database_url or f"sqlite+aiosqlite:///{folder}/threadcast.db",
        "THREADCAST_RATE_LIMIT": "100000/minute",
        "THREADCAST_FRAMES_PER_SECOND": "100000",
        "THREADCAST_MAX_RUNS_PER_USER": "1000",
        "THREADCAST_MAX_REQUESTS_PER_USER": "1000",
        "THREADCAST_MAX_CONNECTIONS_PER_USER": "1000",
        "THREADCAST_DRAIN_SECONDS": "0",
        "THREADCAST_OFFLINE_DELAY_MS": "0",
        "THREADCAST_FLUSH_MS": "0",
    }
    return load_settings(environ)


@asynccontextmanager
async def open_house(
    settings: Settings,
    agent: Agent | None = None,
    change: Callable[[Backends], Backends] = lambda backends: backends,
    max_unheard: int = FEW_UNHEARD,
) -> AsyncIterator[House]:
    """Serve the world of `world.py` with these settings, with this agent when there is one, and what `change` makes of all."""
    opened: list[Backends] = []

    @asynccontextmanager
    async def backends() -> AsyncIterator[Backends]:
        async with open_backends(settings, SECRET) as embedded:
            opened.append(change(replace(embedded, agent=agent or embedded.agent)))
            yield opened[0]

    await settle(settings)
    app = create_app(settings, SECRET, backends())
    server, ready = create_server(app, settings, max_unheard=max_unheard), anyio.Event()
    start = server.startup

    async def startup(sockets: Any = None) -> None:
        await start(sockets)
        ready.set()

    async def serve() -> None:
        with anyio.CancelScope(shield=True):  # a failed test's cancellation would leave the lifespan, and its threads, behind
            await server.serve([listening])

    server.startup = startup  # type: ignore[method-assign]
    with socket.socket() as listening:
        listening.bind((settings.host, 0))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            with anyio.fail_after(TIMEOUT_S):
                await ready.wait()
            url = f"ws://{settings.host}:{listening.getsockname()[1]}/api/v1/ws"
            try:
                yield House(url, settings, opened[0], server)
            finally:
                server.should_exit = True
