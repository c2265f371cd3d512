"""The right to answer chats, for as long as no other server can have closed what this one is answering."""

import math
import time
from uuid import uuid4

import anyio


class LeaseLost(Exception):
    """Another node took this one for dead, and has closed the run."""


class Lease:
    """A node's right to answer chats, under one id. Once it is lost others may have closed what was being answered."""

    def __init__(self, until: float = math.inf) -> None:
        self.id = uuid4()
        self.lost = False
        self.until = until  # it is sure until this time of the process' monotonic clock
        self._changed = anyio.Event()

    @property
    def is_sure(self) -> bool:
        """Whether this node may still count on the lease: its last renewal holds, so no other node can have taken it."""
        return time.monotonic() < self.until

    def renew(self, until: float) -> None:
        """Note that no other node can take the lease until then. One that is lost stays lost."""
        if not self.lost:
            self.until = until
            self._tell()

    def lose(self) -> None:
        """Note that another node has taken the lease."""
        self.lost, self.until = True, -math.inf
        self._tell()

    def give_up(self) -> None:
        """Wait no longer for an answer of the database: a lease that is not sure is as good as lost."""
        if not self.is_sure:
            self.lose()

    async def settled(self) -> bool:
        """Wait until it is known whether it has been lost. Whether it is still held."""
        while not (self.lost or self.is_sure):
            await self._changed.wait()
        return not self.lost

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
