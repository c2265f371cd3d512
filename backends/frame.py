"""A frame on its way: encoded once for however many connections, numbered for those that can resume."""

from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby
from typing import cast

from msgspec.structs import replace

from backends.joining import chunk_of, delta_key, join
from schemas.events import Container
from schemas.frames import WsResponseMessage, decode, encode

# From this size on a frame keeps its bytes only, since what they were made of takes as much again, and is joined with no
# other: joining copies all of the text so far with every delta.
LARGE_BYTES = 2**16


class Frame:
    """A message with the place that it has among all of its user's.

    `first` and `offset` are the numbers of the first and the last frame that it stands for: more than one when it was joined.
    `size` is what its text has in bytes. `holders` counts the outboxes that hold it: its bytes are shared by all of them.
    `leavers` counts the transports of closed connections that still have it.
    """

    __slots__ = ("_data", "_message", "first", "holders", "leavers", "offset", "size")

    def __init__(self, message: WsResponseMessage | None, first: int = 0, offset: int = 0, size: int | None = None) -> None:
        self._message = message
        self._data: bytes | None = None
        self.first = first
        self.offset = offset
        self.holders = self.leavers = 0
        self.size = len(self._encode()) if size is None else size

    @classmethod
    def of_data(cls, data: bytes, offset: int) -> "Frame":
        """A frame that was encoded elsewhere. It is decoded when somebody asks for its message."""
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
    def number(self) -> bytes:
        """The end of the text for a connection that can resume, in place of its last byte: the number as one more last key."""
        return b',"offset":%d}' % self.offset if self.offset else b""

    def _encode(self) -> bytes:
        self._data = encode(self.message)
        if len(self._data) >= LARGE_BYTES:
            self._message = None
        return self._data


def frame_key(frame: Frame) -> Hashable | None:
    """Equal for frames that can be joined when they are adjacent; None for others."""
    if frame.size >= LARGE_BYTES:
        return None
    message = frame.message
    key = delta_key(message.payload)
    return key and (message.request_id, key)


def joined_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same frames in as few as they can be told in."""
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
