"""How often and how many: posts of a user, what a user has at once, each with its embedded implementation; and frames."""

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


class Quota(Protocol):
    """How many of one thing a user has at once, such as connections. Each has an id."""

    async def enter(self, user_id: UUID, id: str, most: int) -> bool:
        """Have one more, if that makes no more than `most`. Whether it was let in; if so, it has to leave."""

    def leave(self, user_id: UUID, id: str) -> None:
        """Have it no longer."""


class MemoryQuota:
    """What there is in this process."""

    def __init__(self) -> None:
        self.members: dict[UUID, set[str]] = {}

    async def enter(self, user_id: UUID, id: str, most: int) -> bool:
        if len(self.members.get(user_id, ())) >= most:
            return False
        self.members.setdefault(user_id, set()).add(id)
        return True

    def leave(self, user_id: UUID, id: str) -> None:
        if members := self.members.get(user_id):
            members.discard(id)
            if not members:
                del self.members[user_id]


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
