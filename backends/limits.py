"""How often: posts of a user, an interface and its embedded implementation in memory; and frames of a connection."""

import math
import time
from typing import Protocol
from uuid import UUID

from limits import parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter


class RateLimit(Protocol):
    """Counts posts per user."""

    async def hit(self, user_id: UUID) -> int | None:
        """Count one. None when it is within the limit, else in how many whole seconds to come back, at least 1."""


class MemoryRateLimit:
    """A window of fixed length that opens with a user's first post, counted in this process.

    Fixed, because its count and its end are exact; of the strategies of `limits` it is also the one whose memory
    storage needs no thread per user to expire.
    """

    def __init__(self, rate: str) -> None:
        self._rate = parse(rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def hit(self, user_id: UUID) -> int | None:
        if await self._limiter.hit(self._rate, str(user_id)):
            return None
        window = await self._limiter.get_window_stats(self._rate, str(user_id))
        return max(1, math.ceil(window.reset_time - time.time()))


class FrameRate:
    """So many frames a second, of one connection. Counted in windows of a second, each of which opens with its first frame."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._opened = -math.inf
        self._count = 0

    def hit(self) -> bool:
        """Count one. Whether it is within the limit."""
        now = time.monotonic()
        if now - self._opened >= 1:
            self._opened, self._count = now, 0
        self._count += 1
        return self._count <= self.per_second
