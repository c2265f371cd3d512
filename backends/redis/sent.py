"""Frames and orders that were sent to Redis. After an outage, frames without an answer are the first to be sent again."""

import time
from collections import deque
from collections.abc import Iterable

from backends.redis.outgoing import MARK, Order, Outgoing

RECENT_S = 5.0  # seconds that an answered frame is kept: longer than a node needs to notice that Redis is gone


class Sent:
    """Frames exactly as they were sent: Redis knows by their numbers which of them it has. Orders go once."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._asked: list[Outgoing | Order] = []
        self._first: deque[Outgoing | Order] = deque()
        self._recent: deque[tuple[float, Outgoing]] = deque()
        self._recent_size = 0
        self._forgotten: dict[str, float] = {}  # users whose frames were too many to keep, and when they were answered

    def __len__(self) -> int:
        return len(self._asked) + len(self._first)

    @property
    def is_unsure(self) -> bool:
        """Whether some frame to be sent again has a lease of which this node does not know yet whether it is lost."""
        return any(not (each.is_sure or each.is_void) for each in _frames(self._first))

    def next(self, most: int, size: int) -> list[Outgoing | Order]:
        """The frames and commands to send before all others, up to a number and about a size."""
        taken: list[Outgoing | Order] = []
        while self._first and len(taken) < most and size > 0:
            taken.append(self._first.popleft())
            size -= taken[-1].size
        return taken

    def ask(self, batch: list[Outgoing | Order]) -> None:
        """This is being sent."""
        self._asked = batch

    def answered(self, late: list[Outgoing]) -> None:
        """All of that has been answered. What was `late` was not published."""
        asked, self._asked = self._asked, []
        now = time.monotonic()
        unpublished = set(late)
        for outgoing in (each for each in _frames(asked) if each not in unpublished):
            self._recent.append((now, outgoing))
            self._recent_size += outgoing.size
        while self._recent and (self._recent[0][0] < now - RECENT_S or self._recent_size > self._bound):
            then, gone = self._recent.popleft()
            self._recent_size -= gone.size
            if then >= now - RECENT_S and gone.frame is not MARK:
                self._forgotten.pop(gone.user_id, None)
                self._forgotten[gone.user_id] = then
        while self._forgotten and (longest := next(iter(self._forgotten))) and self._forgotten[longest] < now - RECENT_S:
            del self._forgotten[longest]

    def break_off(self) -> list[Order]:
        """There will be no answers. Returns the orders that get none."""
        before = [*self._asked, *self._first]
        self._asked, self._first = [], deque(_frames(before))
        return [each for each in before if isinstance(each, Order)]

    def recall(self, lost: float) -> set[str]:
        """Send again what the last Redis had answered shortly before it was `lost`, since another Redis may not have it.

        Returns the users whose frames are not all kept for that.
        """
        self._first.extendleft(outgoing for answered, outgoing in reversed(self._recent) if answered > lost - RECENT_S)
        return {user_id for user_id, answered in self._forgotten.items() if answered > lost - RECENT_S}

    def leave_out(self) -> set[str]:
        """Send nothing again whose lease is not sure. Returns the users who may lose frames by it."""
        frames = _frames(self._first)
        self._first = deque(each for each in frames if each.is_sure)
        return {each.user_id for each in frames if not (each.is_sure or each.is_void)}

    def begin_with(self, orders: list[Order]) -> None:
        """These go before all frames."""
        self._first.extendleft(orders)


def _frames(items: Iterable[Outgoing | Order]) -> list[Outgoing]:
    return [each for each in items if isinstance(each, Outgoing)]
