"""What can happen to Redis, to PostgreSQL, to a node's lines to them, and to a node. Each for a while."""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import anyio
import anyio.to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal

from tests.programs.cluster import Cluster
from tests.support.program import Program
from tests.support.proxy import Proxy

SLOW_S = 0.05  # each way of a slow line


class Lines(NamedTuple):
    """One node's ways to Redis and to PostgreSQL. They live in a thread of their own: a node needs them while it starts."""

    portal: BlockingPortal
    redis: Proxy
    postgres: Proxy
    settings: dict[str, str]


class Stage(NamedTuple):
    """Where a fault strikes: the cluster, one of its two nodes, and the lines of that one."""

    made: Cluster
    node: Program
    lines: Lines


Fault = Callable[..., Awaitable[None]]  # of a Stage, and for how many `seconds`


@contextmanager
def lines_to(made: Cluster) -> Iterator[Lines]:
    """Ways to the cluster's Redis and PostgreSQL that can be cut, held up and slowed down."""
    redis, postgres = Proxy(made.redis.port), Proxy(made.postgres.port)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(redis.serving()) as to_redis,
        portal.wrap_async_context_manager(postgres.serving()) as to_postgres,
    ):
        broker = made.settings["BROKER_URL"].replace(f":{made.redis.port}/", f":{to_redis}/")
        database = made.settings["DATABASE_URL"].replace(f":{made.postgres.port}/", f":{to_postgres}/")
        yield Lines(portal, redis, postgres, {"BROKER_URL": broker, "DATABASE_URL": database})


async def redis_killed(stage: Stage, seconds: float) -> None:
    await anyio.to_thread.run_sync(stage.made.redis.kill)
    await anyio.sleep(seconds)
    await anyio.to_thread.run_sync(stage.made.redis.start)


async def redis_paused(stage: Stage, seconds: float) -> None:
    with stage.made.redis.stopped():
        await anyio.sleep(seconds)


async def redis_unreachable(stage: Stage, seconds: float) -> None:
    """For one node."""
    await _unreachable(stage.lines.portal, stage.lines.redis, seconds)


async def postgres_killed(stage: Stage, seconds: float) -> None:
    await anyio.to_thread.run_sync(stage.made.postgres.kill)
    await anyio.sleep(seconds)
    await anyio.to_thread.run_sync(stage.made.postgres.start)


async def postgres_paused(stage: Stage, seconds: float) -> None:
    stage.made.postgres.pause()
    await anyio.sleep(seconds)
    stage.made.postgres.go_on()


async def postgres_read_only(stage: Stage, seconds: float) -> None:
    """As one whose disk is full, or that is not the primary any more."""
    with stage.made.postgres.read_only():
        await anyio.sleep(seconds)


async def postgres_unreachable(stage: Stage, seconds: float) -> None:
    """For one node."""
    await _unreachable(stage.lines.portal, stage.lines.postgres, seconds)


async def _unreachable(portal: BlockingPortal, line: Proxy, seconds: float) -> None:
    line.refuses = True
    portal.call(line.cut)
    await anyio.sleep(seconds)
    line.refuses = False


async def cut_off(stage: Stage, seconds: float) -> None:
    """One node from both, as by a switch that drops all packets: nothing is closed, and nothing comes through."""
    lines = (stage.lines.redis, stage.lines.postgres)
    for line in lines:
        stage.lines.portal.call(line.hold)
    await anyio.sleep(seconds)
    for line in lines:
        stage.lines.portal.call(line.let_go)


async def slow(stage: Stage, seconds: float) -> None:
    """One node's lines to both, as to another continent."""
    lines = (stage.lines.redis, stage.lines.postgres)
    for line in lines:
        line.delay = SLOW_S
    await anyio.sleep(seconds)
    for line in lines:
        line.delay = 0.0


async def node_paused(stage: Stage, seconds: float) -> None:
    stage.node.process.send_signal(signal.SIGSTOP)
    await anyio.sleep(seconds)
    stage.node.process.send_signal(signal.SIGCONT)


MISHAPS: dict[str, tuple[Fault, bool]] = {  # and whether each delta reaches every tab all the same
    "Redis killed": (redis_killed, True),
    "Redis stands still": (redis_paused, True),
    "Redis out of one node's reach": (redis_unreachable, True),
    "PostgreSQL killed": (postgres_killed, False),
    "PostgreSQL stands still": (postgres_paused, False),
    "PostgreSQL takes no writes": (postgres_read_only, False),
    "PostgreSQL out of one node's reach": (postgres_unreachable, False),
    "a node cut off from both": (cut_off, False),
    "a node's lines to both are slow": (slow, True),
    "a node stands still": (node_paused, False),
}
