"""Bounds for what waits for readers, in bytes, and the choice of the connection that is closed when it is too much.

A connection is judged by its progress and never by the size of a frame: one that takes what it is given is not too slow. Past
`each` behind the frame that is being sent, a connection is closed once its peer has taken nothing for BEHIND_LOOKS looks. That
alone would let many connections, or many frames on their way to a slow one, take all memory. So what waits is also summed up
for each user and for the process; a frame that waits for several connections counts once, since they share its bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol
from uuid import UUID
from weakref import WeakValueDictionary

import anyio

from backends.frame import Frame
from schemas.errors import ServiceUnavailable, TooManyRequests

BEHIND_LOOK_S = 0.25  # seconds between looks at the connections that are behind
BEHIND_LOOKS = 4  # without progress. Counted and not timed, since a pause of this process would look like one of the reader
BEHIND_BYTES = 2**14  # a connection with more is looked at; a fast one has less, unless a frame is larger
ANSWERS = 2  # chats, or lists of chats, that are read for one user at a time: each takes several times its size in memory
WAIT_S = 5.0  # seconds that such a request waits until a connection of the user has read something of what waits
OUTBOX_RETRY_S = 5  # a guess: by then other connections have read, or were closed


class Outbox(Protocol):
    """The frames that wait for one connection."""

    @property
    def waiting(self) -> int:
        """Bytes, with those that are being sent."""

    @property
    def behind(self) -> int:
        """Bytes that wait behind the frame that is being sent."""

    @property
    def is_stalled(self) -> bool:
        """Whether the peer had taken nothing at the last look."""

    def look(self) -> None:
        """See whether the peer has taken anything since the last look, and close when it is too slow."""

    def give_up(self) -> None:
        """Close it as too slow. From here on nothing waits for it."""


class TooMuchWaits(TooManyRequests):
    """An answer to this user would wait behind what they do not read."""

    def __init__(self) -> None:
        super().__init__(
            "outboxes", f"too much waits for your connections already, retry in {OUTBOX_RETRY_S} seconds", OUTBOX_RETRY_S
        )


class ServerBehind(ServiceUnavailable):
    limit = "outboxes"

    def __init__(self) -> None:
        super().__init__(f"too much waits for slow connections, retry in {OUTBOX_RETRY_S} seconds", OUTBOX_RETRY_S)


class Share:
    """The bytes that wait for one user's connections, and these connections.

    `leaving`: bytes in the transports of connections that have been closed, and are not gone yet.
    """

    def __init__(self, outboxes: "Outboxes") -> None:
        self.bytes = self.leaving = 0
        self.members: set[Outbox] = set()
        self.turns = anyio.Semaphore(ANSWERS)
        self.outboxes = outboxes
        self.eased: anyio.Event | None = None  # set when something large has been read; requests wait for it
        self.is_stuck = False  # a request has waited for `eased` in vain, and it has not been set since

    def hold(self, frame: Frame) -> None:
        """One more outbox has the frame. May close connections, also the one that has just been given the frame."""
        frame.holders += 1
        if frame.holders == 1:
            self.bytes += frame.size
            self.outboxes.bytes += frame.size
            if frame.leavers:
                self._add_leaving(-frame.size)
            if self.outboxes.is_over(self):
                self.outboxes.relieve(self)

    def release(self, frame: Frame) -> None:
        """One outbox less has it."""
        frame.holders -= 1
        if not frame.holders:
            self.bytes -= frame.size
            self.outboxes.bytes -= frame.size
            if frame.leavers:
                self._add_leaving(frame.size)
            self._ease(frame.size)

    def leave(self, frame: Frame, when_lost: Callable[[Callable[[], None]], None]) -> None:
        """One outbox less has it, but its transport does until the connection is lost."""
        frame.leavers += 1
        self.release(frame)
        when_lost(partial(self._lost, frame))

    def _lost(self, frame: Frame) -> None:
        frame.leavers -= 1
        if not (frame.leavers or frame.holders):
            self._add_leaving(-frame.size)
            self._ease(frame.size)

    def _add_leaving(self, size: int) -> None:
        self.leaving += size
        self.outboxes.leaving += size

    def _ease(self, size: int) -> None:
        """Let those go on who wait for room: something large has been read, or there is room."""
        if self.eased and (size >= BEHIND_BYTES or not self.outboxes.is_full(self)):
            self.eased.set()
            self.eased, self.is_stuck = None, False


class Outboxes:
    """The shares of all users, and the connections that are behind."""

    def __init__(self, each: int, per_user: int, in_all: int) -> None:
        self.bytes = self.leaving = 0
        self.each = each
        self._per_user = per_user
        self._for_answers = per_user // 4
        self._in_all = in_all
        self._shares: WeakValueDictionary[UUID, Share] = WeakValueDictionary()
        self._behind: set[Outbox] = set()
        self._timer: asyncio.TimerHandle | None = None

    def share_of(self, user_id: UUID) -> Share:
        """The user's. It lives for as long as somebody has it."""
        share = self._shares.get(user_id)
        if share is None:
            share = self._shares[user_id] = Share(self)
        return share

    def is_over(self, share: Share) -> bool:
        """Whether the frames that wait exceed a bound, the user's own or the process', so that connections must be closed."""
        return share.bytes > self._per_user or self.bytes > self._in_all

    def is_full(self, share: Share) -> bool:
        """Whether there is no room for an answer to one of the user's connections."""
        return share.bytes + share.leaving > self._for_answers

    @asynccontextmanager
    async def room(self, user_id: UUID) -> AsyncIterator[None]:
        """A turn to read what one connection of the user is to be answered with, once there is room for it.

        Raises what `check` does when nothing of what waits has been read for WAIT_S.
        """
        async with self.share_of(user_id).turns:
            await self.wait(user_id)
            yield

    async def wait(self, user_id: UUID) -> None:
        """Wait until there is room for an answer to the user. Raises what `check` does, when nothing is read for WAIT_S."""
        share = self.share_of(user_id)
        while self.is_full(share) and not share.is_stuck:
            share.eased = eased = share.eased or anyio.Event()
            with anyio.move_on_after(WAIT_S):
                await eased.wait()
            share.is_stuck = not eased.is_set()
        self.check(user_id)

    def check(self, user_id: UUID) -> None:
        """Raise TooManyRequests or ServiceUnavailable if there is no room for an answer to one of the user's connections.

        Room for answers ends at 1/4 of a user's bound, and 1/2 of the process': no connection is closed for what it asked for.
        """
        if self.is_full(self.share_of(user_id)):
            raise TooMuchWaits
        if self.bytes + self.leaving > self._in_all // 2:
            raise ServerBehind

    def relieve(self, share: Share) -> None:
        """Close connections until no more waits than may, or until none of them is at fault.

        If a user has too much, those go that have more than `each` behind what is being sent; of the process the largest go.
        Those whose peer takes nothing go before those whose peer does. The last one that is behind stays: no frame is too large
        by itself.
        """
        while share.bytes > self._per_user and (worst := _most(share.members, self.each)):
            worst.give_up()
        while self.bytes > self._in_all and len(self._behind) > 1:
            max(self._behind, key=lambda each: (each.is_stalled, each.waiting)).give_up()

    def watch(self, outbox: Outbox) -> None:
        """Look at it every BEHIND_LOOK_S until it is not behind any more."""
        self._behind.add(outbox)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BEHIND_LOOK_S, self._look)

    def forget(self, outbox: Outbox) -> None:
        """Look at it no more."""
        self._behind.discard(outbox)

    def _look(self) -> None:
        self._timer = None
        for outbox in list(self._behind):
            outbox.look()
            if outbox.waiting < BEHIND_BYTES:
                self._behind.discard(outbox)
        if self._behind:
            self._timer = asyncio.get_running_loop().call_later(BEHIND_LOOK_S, self._look)


def _most(outboxes: Iterable[Outbox], least: int) -> Outbox | None:
    behind = [each for each in outboxes if each.behind > least]
    return max(behind, key=lambda each: (each.is_stalled, each.behind), default=None)
