"""Frames of one turn of the event loop that go to one connection: the first at once, the others together at the turn's end.

uvloop's `write` makes the system call at once, which costs as much as all else that is done for a frame.
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary

from backends.frame import Parts

BURST_BYTES = 2**16  # with so much the others do not wait for the turn's end: a transport that takes no more says so by then


class Turn:
    """The bursts that began in this turn."""

    def __init__(self) -> None:
        self._bursts: list[Burst] = []

    def add(self, burst: "Burst") -> None:
        """This one begins."""
        if not self._bursts:
            asyncio.get_running_loop().call_soon(self._end)
        self._bursts.append(burst)

    def _end(self) -> None:
        bursts, self._bursts = self._bursts, []
        for burst in bursts:
            burst.end()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turn] = WeakKeyDictionary()


class Burst:
    """What is sent to one connection. `write` gets the parts of one or more frames, and is not called without any."""

    __slots__ = ("_behind", "_bytes", "_turn", "_write")

    def __init__(self, loop: asyncio.AbstractEventLoop, write: Callable[[Parts], None]) -> None:
        self._turn = _turns.setdefault(loop, Turn())
        self._write = write
        self._behind: list[bytes | memoryview] | None = None  # what came behind the first frame of this turn, if one came
        self._bytes = 0

    def send(self, parts: Parts, size: int) -> None:
        """Send a frame of about so many bytes."""
        if self._behind is None:
            self._write(parts)
            self._behind = []
            self._turn.add(self)
        else:
            self._behind += parts
            self._bytes += size
            if self._bytes >= BURST_BYTES:
                self.flush()

    def flush(self) -> None:
        """Send now what waits for the turn's end."""
        if self._behind:
            behind, self._behind, self._bytes = self._behind, [], 0
            self._write(behind)

    def end(self) -> None:
        """The turn ends."""
        self.flush()
        self._behind = None
