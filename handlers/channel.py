"""The bounded channel between a run and its frames: what a run says reaches its user in the order in which it was put here.

A run puts (`send`, `tell`) and one stream takes (`flushes`). An agent that is faster than the stream waits in `send`. The first
delta of a burst leaves at once; what follows within the flush window leaves together, with adjacent deltas joined.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import anyio

from backends.frame import delta_key, join, joined_by
from backends.metrics import Traffic
from schemas.errors import WsError
from schemas.events import Item

CAPACITY = 1000  # entries, as the requirements say

# What travels: items for all connections that hear the stream, an error that ends it, and errands. An errand is called when its
# turn comes: it answers one connection, and must not overtake the stream.
Errand = Callable[[], None]
Entry = Item | WsError | Errand


class Channel:
    """A memory channel of anyio with a bound. Whoever takes closes its end with `flushes`, and whoever puts with `close`."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._tx, self._rx = anyio.create_memory_object_stream[Entry](capacity)
        self._late = 0  # items that wait for room
        self._errands = 0  # errands that wait for room, or for late items
        self._has_no_errand = anyio.Event()  # nothing may be added that would overtake an errand
        self._has_no_errand.set()

    async def send(self, entries: Iterable[Entry], waiting: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Put the entries, each as soon as it is made. Raises BrokenResourceError when the stream has failed.

        Waits, within `waiting()`, only when the channel is full or an errand waits: anyio's `send` gives up the processor for
        each item, and `send_nowait` does not.
        """
        if not self._has_no_errand.is_set():
            with waiting():
                await self._has_no_errand.wait()
        for entry in entries:
            try:
                self._tx.send_nowait(entry)
            except anyio.WouldBlock:
                with waiting():
                    await self._send_late(entry)
                    await self._has_no_errand.wait()

    async def _send_late(self, entry: Entry) -> None:
        """Wait for room. The transcript has the entry already, so it is told whatever becomes of the caller."""
        sending = asyncio.ensure_future(self._tx.send(entry))
        sending.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody else reads it
        self._late += 1
        try:
            await asyncio.shield(sending)
        finally:
            self._late -= 1

    async def tell(self, make: Callable[[], Errand]) -> None:
        """Put an errand that tells how far the stream is; the stream goes on there. `make` makes it of the transcript.

        It is made when no item waits for room, since the transcript has what such an item says. While it waits nothing else is
        put, since `send` would let what the agent says meanwhile overtake it.
        """
        self._errands += 1
        if self._errands == 1:
            self._has_no_errand = anyio.Event()
        try:
            while self._late:
                await self._tx.send(_nothing)  # this waits behind the late items
            errand = make()
            try:
                self._tx.send_nowait(errand)
            except anyio.WouldBlock:
                await self._tx.send(errand)
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
        with self._rx as rx:
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


def _nothing() -> None:
    pass
