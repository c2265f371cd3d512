"""A text of a stream while it grows: what the channel carries of it, and joins."""

from collections.abc import Callable

import msgspec

from schemas.events import Container, ThreadEvent


class Growing(msgspec.Struct, eq=False):
    """A text that grows. `delta_of` makes the container that tells clients of a piece, and `event` is the one that tells it."""

    event: ThreadEvent
    delta_of: Callable[[str], Container]
    pieces: list[str] = []  # all so far, put together only when somebody asks for the text


class Delta(msgspec.Struct):
    """The next pieces of a text, one or more."""

    text: Growing
    chunks: list[str]


def paragraph(before: str, text: str) -> str:
    """The text, as it begins a paragraph of its own after what stands before it."""
    there = len(before) - len(before.rstrip("\n")) + len(text) - len(text.lstrip("\n"))
    return "\n" * (2 - there) + text if before else text
