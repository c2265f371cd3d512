"""A frame on its way: encoded once for however many connections, numbered for those that can resume, and joined with its like.

Deltas that follow each other become one: fewer frames, and a client ends with the same text. Joined is only what is adjacent,
so nothing is reordered and nothing is joined across another frame of its message. Existing clients append chunks to what they
have under the same id, which is what makes joining invisible (protocol, section 5).
"""

import struct
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast
from uuid import UUID, uuid4

from msgspec.structs import replace

from backends.brief import brief, has_chat
from backends.deltas import chunk_of, delta_key, join
from schemas.events import Container
from schemas.frames import WsResponseMessage, WsSendMethod, decode, encode

# From this size on a frame keeps only its bytes, since its message would take as much memory again. And it is not joined with
# others, since joining would copy the whole text with every delta.
LARGE_BYTES = 2**16
# From this size on a frame's text is not copied behind its head, so that all connections share its bytes.
SHARED_BYTES = 2**14

_MARK = uuid4().hex  # stands in no other text

Parts = Sequence[bytes | memoryview]  # what one frame is made of, one behind the other


class Frame:
    """A message, encoded once for however many connections, with its number among all frames of its user.

    `first` and `offset` are the numbers of the first and the last frame that it stands for: more than one when it was joined.
    `method`: whom it is for. `asked_by`: the connection that asked for it, if one did. `about`: the message that a chat is told
    for, if that may be another than its newest. `holders` counts the outboxes that hold it: its bytes are shared by all of
    them. `leavers` counts the transports of closed connections that still have it.
    """

    __slots__ = (
        "_brief", "_data", "_message", "_numbered_wire", "_wire",
        "about", "asked_by", "first", "holders", "leavers", "method", "offset", "size",
    )  # fmt: skip

    def __init__(self, message: WsResponseMessage | None, first: int = 0, offset: int = 0, size: int | None = None) -> None:
        self._message = message
        self._data: bytes | None = None
        self._wire: Parts | None = None
        self._numbered_wire: Parts | None = None
        self._brief: Frame | None = None
        self.about: UUID | None = None
        self.asked_by: str | None = None
        self.method = message.send_method if message else WsSendMethod.ALL
        self.first = first
        self.offset = offset
        self.holders = self.leavers = 0
        self.size = len(self._encode()) if size is None else size  # of the text in bytes, without the number

    @classmethod
    def of_data(cls, data: bytes, offset: int = 0) -> "Frame":
        """A frame that is encoded already. It is decoded when somebody asks for its message."""
        frame = cls(None, offset, offset, len(data))
        frame._data = data
        return frame

    @property
    def message(self) -> WsResponseMessage:
        """The message. Of a large frame, or of one that came encoded, the payload is raw unless it is a delta."""
        if self._message is not None:
            return self._message
        message = decode(self.data)
        if self.size < LARGE_BYTES:
            self._message = message
        return message

    @property
    def data(self) -> bytes:
        """The frame's text as it is sent, in UTF-8."""
        return self._data if self._data is not None else self._encode()

    @property
    def brief(self) -> "Frame":
        """For a connection with `messages=new`: the chat of a stream has only the message that the stream is about."""
        if not has_chat(self.data):
            return self
        if self._brief is None:
            self._brief = Frame.of_data(brief(self.data, str(self.about)))
            self._brief.method = self.method
        self._brief.first, self._brief.offset = self.first, self.offset  # Redis may have given it its number meanwhile
        return self._brief

    def text(self, numbered: bool) -> Parts:
        """The text for a connection: `numbered`, for one that can resume, has the number as one more last key."""
        if not numbered or not self.offset:
            return (self.data,)
        return memoryview(self.data)[:-1], b',"offset":%d}' % self.offset

    def wire(self, numbered: bool) -> Parts:
        """The text as an unmasked frame of WebSocket, RFC 6455 section 5.2. Made once, whoever it is for."""
        made = self._numbered_wire if numbered else self._wire
        if made is None:
            text = self.text(numbered)
            size = sum(map(len, text))
            made = (_head(size), *text) if size >= SHARED_BYTES else (b"".join((_head(size), *text)),)
            if numbered:
                self._numbered_wire = made
            else:
                self._wire = made
        return made

    def _encode(self) -> bytes:
        self._data = encode(self.message)
        if len(self._data) >= LARGE_BYTES:
            self._message = None
        return self._data


class Template:
    """The frames of the deltas of one text: only their chunks differ. `message_of` makes the message of a chunk."""

    def __init__(self, message_of: Callable[[str], WsResponseMessage]) -> None:
        self._before, _, self._after = encode(message_of(_MARK)).partition(encode(_MARK))

    def frame(self, chunk: str) -> Frame:
        """The frame of this chunk."""
        return Frame.of_data(b"".join((self._before, encode(chunk), self._after)))


def _head(size: int) -> bytes:
    """The head of an unmasked text frame, whose text has so many bytes."""
    if size < 126:
        return bytes((0x81, size))
    return struct.pack("!BBH", 0x81, 126, size) if size < 2**16 else struct.pack("!BBQ", 0x81, 127, size)


def frame_key(frame: Frame) -> Hashable | None:
    """Equal for frames that can be joined when they are adjacent; None for others."""
    if frame.size >= LARGE_BYTES:
        return None
    message = frame.message
    key = delta_key(message.payload)
    return key and (message.request_id, key)


def joined_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Join adjacent deltas of one text, and leave all other frames as they are."""
    for key, group in groupby(frames, frame_key):
        if key is None:
            yield from group
        else:
            yield join_frames(list(group))


def join_frames(frames: list[Frame]) -> Frame:
    """One frame for adjacent ones of the same key."""
    if len(frames) == 1:
        return frames[0]
    messages = [frame.message for frame in frames]
    payload = join([cast(Container, message.payload) for message in messages])
    message = replace(messages[-1], payload=payload)
    grown = sum(len(encode(chunk_of(message.payload))) - len('""') for message in messages[1:])
    return Frame(message, frames[0].first, frames[-1].offset, frames[0].size + grown)
