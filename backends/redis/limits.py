"""Limits over all nodes, counted by Redis. Without Redis each node counts for itself: nobody is refused or held up for it."""

import math
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import anyio
from limits import parse
from redis.asyncio import ConnectionPool, Redis

from backends.limits import MemoryQuota, MemoryRateLimit
from backends.redis.link import REDIS_OUTAGES, beside

COUNT_ANSWER_S = 1.0  # the most seconds that a request waits for a Redis that hangs
ASK_AGAIN_S = 2.0  # seconds until it is asked again after it has not answered
MEMBER_LEASE_S, RENEW_MEMBERS_S = 30, 10.0  # seconds; when a node dies, its users' shares are free again within a lease
MOST_LEFT = 10_000  # members that wait to be removed; any more expire by themselves
MEMBERS_A_TURN = 200

# Redis uses its machine's wall clock. When that is set back by an hour, everything would live an hour longer. So whatever has
# more time to live than it can have been given gets that time anew.

# KEYS: the count. ARGV: milliseconds. The key's name is that of the version before, which counts in the same way.
HIT = """
local count, left = redis.call('INCR', KEYS[1]), redis.call('PTTL', KEYS[1])
if left < 0 or left > tonumber(ARGV[1]) then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    left = tonumber(ARGV[1])
end
return {count, left}
"""

# KEYS: the members. ARGV: id, most, seconds.
ENTER_MEMBER = """
local now = redis.call('TIME')
local latest = now[1] + ARGV[3]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf')) do
    redis.call('ZADD', KEYS[1], latest, id)
end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], latest, ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""

# KEYS: the members. ARGV: seconds, then ids.
RENEW_MEMBERS = """
local now = redis.call('TIME')
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now[1] + ARGV[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class _Line:
    """Remembers when Redis last failed to answer: for a while after that it is not asked."""

    def __init__(self) -> None:
        self._failed = -math.inf

    @property
    def is_good(self) -> bool:
        return time.monotonic() - self._failed > ASK_AGAIN_S

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask Redis within the block. An outage ends the block and raises nothing."""
        try:
            with anyio.fail_after(COUNT_ANSWER_S):
                yield
        except REDIS_OUTAGES:
            self._failed = time.monotonic()


class RedisRateLimit:
    """Windows as those of MemoryRateLimit, over all nodes."""

    def __init__(self, pool: ConnectionPool, rate: str) -> None:
        self._rate = parse(rate)
        self._hit = Redis(connection_pool=pool).register_script(HIT)
        self._here = MemoryRateLimit(rate)
        self._line = _Line()

    async def hit(self, user_id: UUID) -> int | None:
        if self._line.is_good:
            with self._line.asking():
                key = f"threadcast:limits:{self._rate.key_for(str(user_id))}"
                count, left = await self._hit(keys=[key], args=[self._rate.get_expiry() * 1000])
                return None if count <= self._rate.amount else max(1, math.ceil(left / 1000))
        return await self._here.hit(user_id)


class RedisQuota:
    """A user's members are a sorted set, by expiry. `run` renews those of this process and removes those that left."""

    def __init__(self, redis: Redis, name: str) -> None:
        self.here = MemoryQuota()
        self._name = name
        self._redis = redis
        self._enter = redis.register_script(ENTER_MEMBER)
        self._renew = redis.register_script(RENEW_MEMBERS)
        self._line = _Line()
        self._entering: set[str] = set()  # counted here but not renewed yet: Redis may still refuse them
        self._left: deque[tuple[UUID, str]] = deque(maxlen=MOST_LEFT)
        self._leaving = anyio.Event()

    async def enter(self, user_id: UUID, id: str, most: int) -> bool:
        if not await self.here.enter(user_id, id, most):
            return False
        entered = True
        self._entering.add(id)
        try:
            if self._line.is_good:
                with self._line.asking():
                    entered = bool(await self._enter(keys=[self._key(user_id)], args=[id, most, MEMBER_LEASE_S]))
        except BaseException:
            self.leave(user_id, id)
            raise
        finally:
            self._entering.discard(id)
        if not entered:
            self.here.leave(user_id, id)
        return entered

    def leave(self, user_id: UUID, id: str) -> None:
        self.here.leave(user_id, id)
        self._left.append((user_id, id))
        self._leaving.set()

    async def run(self) -> None:
        """Renew and remove members, for ever: in one task, so that no member is renewed after it has left."""
        renewed = time.monotonic()
        while True:
            with anyio.move_on_after(max(0.0, renewed + RENEW_MEMBERS_S - time.monotonic())):
                await self._leaving.wait()
            self._leaving = anyio.Event()
            await self._take_out()
            if time.monotonic() - renewed >= RENEW_MEMBERS_S:
                renewed = time.monotonic()
                await self._renew_all()
            if not self._line.is_good:
                await anyio.sleep(ASK_AGAIN_S)

    async def _take_out(self) -> None:
        while self._left and self._line.is_good:
            some = [self._left.popleft() for _ in range(min(MEMBERS_A_TURN, len(self._left)))]
            done = False
            with self._line.asking():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for user_id, id in some:
                        pipeline.zrem(self._key(user_id), id)
                    await pipeline.execute()
                done = True
            if not done:
                self._left.extendleft(reversed(some))

    async def _renew_all(self) -> None:
        users = list(self.here.members)
        for start in range(0, len(users), MEMBERS_A_TURN):
            with self._line.asking():
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for user_id in users[start : start + MEMBERS_A_TURN]:
                        if members := self.here.members.get(user_id, set()) - self._entering:
                            await self._renew(keys=[self._key(user_id)], args=[MEMBER_LEASE_S, *members], client=pipeline)
                    await pipeline.execute()

    def _key(self, user_id: UUID) -> str:
        return f"threadcast:{{{user_id}}}:{self._name}"


@asynccontextmanager
async def open_redis_quota(pool: ConnectionPool, name: str) -> AsyncIterator[RedisQuota]:
    """A quota of things of this name, until the block ends."""
    quota = RedisQuota(Redis(connection_pool=pool), name)
    async with beside(quota.run):
        yield quota
