"""A frame on its way: encoded once for however many connections, numbered for those that can resume."""

from collections.abc import Hashable, Iterable, Iterator
from itertools import groupby
from typing import cast

from msgspec.structs import replace

from backends.joining import chunk_of, delta_key, join
from schemas.events import Container
from schemas.frames import WsResponseMessage, decode, encode


class Frame:
    """A message with the place that it has among all of its user's.

    `first` and `offset` are the numbers of the first and the last frame that it stands for: more than one when it was joined.
    `size` is what its text has in bytes.
    """

    __slots__ = ("_message", "_text", "first", "offset", "size")

    def __init__(self, message: WsResponseMessage | None, first: int = 0, offset: int = 0, size: int | None = None) -> None:
        self._message = message
        self.first = first
        self.offset = offset
        self._text: str | None = None
        self.size = len(self._encode()) if size is None else size

    @classmethod
    def of_text(cls, text: bytes, offset: int) -> "Frame":
        """One that was encoded elsewhere. It is decoded when somebody asks for its message."""
        frame = cls(None, offset, offset, len(text))
        frame._text = text.decode()
        return frame

    @property
    def message(self) -> WsResponseMessage:
        """What is sent."""
        if self._message is None:
            self._message = decode(self._text or "")
        return self._message

    @property
    def text(self) -> str:
        """As it is sent."""
        return self._text if self._text is not None else self._encode().decode()

    @property
    def numbered(self) -> str:
        """As it is sent to a connection that can resume: with its number, if it has one, as one more last key."""
        if not self.offset:
            return self.text
        return f'{self.text[:-1]},"offset":{self.offset}}}'

    def _encode(self) -> bytes:
        encoded = encode(self.message)
        self._text = encoded.decode()
        return encoded


def frame_key(frame: Frame) -> Hashable | None:
    """Equal for frames that can be joined when they are adjacent; None for others."""
    key = delta_key(frame.message.payload)
    return key and (frame.message.request_id, key)


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
    payload = join([cast(Container, frame.message.payload) for frame in frames])
    message = replace(frames[-1].message, payload=payload)
    grown = sum(len(encode(chunk_of(frame.message.payload))) - len('""') for frame in frames[1:])
    return Frame(message, frames[0].first, frames[-1].offset, frames[0].size + grown)
