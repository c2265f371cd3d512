"""A gate: it lets in until it is shut, and says when all have left."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from schemas.errors import ServiceUnavailable

RESTARTING = "the server is restarting, retry on another connection"
RETRY_S = 1  # another server takes the request at once, and one that restarts alone needs about this long to be back


class Restarting(ServiceUnavailable):
    """This server begins nothing new."""

    def __init__(self) -> None:
        super().__init__(RESTARTING, RETRY_S)


class Gate:
    """What has been let in is inside until its block ends."""

    def __init__(self) -> None:
        self._inside = 0
        self._shut = False
        self._emptied = anyio.Event()

    def __len__(self) -> int:
        """How many are inside."""
        return self._inside

    @property
    def is_shut(self) -> bool:
        """Whether nobody is let in any more."""
        return self._shut

    def shut(self) -> None:
        """Let nobody in any more. Who is inside stays."""
        self._shut = True
        self._tell()

    async def emptied(self) -> None:
        """Wait until it is shut and all have left."""
        await self._emptied.wait()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside until the block ends. Raises Restarting when it is shut."""
        if self._shut:
            raise Restarting
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tell()

    def _tell(self) -> None:
        if self._shut and not self._inside:
            self._emptied.set()
