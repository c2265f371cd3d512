"""Frames that go to one connection in quick succession: the first at once, those behind it several at a time.

uvloop's `write` makes a system call at once, which costs as much as all else that is done for a frame, and more when it wakes
its reader on another processor.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

from backends.frame import Parts

BURST_BYTES = 2**16  # with so much the frames wait no longer: a transport that takes no more says so by then
BURST_TURNS = 8  # turns of the event loop that a frame may wait for others, and only while each of these turns brings one


class Turn:
    """The bursts that go on in this turn of the event loop."""

    def __init__(self) -> None:
        self._bursts: list[Burst] = []

    def add(self, burst: "Burst") -> None:
        """This one looks at the end of the turn whether it goes on."""
        if not self._bursts:
            asyncio.get_running_loop().call_soon(self._end)
        self._bursts.append(burst)

    def _end(self) -> None:
        bursts, self._bursts = self._bursts, []
        for burst in bursts:
            burst.end_turn()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


class Burst:
    """Sends one connection its frames, by `write`, which gets the parts of one or more of them."""

    __slots__ = ("_behind", "_bytes", "_grew", "_is_on", "_turn", "_waited", "_write")

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[Parts], None]) -> None:
        self._turn = _turns.setdefault(loop, Turn())
        self._write = write
        self._behind: list[bytes | memoryview] = []  # what waits
        self._bytes = 0  # of it
        self._waited = 0  # turns since a frame was written
        self._is_on = False
        self._grew = False  # in this turn

    def send(self, parts: Parts, size: int) -> None:
        """Send a frame of about so many bytes: at once if none was sent in this turn and the one before."""
        self._grew = True
        if not self._is_on:
            self._is_on, self._waited = True, 0
            self._turn.add(self)
            self._write(parts)
            return
        self._behind += parts
        self._bytes += size
        if self._bytes >= BURST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send now what waits."""
        if self._behind:
            behind, self._behind, self._bytes, self._waited = self._behind, [], 0, 0
            self._write(behind)

    def end_turn(self) -> None:
        """Send what waits, unless more of it may come at once. The burst is over after a turn that has brought nothing."""
        self._waited += 1
        if not self._grew or self._waited >= BURST_TURNS:
            self.flush()
        self._is_on, self._grew = self._grew, False
        if self._is_on:
            self._turn.add(self)
