"""Limits: how often a user may post, how many things a user may have at once, and how fast a connection may send."""

import math
import time
from typing import Protocol
from uuid import UUID

from limits import parse


class RateLimit(Protocol):
    """Counts posts per user."""

    async def hit(self, user_id: UUID) -> int | None:
        """Count one. None when it is within the limit, else in how many whole seconds to come back, at least 1."""


class MemoryRateLimit:
    """A window of fixed length that opens with a user's first post, counted in this process.

    Fixed, because its count and its end are exact. A window that has ended is forgotten at the next post of anybody, so there
    are as many as users who have posted within one.
    """

    def __init__(self, rate: str) -> None:
        parsed = parse(rate)
        self._most, self._seconds = parsed.amount, parsed.get_expiry()
        self._windows: dict[UUID, tuple[float, int]] = {}  # when each opened, and its count; the oldest first

    async def hit(self, user_id: UUID) -> int | None:
        now = time.monotonic()  # the wall clock may be set back, and a minute would then last longer
        while self._windows and (oldest := next(iter(self._windows.items())))[1][0] <= now - self._seconds:
            del self._windows[oldest[0]]
        opened, count = self._windows.get(user_id, (now, 0))
        self._windows[user_id] = opened, count + 1
        return None if count < self._most else max(1, math.ceil(opened + self._seconds - now))


class Quota(Protocol):
    """Counts how many of one thing, such as connections, a user has at once. Each has an id."""

    async def enter(self, user_id: UUID, id: str, most: int) -> bool:
        """Add one, unless that makes more than `most`. Returns whether it was added; then `leave` must follow."""

    def leave(self, user_id: UUID, id: str) -> None:
        """Count it no longer."""


class MemoryQuota:
    """A quota for one process."""

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
