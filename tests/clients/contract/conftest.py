"""What all tests of the contract share: one server for each process of the tests, and a user for each test."""

import itertools
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from tests.support.crowd import crowd_served, crowded, member, port_of
from tests.support.driver import DRIVERS, Driver, driving
from tests.support.hostile import Hostile
from tests.support.program import Program

_numbers = itertools.count()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with crowd_served(crowded(tmp_path_factory.mktemp("crowd")), CORS_ORIGINS="*") as program:
        yield program


@pytest.fixture
def port(program: Program) -> int:
    """Where the server listens itself."""
    return port_of(program)


@pytest.fixture
def user() -> UUID:
    """A user of this test alone."""
    return member(next(_numbers))


@pytest.fixture(params=list(DRIVERS))
def kind(request: pytest.FixtureRequest) -> str:
    """Which client it is."""
    return str(request.param)


@pytest.fixture
async def driver(kind: str) -> AsyncIterator[Driver]:
    async with driving(kind) as driver:
        yield driver


@pytest.fixture
async def hostile(port: int) -> AsyncIterator[Hostile]:
    async with Hostile(port).serving() as hostile:
        yield hostile


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", default="0-29", help="the first and the last seed of the histories")
