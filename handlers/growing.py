"""The texts of a message while they grow: what clients are told of the next piece of each, and of its whole."""

from typing import Protocol
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from schemas.chats import TextReasoning, TextResponse
from schemas.events import Container, GeneratingReasoningMessage, GeneratingResponseMessage, GeneratingTitle, ThreadEvent


class Growing(Protocol):
    """A text that grows. `pieces`: all so far, put together only when somebody asks for the text."""

    event: ThreadEvent  # under which its pieces are told
    pieces: list[str]

    def delta(self, chunk: str) -> Container:
        """What clients are told of a piece."""


class Delta(msgspec.Struct):
    """The next pieces of a text, one or more."""

    text: Growing
    chunks: list[str]

    @property
    def chunk(self) -> str:
        """The pieces as one."""
        return "".join(self.chunks)


class Title:
    """A chat's title."""

    event = ThreadEvent.GENERATING_TITLE

    def __init__(self, chat_id: UUID, message_id: UUID) -> None:
        self.pieces: list[str] = []
        self._ids = chat_id, message_id

    def delta(self, chunk: str) -> Container:
        return GeneratingTitle(*self._ids, title=None, title_chunk=chunk, progress="in_progress")

    def whole(self, title: str) -> Container:
        """Its end. A title may be shortened."""
        return GeneratingTitle(*self._ids, title=title, title_chunk=None, progress="completed")


class Answer:
    """A part of the answer."""

    event = ThreadEvent.GENERATING_RESPONSE_MESSAGE

    def __init__(self, chat_id: UUID, message_id: UUID) -> None:
        self.part = TextResponse(uuid4(), message=None, message_chunk=None, is_final_message=False)
        self.pieces: list[str] = []
        self._ids = chat_id, message_id

    def delta(self, chunk: str) -> Container:
        return GeneratingResponseMessage(replace(self.part, message_chunk=chunk), *self._ids, progress="in_progress")

    def so_far(self) -> TextResponse:
        """The part with its text, open."""
        return replace(self.part, message="".join(self.pieces))

    def whole(self) -> TextResponse:
        """The part as it ends."""
        return replace(self.part, message="".join(self.pieces), is_final_message=True)


class Thought:
    """A step of the reasoning."""

    event = ThreadEvent.GENERATING_REASONING_MESSAGE

    def __init__(self, chat_id: UUID, message_id: UUID, title: str) -> None:
        self.step = TextReasoning(uuid4(), title, None, message=None, message_chunk=None, status="loading")
        self.pieces: list[str] = []
        self._ids = chat_id, message_id

    def delta(self, chunk: str) -> Container:
        return GeneratingReasoningMessage(replace(self.step, message_chunk=chunk), *self._ids, progress="in_progress")

    def so_far(self) -> TextReasoning:
        """The step with its text, open."""
        return replace(self.step, message="".join(self.pieces))

    def whole(self) -> TextReasoning:
        """The step as it ends."""
        return replace(self.step, message="".join(self.pieces), status="completed")
