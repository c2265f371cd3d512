"""The bounded channel between a run and its frames: what a run says reaches its user in the order in which it was put here.

A run puts (`send`, `tell`) and one stream takes (`flushes`). An agent that is faster than the stream waits in `send`. The first
delta of a burst leaves at once; what follows within the flush window leaves together, with adjacent deltas joined.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import anyio

from backends.frame import delta_key, join, joined_by
from backends.metrics import Traffic
from schemas.errors import WsError
from schemas.events import Item

CAPACITY = 1000  # entries, as the requirements say


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


# What travels: items for all connections that hear the stream, an error that ends it, and errands, which must not overtake it.
Entry = Item | WsError | Errand


class Channel:
    """A memory channel of anyio with a bound. The reader closes its end by leaving `flushes`, the writer by `close`."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._tx, self._rx = anyio.create_memory_object_stream[Entry](capacity)
        self._late = 0  # items that wait for room
        self._errands = 0  # errands that wait for room, or for late items
        self._has_no_errand = anyio.Event()  # set while no errand waits; while it is not set, `send` puts nothing
        self._has_no_errand.set()
        self._asked: set[Errand] = set()  # those that `tell` waits for
        self._has_ended = anyio.Event()  # set when the stream has told everything, or has failed

    async def send(self, entries: Iterable[Entry], waiting: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Put the entries, each as soon as it is made. Raises BrokenResourceError when the stream has failed.

        Waits, within `waiting()`, only when the channel is full or an errand waits: anyio's `send` gives up the processor for
        each item, and `send_nowait` does not.
        """
        if not self._has_no_errand.is_set():
            with waiting():
                await self._no_errand()
        for entry in entries:
            try:
                self._tx.send_nowait(entry)
            except anyio.WouldBlock:
                with waiting():
                    await self._send_late(entry)
                    await self._no_errand()

    async def _no_errand(self) -> None:
        while not self._has_no_errand.is_set():  # again, since another errand may have come before this task went on
            await self._has_no_errand.wait()

    async def _send_late(self, entry: Entry) -> None:
        """Put the entry when there is room, even if the caller is cancelled meanwhile: the transcript has it already."""
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
                errand.answer = make()
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
        self._errands += 1
        if self._errands == 1:
            self._has_no_errand = anyio.Event()
        try:
            yield
        finally:
            self._errands -= 1
            if not self._errands:
                self._has_no_errand.set()

    def close(self) -> None:
        """Put nothing more. The stream ends with what was put before."""
        self._tx.close()

    async def flushes(self, window: float, traffic: Traffic) -> AsyncGenerator[list[Entry], None]:
        """Take what is in the channel, as often as `window` seconds allow. With a window of 0 each entry comes as it was put.

        Whoever ends this before the channel is closed breaks it: `send` and `tell` then raise BrokenResourceError.
        """
        with self._rx as rx, self._ending():
            flushed, pause, bound = -window, window, rx.statistics().max_buffer_size
            async for first in rx:
                if not window:
                    yield [first]
                    continue
                # Not `receive` with a time-out, which could lose an entry that comes in the last moment.
                if _key(first) and (early := flushed + pause - time.monotonic()) > 0:
                    await anyio.sleep(early)
                flush = [first, *self._waiting()]
                flushed = time.monotonic()
                if len(flush) >= bound:  # the channel was full, so the agent waited
                    pause /= 2
                elif len(flush) < bound / 4:
                    pause = window
                fewer = list(joined(flush))
                traffic.joined += len(flush) - len(fewer)
                yield fewer

    @contextmanager
    def _ending(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._has_ended.set()
            for errand in self._asked:  # the stream has failed, and comes to none of these
                errand.is_done.set()

    def _waiting(self) -> Iterator[Entry]:
        while True:
            try:
                yield self._rx.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                return


def joined(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Join adjacent deltas of one text, and leave all other entries as they are."""
    return joined_by(entries, _key, _join)


def _key(entry: Entry) -> Hashable | None:
    return delta_key(entry[0]) if isinstance(entry, tuple) else None


def _join(entries: list[Entry]) -> Entry:
    items = cast(list[Item], entries)
    return join([container for container, _ in items]), items[0][1]
