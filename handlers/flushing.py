"""When a run's items leave: the first of a burst at once, and what follows within the flush window together, joined."""

import time
from collections.abc import AsyncGenerator, Iterator

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from handlers.joining import delta_key, joined
from handlers.runs import Passenger


async def in_flushes(rx: MemoryObjectReceiveStream[Passenger], window: float) -> AsyncGenerator[list[Passenger], None]:
    """What is in the channel, as often as `window` seconds allow; with a window of 0 as it comes, and not joined."""
    flushed = -window
    async for first in rx:
        # Waiting here and not in `receive` with a time-out: that could lose what comes as the time runs out.
        if delta_key(first) and (early := flushed + window - time.monotonic()) > 0:
            await anyio.sleep(early)
        flush = [first, *_waiting(rx)]
        flushed = time.monotonic()
        yield list(joined(flush)) if window else flush


def _waiting(rx: MemoryObjectReceiveStream[Passenger]) -> Iterator[Passenger]:
    while True:
        try:
            yield rx.receive_nowait()
        except (anyio.WouldBlock, anyio.EndOfStream):
            return
