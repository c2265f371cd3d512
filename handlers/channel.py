"""The bounded channel between a run and its frames: what a run says reaches its user in the order in which it was put here.

A run puts (`send`, `tell`) and one stream takes (`flushes`). An agent that is faster than the stream waits in `send`. The first
delta of a burst leaves at once. What follows within the flush window leaves together: a delta joins the one before it, while
that has not been taken.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice

import anyio

from backends.metrics import Traffic
from handlers.growing import Delta
from schemas.errors import WsError
from schemas.events import Item

CAPACITY = 1000  # entries, as the requirements say
UNJOINED = 8  # entries that are taken in one turn of the event loop, where each becomes a frame of its own


class Errand:
    """An answer to one connection, which is told when its turn in the stream comes, or not at all."""

    def __init__(self) -> None:
        self.answer: Callable[[], None] | None = None
        self.was_told = False
        self.is_done = anyio.Event()  # set when it was told, or will never be

    def run(self, is_ours: bool) -> None:
        """Its turn has come. Of a run that is not ours any more nothing may be told."""
        if self.answer and is_ours:
            self.answer()
            self.was_told = True
        self.is_done.set()


# What travels: deltas and items for all connections that hear the stream, an error that ends it, and errands, in its order.
Entry = Delta | Item | WsError | Errand


class Channel:
    """A memory channel of anyio with a bound. The reader closes its end by leaving `flushes`, the writer by `close`."""

    def __init__(self, window: float = 0.0, capacity: int = CAPACITY) -> None:
        """`window`: seconds in which deltas are joined. With 0 each is an entry of its own."""
        self._tx, self._rx = anyio.create_memory_object_stream[Entry](capacity)
        self._window = window
        self._capacity = capacity
        self._latest: Delta | None = None  # the last entry, while the stream has not taken it and deltas may join it
        self._joined = 0  # deltas that have joined one which the stream has not taken
        self._is_urgent = anyio.Event()  # set when the stream is to take what there is, without waiting for the window's end
        self._was_taken: anyio.Event | None = None  # set when the stream takes what there is, if anybody waits for that
        self._late = 0  # items that wait for room
        self._errands = 0  # errands that wait for room, or for late items; while there are any, `send` puts nothing
        self._has_no_errand = anyio.Event()  # set when no errand waits any more
        self._asked: set[Errand] = set()  # those that `tell` waits for
        self._has_ended = anyio.Event()  # set when the stream has told everything, or has failed

    async def send(self, entries: Iterable[Entry], waiting: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Put the entries, each as soon as it is made. Raises BrokenResourceError when the stream has failed.

        Waits, within `waiting()`, only when the channel is full or an errand waits: anyio's `send` gives up the processor for
        each item, and `send_nowait` does not.
        """
        if self._errands:
            with waiting():
                await self._no_errand()
        for entry in entries:
            if self._latest and isinstance(entry, Delta) and entry.text is self._latest.text:
                self._latest.chunks += entry.chunks
                self._joined += 1
                if self._joined >= self._capacity:
                    with waiting():
                        await self._taken()
                        await self._no_errand()
                continue
            try:
                self._tx.send_nowait(entry)
                if self._window:
                    self._place(entry)
            except anyio.WouldBlock:
                self._latest = None
                with waiting():
                    await self._send_late(entry)
                    await self._no_errand()

    def _place(self, entry: Entry) -> None:
        """The entry is the last one now. With deltas alone the stream waits until its window ends."""
        if isinstance(entry, Delta):
            self._latest = entry
        else:
            self._latest = None
            self._is_urgent.set()

    async def _taken(self) -> None:
        """Wait until the stream has taken what there is, or has failed."""
        self._is_urgent.set()
        self._was_taken = self._was_taken or anyio.Event()
        await self._was_taken.wait()

    async def _no_errand(self) -> None:
        while self._errands:  # again, since another errand may have come before this task went on
            await self._has_no_errand.wait()

    async def _send_late(self, entry: Entry) -> None:
        """Put the entry when there is room, even if the caller is cancelled meanwhile: the transcript has it already."""
        self._is_urgent.set()
        sending = asyncio.ensure_future(self._tx.send(entry))
        self._late += 1
        sending.add_done_callback(self._is_late_no_more)
        await asyncio.shield(sending)

    def _is_late_no_more(self, sending: asyncio.Future[None]) -> None:
        self._late -= 1
        if not sending.cancelled():
            sending.exception()  # read here, since perhaps nobody waits for it any more

    async def tell(self, make: Callable[[], Callable[[], None]]) -> bool:
        """Answer one connection with the transcript as it stands; what is put later goes on from there.

        `make` makes the answer when no item waits for room: such an item is in the transcript, but not yet in the stream. Until
        the answer is put, `send` puts nothing. Returns whether the connection was told. It is not told if the stream has ended
        or failed, or if the run is not ours any more.
        """
        errand = Errand()
        self._asked.add(errand)
        try:
            with self._holding_up():
                while self._late:
                    await self._tx.send(Errand())  # this waits behind the late items
                self._latest = None  # what is put later goes on from the answer
                errand.answer = make()
                self._is_urgent.set()
                try:
                    self._tx.send_nowait(errand)
                except anyio.WouldBlock:
                    await self._tx.send(errand)
            await errand.is_done.wait()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._has_ended.wait()
            return False
        finally:
            errand.answer = None
            errand.is_done.set()
            self._asked.discard(errand)
        return errand.was_told

    @contextmanager
    def _holding_up(self) -> Iterator[None]:
        if not self._errands:
            self._has_no_errand = anyio.Event()
        self._errands += 1
        try:
            yield
        finally:
            self._errands -= 1
            if not self._errands:
                self._has_no_errand.set()

    def close(self) -> None:
        """Put nothing more. The stream ends with what was put before."""
        self._is_urgent.set()
        self._tx.close()

    async def flushes(self, traffic: Traffic) -> AsyncGenerator[list[Entry], None]:
        """Take what is in the channel: at most once in the window while there are only deltas, everything else at once.

        Whoever ends this before the channel is closed breaks it: `send` and `tell` then raise BrokenResourceError.
        """
        with self._rx as rx, self._ending():
            flushed, more = -self._window, None if self._window else UNJOINED - 1
            async for first in rx:
                # Not `receive` with a time-out, which could lose an entry that comes in the last moment.
                if isinstance(first, Delta) and (early := flushed + self._window - time.monotonic()) > 0:
                    with anyio.move_on_after(early):
                        await self._is_urgent.wait()
                flush = [first, *islice(self._waiting(), more)]
                flushed = time.monotonic()
                traffic.joined += self._joined
                self._take()
                yield flush

    def _take(self) -> None:
        """The stream has taken what there was: let those go on who wait for that, and join nothing to it any more."""
        self._latest, self._joined = None, 0
        if self._was_taken:
            self._was_taken.set()
            self._was_taken = None
        if self._is_urgent.is_set():
            self._is_urgent = anyio.Event()

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._take()
            self._has_ended.set()
            for errand in self._asked:  # the stream has failed, and comes to none of these
                errand.is_done.set()

    def _waiting(self) -> Iterator[Entry]:
        while True:
            try:
                yield self._rx.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                return
