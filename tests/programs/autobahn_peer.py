"""The peer that Autobahn's cases talk through: a WebSocket client that can misbehave, and that forgives the server nothing.

Its camel-cased names and what they mean are those of the library that the cases were written for. The cases are Python 2,
whose strings are bytes: here such a string is a `str` of which each character stands for one byte, as in Latin-1.
"""

import asyncio
import base64
import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

# For the answer to a close frame, and again for the end of the connection after it. The suite's own peer waits for 1 s, on a
# machine that does nothing else.
PATIENCE_S = 5.0
ALLOWED_CLOSE_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


class ViolationError(Exception):
    """What the server did that no server may do, whatever is sent to it."""


def masked(data: bytes, key: bytes) -> bytes:
    """The data under the four bytes of the key; as one big number because that is fast for 16 MiB, too."""
    keys = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data) ^ int.from_bytes(keys)).to_bytes(len(data))


def header(opcode: int, size: int, key: bytes, fin: bool = True, rsv: int = 0) -> bytes:
    """What stands before a masked payload of this size."""
    start = bytes([fin << 7 | rsv << 4 | opcode])
    if size < 126:
        return start + bytes([0x80 | size]) + key
    if size < 1 << 16:
        return start + bytes([0x80 | 126]) + size.to_bytes(2) + key
    return start + bytes([0x80 | 127]) + size.to_bytes(8) + key


