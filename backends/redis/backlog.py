"""The backlog: frames that wait to be sent to other nodes. It is bounded, fair to users, and loses as little as it can.

The frames of one user keep their order. Between users there is no order: a user with few frames does not wait behind the
many of another user, and a user with too many loses only their own.
"""

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import replace

from backends.frame import Frame, frame_key, join_frames
from backends.redis.outgoing import MARK, Order, Outgoing
from schemas.events import WsEvent

USER_SHARE = 4  # one user may take a fourth of the bound, not counting their first frame, which may be of any size
TURN_BYTES = 2**16  # bytes of one user in one batch, while other users wait
LOOKED_AT = 5000  # frames that are looked at for the next batch
KEPT_LONGEST = {event.value for event in (WsEvent.INITIALIZE_CHAT, WsEvent.COMPLETE, WsEvent.POST_THREAD)}


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
        """Whether the backlog holds more than `bound` bytes, so that it must be shrunk."""
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
        self._set(_frames(self._waiting))
        return orders

    def take(self, most: int, size: int, passed_over: Callable[[Outgoing], None]) -> list[Outgoing | Order]:
        """Take items, up to `most` and about `size` bytes: first a little of each user, then the oldest of what is left.

        A frame that may not be told now stays, with all later ones of that user. One that may never be told is dropped.
        """
        taken: list[Outgoing | Order] = []
        held: list[Outgoing] = []
        unsure, late = set[str](), set[str]()
        turns = Counter[str]()
        for _ in range(min(LOOKED_AT, len(self._waiting))):
            if len(taken) >= most or size <= 0:
                break
            each = self._waiting.popleft()
            if isinstance(each, Outgoing):
                if each.user_id not in late and (each.user_id in unsure or not each.is_sure):
                    passed_over(each)
                    unsure.add(each.user_id)
                    if each.is_void:
                        self._size -= each.size
                        continue
                elif turns[each.user_id] + each.size > TURN_BYTES:
                    late.add(each.user_id)
                if each.user_id in late or each.user_id in unsure:
                    held.append(each)
                    continue
                turns[each.user_id] += each.size
            taken.append(each)
            size -= each.size
        late_ones = _take_late(held, late, most - len(taken), size)
        gone = set(late_ones)
        self._waiting.extendleft(each for each in reversed(held) if each not in gone)
        taken += late_ones
        self._size -= sum(each.size for each in taken)
        return taken

    def shrink(self) -> set[str]:
        """Make room, down to half the bound. Returns the users who lose frames by it.

        First deltas are joined, so nobody loses anything. Then users with more than a share lose frames, then all users do.
        Deltas go first, beginnings and ends last, each the oldest first: a client that gets an end has the whole text.
        """
        left = _joined(each for each in _frames(self._waiting) if each.frame is not MARK)
        excess = sum(each.size for each in left) - self._bound // 2
        gone = set[Outgoing]()
        by_user: dict[str, list[Outgoing]] = {}
        for each in left:
            by_user.setdefault(each.user_id, []).append(each)
        for waiting in by_user.values():
            dropped = _drop(waiting, min(excess, self._over_share(waiting)))
            gone.update(dropped)
            excess -= sum(each.size for each in dropped)
        gone.update(_drop([each for each in left if each not in gone], excess))
        self._set(each for each in left if each not in gone)
        return {each.user_id for each in gone}

    def shrink_user(self, user_id: str) -> bool:
        """Drop frames of one user, down to half of their share. Returns whether any were dropped."""
        waiting = [each for each in _frames(self._waiting) if each.user_id == user_id]
        left = _joined(each for each in waiting if each.frame is not MARK)
        gone = _drop(left, self._over_share(left, 2))
        kept = {each.number: each for each in left if each not in gone}
        mine = set(waiting)
        shrunk = (kept.get(each.number) if isinstance(each, Outgoing) and each in mine else each for each in self._waiting)
        self._set([each for each in shrunk if each])
        return bool(gone)

    def _over_share(self, waiting: list[Outgoing], part: int = 1) -> int:
        """The bytes of a user above their share, or a part of it. Their largest frame does not count: it may have any size."""
        sizes = [each.size for each in waiting]
        return sum(sizes) - max(sizes, default=0) - self._bound // USER_SHARE // part

    def _set(self, waiting: Iterable[Outgoing | Order]) -> None:
        self._waiting = deque(waiting)
        self._size = sum(each.size for each in self._waiting)


def _take_late(held: list[Outgoing], late: set[str], most: int, size: int) -> list[Outgoing]:
    """Take frames that had to let others go first, as many as fit, and at least one: a large frame might wait for ever."""
    taken: list[Outgoing] = []
    for each in held:
        if each.user_id in late and each.is_sure and (not taken or (len(taken) < most and size > 0)):
            taken.append(each)
            size -= each.size
        else:
            late.discard(each.user_id)  # what follows it waits, too
    return taken


def _drop(waiting: list[Outgoing], excess: int) -> set[Outgoing]:
    """Drop frames, the first ones first, until enough are gone."""
    gone = set[Outgoing]()
    for each in sorted(waiting, key=lambda each: _rank(each.frame)) if excess > 0 else ():
        if excess <= 0:
            break
        gone.add(each)
        excess -= each.size
    return gone


def _frames(items: Iterable[Outgoing | Order]) -> list[Outgoing]:
    return [each for each in items if isinstance(each, Outgoing)]


def _rank(frame: Frame) -> int:
    if frame_key(frame) is not None:
        return 0
    event = frame.message.event
    return 2 if (event.value if isinstance(event, WsEvent) else event) in KEPT_LONGEST else 1


def _joined(waiting: Iterable[Outgoing]) -> list[Outgoing]:
    """Join deltas that follow each other among the frames of one user, in the place of the last of them."""
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
