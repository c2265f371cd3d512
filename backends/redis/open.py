"""A node's broker on Redis, from its start to its stop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio
from redis.asyncio import ConnectionPool

from backends.redis.broker import RedisBroker
from backends.redis.link import beside
from backends.resume import ResumeLimits

QUEUE_BYTES = 64 * 2**20  # of frames that wait for Redis: two minutes of some hundred streams, with joined deltas
STARTING_S = 2.0  # seconds that a start waits for Redis; after that the node serves without it
USERS_A_TURN = 500


@asynccontextmanager
async def open_redis_broker(pool: ConnectionPool, limits: ResumeLimits, bound: int = QUEUE_BYTES) -> AsyncIterator[RedisBroker]:
    """A node, until the block ends; then what waits is sent, if it can be. Raises PermissionError when Redis refuses us."""
    broker = RedisBroker(pool, limits, bound)
    async with beside(broker.wire.run, partial(_keep, broker, limits.seconds / 3)):
        with anyio.move_on_after(STARTING_S):
            await broker.wire.tried.wait()
        if broker.wire.refused:
            raise PermissionError
        yield broker
        await broker.flush()


async def _keep(broker: RedisBroker, seconds: float) -> None:
    """Keep the logs of users who are connected from expiring, for ever."""
    while True:
        await anyio.sleep(seconds)
        for count, key in enumerate(broker.kept(), 1):
            broker.touch(key)
            if count % USERS_A_TURN == 0:
                await anyio.sleep(0.05)