class Peer(asyncio.Protocol):
    """One connection on which the case runs; `lost` is set at its end, and `violation` if the server was to blame for it."""

    STATE_CLOSED, STATE_CONNECTING, STATE_CLOSING, STATE_OPEN = range(4)
    CLOSE_STATUS_CODE_NORMAL = 1000
    CLOSE_STATUS_CODE_PROTOCOL_ERROR = 1002
    CLOSE_STATUS_CODE_INVALID_PAYLOAD = 1007

    def __init__(self, case: Callable[["Peer"], Any]) -> None:
        self.lost = asyncio.Event()
        self.violation: str | None = None

        self.factory = SimpleNamespace(isServer=False)
        self.state = self.STATE_CONNECTING
        self.connectionWasOpen = False
        self.closedByMe = self.failedByMe = self.droppedByMe = self.wasClean = False
        self.localCloseReason: str | None = None
        self.remoteCloseCode: int | None = None
        self.autoFragmentSize = 0
        self.txFrameStats: Counter[int] = Counter()

        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._key = base64.b64encode(os.urandom(16))
        self._received = bytearray()
        self._opcode = 0  # of the message of which some fragments are here
        self._fragments: list[bytes] = []
        self._closed_by_server = False
        self._writes: deque[bytearray] = deque()
        self._last_grows = False
        self.case = case(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % self._key
        )

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            if self.state == self.STATE_CONNECTING:
                self._open()
            while self.state in (self.STATE_OPEN, self.STATE_CLOSING) and (frame := self._frame()):
                self._react(*frame)
        except ViolationError as violation:
            self.violation = str(violation)
            self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = self.STATE_CLOSED
        self.lost.set()

    def _open(self) -> None:
        if b"\r\n\r\n" not in self._received:
            return
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        accept = base64.b64encode(hashlib.sha1(self._key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
        if " 101 " not in status or headers.get("sec-websocket-accept") != accept or "sec-websocket-extensions" in headers:
            raise ViolationError(f"the server answered the handshake with {status!r} and {headers}")
        self.state = self.STATE_OPEN
        self.connectionWasOpen = True
        self.case.onOpen()

    def _frame(self) -> tuple[bool, int, bytes] | None:
        # The next frame, if all of it is here.
        if len(self._received) < 2:
            return None
        first, second = self._received[:2]
        if first & 0x70 or second & 0x80:
            raise ViolationError(f"the server sent a frame with reserved bits or a mask: {first:02x} {second:02x}")
        width = {126: 2, 127: 8}.get(second, 0)
        if len(self._received) < 2 + width:
            return None
        size = int.from_bytes(self._received[2 : 2 + width]) if width else second
        if width and size < {2: 126, 8: 1 << 16}[width]:
            raise ViolationError(f"the server wrote a size of {size} in {width} bytes")
        end = 2 + width + size
        if len(self._received) < end:
            return None
        payload = bytes(self._received[2 + width : end])
        del self._received[:end]
        return bool(first & 0x80), first & 0x0F, payload

    def _react(self, fin: bool, opcode: int, payload: bytes) -> None:
        if self._closed_by_server:
            raise ViolationError(f"the server sent a frame with opcode {opcode} after its close frame")
        if opcode > 7 and (not fin or len(payload) > 125):
            raise ViolationError(f"the server sent a control frame of {len(payload)} bytes, fin={fin}")
        match opcode:
            case 0 | 1 | 2:
                self._gather(fin, opcode, payload)
            case 8:
                self._end(payload)
            case 9:
                if self.state == self.STATE_OPEN:
                    self.sendFrame(10, payload.decode("latin-1"))
            case 10:
                self.case.onPong(payload.decode("latin-1"))
            case _:
                raise ViolationError(f"the server sent a frame with opcode {opcode}")

    def _gather(self, fin: bool, opcode: int, payload: bytes) -> None:
        if (opcode == 0) != (self._opcode != 0):
            raise ViolationError(f"the server sent a frame with opcode {opcode} when {self._opcode} was unfinished")
        self._opcode = self._opcode or opcode
        self._fragments.append(payload)
        if not fin:
            return
        message, kind = b"".join(self._fragments), self._opcode
        self._fragments, self._opcode = [], 0
        if kind == 1:
            _check_utf8(message)
        if not self.failedByMe:
            self.case.onMessage(message.decode("latin-1"), kind == 2)

    def _end(self, payload: bytes) -> None:
        self._closed_by_server = True
        if payload:
            self.remoteCloseCode = int.from_bytes(payload[:2])
            if len(payload) < 2 or self.remoteCloseCode not in ALLOWED_CLOSE_CODES:
                raise ViolationError(f"the server sent a close frame of {payload!r}")
            _check_utf8(payload[2:])
        self.wasClean = True
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(self.CLOSE_STATUS_CODE_NORMAL, isReply=True)
        self._wait()  # for the server to end the connection: it has to, not we

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_later(PATIENCE_S, self.give_up)

    def give_up(self) -> None:
        """End a connection that the server should have ended."""
        if self.state != self.STATE_CLOSED:
            self.wasClean = False
            self._drop()

    def _drop(self) -> None:
        self.droppedByMe = True
        self.state = self.STATE_CLOSED
        self._transport.abort()

    def sendFrame(
        self,
        opcode: int,
        payload: str = "",
        fin: bool = True,
        rsv: int = 0,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        """Send a frame, however wrong; its payload repeated up to a length; in writes of a size, or in one of its own."""
        data = payload.encode("latin-1")
        if payload_len is not None:
            data = (data * (payload_len // len(data) + 1))[:payload_len]
        key = os.urandom(4)
        self.txFrameStats[opcode] += 1
        self._write(header(opcode, len(data), key, fin, rsv) + masked(data, key), sync, chopsize)

    def _write(self, data: bytes, alone: bool = False, chopsize: int | None = None) -> None:
        # At the next turn of the loop, in one write with all that is sent in this turn, unless it shall be alone or in chops.
        if not self._writes:
            self._loop.call_soon(self._write_one)
        elif self._last_grows and not alone and not chopsize:
            self._writes[-1] += data
            return
        size = chopsize or len(data)
        self._writes.extend(bytearray(data[at : at + size]) for at in range(0, len(data), size))
        self._last_grows = not alone and not chopsize

    def _write_one(self) -> None:
        if self.state != self.STATE_CLOSED:
            self._transport.write(self._writes.popleft())
            if self._writes:
                self._loop.call_soon(self._write_one)

    def sendMessage(self, payload: str, isBinary: bool = False, fragmentSize: int | None = None) -> None:
        """Send a message, in fragments if a size is given here or by the case for all of its messages."""
        size = fragmentSize or self.autoFragmentSize or len(payload) or 1
        starts = range(0, len(payload) or 1, size)
        for start in starts:
            opcode = 0 if start else 2 if isBinary else 1
            self.sendFrame(opcode, payload[start : start + size], fin=start == starts[-1])

    def beginMessage(self) -> None:
        """Nothing yet: the first frame of the message begins it."""

    def beginMessageFrame(self, length: int) -> None:
        """Send the head of a text frame that does not end its message; a key of zeros leaves what follows as it is."""
        self._write(header(1, length, bytes(4), fin=False))

    def sendMessageFrameData(self, payload: str) -> None:
        """Send some of the frame that has begun."""
        self._write(payload.encode("latin-1"))

    def endMessage(self) -> None:
        """End the message that has begun."""
        self.sendFrame(0)

    def sendClose(self, code: int | None = None, reason: str = "") -> None:
        """Begin to close as a client should."""
        self.sendCloseFrame(code, reason)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: str = "", isReply: bool = False) -> None:
        """Send a close frame, however wrong, if the connection is open."""
        if self.state != self.STATE_OPEN:
            return
        self.sendFrame(8, ("" if code is None else code.to_bytes(2).decode("latin-1")) + reasonUtf8)
        self.state = self.STATE_CLOSING
        self.closedByMe = not isReply
        self.localCloseReason = reasonUtf8
        self._wait()

    def continueLater(self, delay: float, call: Callable[[], None], tag: object = None) -> None:
        """Call after so many seconds, unless the connection is gone by then."""
        self._loop.call_later(delay, lambda: None if self.state == self.STATE_CLOSED else call())

    def closeAfter(self, delay: float) -> None:
        """Begin to close after so many seconds."""
        self.continueLater(delay, self.sendClose)

    def killAfter(self, delay: float) -> None:
        """Fail the connection after so many seconds."""
        self.continueLater(delay, self.failConnection)

    def failConnection(self) -> None:
        """Close because the server has not done what it should; for good if a closing is under way."""
        self.failedByMe = True
        if self.state == self.STATE_CLOSING:
            self._drop()
        else:
            self.sendCloseFrame(1001, "Going Away")

    def enableWirelog(self, enable: bool) -> None:
        """Nothing: there is no log of the wire."""


def _check_utf8(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        raise ViolationError(f"the server sent text that is not UTF-8: {error}") from None
