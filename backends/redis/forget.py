"""What Redis keeps of a person, forgotten: their log, their counts and their limits."""

from contextlib import aclosing
from uuid import UUID

from redis.asyncio import Redis

from backends.redis.link import open_pool

AT_ONCE = 500  # keys that are looked at in one command


async def forget_user(url: str, user_id: UUID) -> int:
    """Delete all keys that have the user's id. How many there were. Raises what Redis does when it cannot be asked."""
    forgotten = 0
    async with aclosing(open_pool(url)) as pool:
        redis = Redis(connection_pool=pool)
        async for key in redis.scan_iter(match=f"threadcast:*{user_id}*", count=AT_ONCE):
            forgotten += await redis.unlink(key)
    return forgotten
