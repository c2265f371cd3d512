"""When a run's items leave: the first of a burst at once, and what follows within the flush window together, joined."""

import time
from collections.abc import AsyncGenerator, Hashable, Iterable, Iterator
from itertools import groupby
from typing import cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from backends.joining import delta_key, join
from backends.metrics import Traffic
from handlers.runs import Passenger
from handlers.transcript import Item


async def in_flushes(
    rx: MemoryObjectReceiveStream[Passenger], window: float, traffic: Traffic
) -> AsyncGenerator[list[Passenger], None]:
    """What is in the channel, as often as `window` seconds allow; with a window of 0 as it comes, and not joined."""
    flushed, pause, bound = -window, window, rx.statistics().max_buffer_size
    async for first in rx:
        if not window:
            yield [first]
            continue
        # Waiting here and not in `receive` with a time-out: that could lose what comes as the time runs out.
        if _key(first) and (early := flushed + pause - time.monotonic()) > 0:
            await anyio.sleep(early)
        flush = [first, *_waiting(rx)]
        flushed = time.monotonic()
        if len(flush) >= bound:  # the agent has had to wait for us
            pause /= 2
        elif len(flush) < bound / 4:
            pause = window
        fewer = list(joined(flush))
        traffic.joined += len(flush) - len(fewer)
        yield fewer


def _waiting(rx: MemoryObjectReceiveStream[Passenger]) -> Iterator[Passenger]:
    while True:
        try:
            yield rx.receive_nowait()
        except (anyio.WouldBlock, anyio.EndOfStream):
            return


def joined(passengers: Iterable[Passenger]) -> Iterator[Passenger]:
    """The same stream in as few items as it can be told in."""
    for key, group in groupby(passengers, _key):
        if key is None:
            yield from group
        else:
            items = cast(list[Item], list(group))
            yield (join([container for container, _ in items]), items[0][1])


def _key(passenger: Passenger) -> Hashable | None:
    return delta_key(passenger[0]) if isinstance(passenger, tuple) else None
