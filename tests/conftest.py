"""A whole server for each test: uvicorn on a free port, a database of its own, and real WebSocket clients.

A module that has `ENGINES = BOTH` has each of its tests run on SQLite and on PostgreSQL.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from backends.postgres.storage import migrate_postgres
from settings import Settings
from tests.support.house import House, open_house, settings_in
from tests.support.postgres import Postgres, running
from tests.support.redis import RedisServer, redis_server
from tests.support.settling import load_world

# A shell that starts the tests in its background has them ignore Ctrl-C, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Hypothesis makes up the same cases on a busy machine as on a quiet one: no example has a time limit.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Processes for the tests: one a core with `-n logical`, and two with `-n auto`, since most tests wait most of the time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # as xdist has it
    cores = os.cpu_count() or 1
    return cores if config.option.numprocesses == "logical" else 2 * cores


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(_redis: RedisServer) -> RedisServer:
    """An empty Redis, for tests that only use it."""
    _redis.command("FLUSHALL")
    return _redis


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    engines = getattr(metafunc.module, "ENGINES", None)
    if engines and "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", engines)


@pytest.fixture
def engine() -> str:
    """What the database is."""
    return "sqlite"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server with two databases to be copied: `migrated` is empty, and `settled` has the world in it."""
    with running() as server, ThreadPoolExecutor(1) as thread:
        server.execute("CREATE DATABASE migrated")
        thread.submit(asyncio.run, migrate_postgres(server.url("migrated"))).result()
        server.execute("CREATE DATABASE settled TEMPLATE migrated")
        thread.submit(asyncio.run, load_world(settings_in(Path(), server.url("settled")))).result()
        yield server


@pytest.fixture
def template() -> str:
    """The database of PostgreSQL that the tests of a module get a copy of."""
    return "settled"


@pytest.fixture
def settings(tmp_path: Path, engine: str, template: str, request: pytest.FixtureRequest) -> Iterator[Settings]:
    if engine == "sqlite":
        yield settings_in(tmp_path)
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        with postgres.database(template) as url:
            yield settings_in(tmp_path, url)


@pytest.fixture
async def house(settings: Settings) -> AsyncIterator[House]:
    async with open_house(settings) as opened:
        yield opened
