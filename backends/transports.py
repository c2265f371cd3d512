"""Figures of a transport that asyncio does not give."""

import asyncio
import fcntl
import struct
import termios
from contextlib import suppress


def unsent(transport: asyncio.Transport) -> int:
    """Bytes that the peer has not taken yet: in the transport and in the kernel.

    The kernel lets the transport go on only when a third of its own buffer is free: seconds, with a steady but slow peer.
    """
    left = int(transport.get_write_buffer_size())
    with suppress(OSError, ValueError, AttributeError):  # the socket is closed
        number = transport.get_extra_info("socket").fileno()
        left += struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))[0]
    return left
