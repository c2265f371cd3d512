"""What waits to be sent to the other nodes: in order, bounded, and through an outage with as little lost as can be."""

import math
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from backends.broker import Claim
from backends.frame import Frame, frame_key, join_frames
from schemas.events import WsEvent
from schemas.frames import WsSendMethod

OVERHEAD = 300  # bytes, about, that a waiting frame takes besides its text
KEPT_LONGEST = {event.value for event in (WsEvent.INITIALIZE_CHAT, WsEvent.COMPLETE, WsEvent.POST_THREAD)}


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """A frame on its way. `number` is its place among all that this node sends."""

    number: int
    user_id: str
    method: WsSendMethod
    sender_id: str | None
    frame: Frame
    claim: Claim | None = None

    @property
    def until(self) -> float:
        """When it may not be told any more, by the monotonic clock."""
        return math.inf if self.claim is None else self.claim.until

    @property
    def is_sure(self) -> bool:
        """Whether it may be told now."""
        return self.claim is None or self.claim.is_sure

    @property
    def is_void(self) -> bool:
        """Whether it may never be told."""
        return self.claim is not None and self.claim.lost

    @property
    def size(self) -> int:
        """About what it takes, in bytes."""
        return self.frame.size + OVERHEAD


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A command that is no frame: it is not sent a second time. `answered` is called with the answer, or with None for none."""

    command: tuple[str | bytes | int, ...]
    answered: Callable[[Any], None] = lambda answer: None
    size: int = OVERHEAD  # of command and answer, about


class Backlog:
    """A queue of at most `bound` bytes, if it is shrunk whenever it is over. Orders are for when there is no outage."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._waiting: deque[Outgoing | Order] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether more waits than may."""
        return self._size > self._bound

    def append(self, item: Outgoing | Order) -> None:
        """Add one, after all others."""
        self._waiting.append(item)
        self._size += item.size

    def put_back(self, items: list[Outgoing]) -> None:
        """These were taken, and not sent: they are the next."""
        self._waiting.extendleft(reversed(items))
        self._size += sum(each.size for each in items)

    def drop_orders(self) -> list[Order]:
        """Leave only the frames."""
        orders = [item for item in self._waiting if isinstance(item, Order)]
        self._set(item for item in self._waiting if isinstance(item, Outgoing))
        return orders

    def take(self, most: int, size: int, passed_over: Callable[[Outgoing], None]) -> list[Outgoing | Order]:
        """The next, and more up to a number and about a size.

        A frame that may not be told now is passed over, with all that follow it to the same user. One that never may goes.
        """
        taken: list[Outgoing | Order] = []
        held: list[Outgoing] = []
        users: set[str] = set()
        while self._waiting and len(taken) < most and size > 0:
            each = self._waiting.popleft()
            if isinstance(each, Order) or (each.is_sure and each.user_id not in users):
                taken.append(each)
                size -= each.size
                continue
            passed_over(each)
            if each.is_void:
                self._size -= each.size
            else:
                held.append(each)
                users.add(each.user_id)
        self._waiting.extendleft(reversed(held))
        self._size -= sum(each.size for each in taken)
        return taken

    def shrink(self) -> set[str]:
        """Make room, down to half the bound. Returns the users who lose frames by it.

        First deltas are joined, by which nobody loses anything. Then the oldest go, deltas before others and beginnings and
        ends last: a client that gets an end has the whole text.
        """
        left = _joined(each for each in self._waiting if isinstance(each, Outgoing))
        excess = sum(each.size for each in left) - self._bound // 2
        losers: set[str] = set()
        for rank in range(3):
            kept = []
            for each in left:
                if excess > 0 and _rank(each.frame) == rank:
                    excess -= each.size
                    losers.add(each.user_id)
                else:
                    kept.append(each)
            left = kept
        self._set(left)
        return losers

    def _set(self, waiting: Iterable[Outgoing | Order]) -> None:
        self._waiting = deque(waiting)
        self._size = sum(each.size for each in self._waiting)


def _rank(frame: Frame) -> int:
    if frame_key(frame) is not None:
        return 0
    event = frame.message.event
    return 2 if (event.value if isinstance(event, WsEvent) else event) in KEPT_LONGEST else 1


def _joined(waiting: Iterable[Outgoing]) -> list[Outgoing]:
    """Deltas of a user that follow each other among all of that user's become one, in the place of the last of them."""
    groups: list[list[Outgoing]] = []
    latest: dict[str, tuple[Hashable, list[Outgoing]]] = {}
    for each in waiting:
        delta = frame_key(each.frame)
        key = delta and (delta, each.method, each.sender_id)
        before = latest.get(each.user_id)
        if key and before and before[0] == key:
            before[1].append(each)
        else:
            groups.append([each])
            latest[each.user_id] = key, groups[-1]
    return sorted((_join(group) for group in groups), key=lambda each: each.number)


def _join(group: list[Outgoing]) -> Outgoing:
    last = group[-1]
    if len(group) == 1:
        return last
    return replace(last, frame=join_frames([each.frame for each in group]))
