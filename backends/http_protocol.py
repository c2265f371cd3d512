"""HTTP by uvicorn, as Threadcast needs it: a peer that does not read its answer is cut off."""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LOOK_S = 5.0  # between looks at a connection whose peer has not taken all of its answer
# Without any progress the connection is cut off. Counted and not timed, so that a busy moment of our own is not taken for one
# of the peer's. 30 s are what a phone may need to find its network again.
LOOKS = 6


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not taken yet: in the transport and in the kernel.

    The kernel lets the transport go on only when a third of its own buffer is free: seconds, with a steady but slow peer.
    """
    left = int(transport.get_write_buffer_size())
    with suppress(OSError, ValueError, AttributeError):  # the socket is closed
        number = transport.get_extra_info("socket").fileno()
        left += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))[0]
    return left


class HttpProtocol(HttpToolsProtocol):
    """Has a time limit for what its peer does not read: uvicorn's own would hold it, and the connection, for ever."""

    _looking: asyncio.TimerHandle | None = None
    _unsent = 0  # at the last look
    _looks = 0  # since the peer was seen to take anything

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_soon()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._look_soon()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._looking:
            self._looking.cancel()

    def _look_soon(self) -> None:
        if self._looking is None:
            self._looks, self._unsent = 0, unsent(self.transport)
            self._looking = self.loop.call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Cut the peer off that has taken nothing for LOOKS looks; look on while anything waits for it."""
        self._looking = None
        if not self.transport.get_write_buffer_size():
            return
        left = unsent(self.transport)
        self._looks = self._looks + 1 if left >= self._unsent else 0
        self._unsent = left
        if self._looks >= LOOKS:
            self.transport.abort()
        else:
            self._looking = self.loop.call_later(LOOK_S, self._look)
