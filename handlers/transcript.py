"""One message as it grows: an agent's events become the containers that clients get, and are kept.

What is stored at the end is so exactly what was streamed. Texts are kept as pieces and put together once.
"""

import math
from collections.abc import Iterator
from uuid import uuid4

from msgspec.structs import replace

from backends.agent import AgentEvent, AssetsFound, ReasoningChunk, ResponseChunk, TitleChunk, TitleEnd
from backends.messages import title_from
from backends.statements import storable, to_json
from schemas.chats import (
    ChatMessage,
    ChatWithMessages,
    Pill,
    PillContainer,
    PillsReasoning,
    ReasoningMessage,
    ResponseMessage,
    TextReasoning,
    TextResponse,
)
from schemas.events import (
    GeneratingReasoningMessage,
    GeneratingResponseMessage,
    GeneratingTitle,
    Item,
    Progress,
    ThreadEvent,
)


class Transcript:
    """Grows `message` of `chat`, and the chat's title, in place. `most`: the size with which the chat is full."""

    def __init__(self, chat: ChatWithMessages, message: ChatMessage, most: float = math.inf) -> None:
        self.chat = chat
        self.message = message
        self.most = most
        self.wants_title = not chat.title  # until it has one
        self.size = 0  # about the bytes that have been told; it only grows
        self._thinking: tuple[TextReasoning, list[str]] | None = None
        self._answering: tuple[TextResponse, list[str]] | None = None

    @property
    def words(self) -> int:
        """About how many words the closed parts have. Blanks are counted, since a split would make a string of each word."""
        texts = (part.message for part in self.message.response_messages.values() if isinstance(part, TextResponse))
        return sum(1 + text.count(" ") + text.count("\n") for text in texts if text)

    def close(self) -> Iterator[Item]:
        """End, with their whole text, all parts that are still open. As lazy as `apply`."""
        if self.wants_title:
            yield self._end_title("")
        yield from self._end_thinking()
        yield from self._end_answering()

    def snapshot(self) -> ChatWithMessages:
        """The chat as it stands, apart from what comes: what is open has its text so far."""
        message = self._copied()
        if self._answering:
            part, pieces = self._answering
            message.response_messages[part.id] = replace(part, message="".join(pieces))
        if self._thinking:
            step, pieces = self._thinking
            message.reasoning_messages[step.id] = replace(step, message="".join(pieces))
        return replace(self.chat, messages={**self.chat.messages, message.id: message})

    def ended(self) -> ChatMessage:
        """The message as it would be if nothing more came: every part is closed."""
        message = self._copied()
        if self._answering:
            part, pieces = self._answering
            message.response_messages[part.id] = _whole_answer(part, pieces)
        if self._thinking:
            step, pieces = self._thinking
            message.reasoning_messages[step.id] = _whole_thought(step, pieces)
        return message

    def _copied(self) -> ChatMessage:
        return replace(
            self.message,
            response_message_ids=list(self.message.response_message_ids),
            response_messages=dict(self.message.response_messages),
            reasoning_message_ids=list(self.message.reasoning_message_ids),
            reasoning_messages=dict(self.message.reasoning_messages),
        )

    def apply(self, event: AgentEvent) -> Iterator[Item]:
        """Yield what clients are told of the event. Each item is kept in the message when it is taken, and not before.

        So a snapshot that is taken while one of several items waits to be sent holds the items that were sent, and no other.
        """
        match event:
            case ResponseChunk(text):
                yield from self._end_thinking()
                yield self._answer(text)
            case ReasoningChunk(title, text):
                if self._thinking is None or self._thinking[0].title != title:
                    yield from self._end_thinking()
                yield self._think(title, text)
            case TitleChunk(text):
                yield self._title_frame(None, text, "in_progress")
            case TitleEnd(whole):
                yield self._end_title(whole)
            case AssetsFound():
                yield from self._end_thinking()
                yield self.add_reasoning(_pills(event), "completed")

    def add_response(self, part: ResponseMessage, progress: Progress) -> Item:
        """Keep a part of the answer, or replace it by its newer self."""
        if part.id not in self.message.response_messages:
            self.message.response_message_ids.append(part.id)
            self.size += len(to_json(part))
        self.message.response_messages[part.id] = part
        self.size += 1
        return self._response_frame(part, progress)

    def add_reasoning(self, step: ReasoningMessage, progress: Progress) -> Item:
        """Keep a step of the reasoning, or replace it by its newer self."""
        if step.id not in self.message.reasoning_messages:
            self.message.reasoning_message_ids.append(step.id)
            self.size += len(to_json(step))
        self.message.reasoning_messages[step.id] = step
        self.size += 1
        return self._reasoning_frame(step, progress)

    def _answer(self, text: str) -> Item:
        if self._answering is None:
            part = TextResponse(uuid4(), message=None, message_chunk=None, is_final_message=False)
            self._answering = part, []
            self.add_response(part, "in_progress")
        part, pieces = self._answering
        pieces.append(text)
        self.size += len(text) if text.isascii() else len(text.encode(errors="replace"))  # it may have lone surrogates
        return self._response_frame(TextResponse(part.id, None, text, False), "in_progress")

    def _think(self, title: str, text: str) -> Item:
        if self._thinking is None:
            step = TextReasoning(uuid4(), title, None, message=None, message_chunk=None, status="loading")
            self._thinking = step, []
            self.add_reasoning(step, "in_progress")
        step, pieces = self._thinking
        pieces.append(text)
        self.size += len(text) if text.isascii() else len(text.encode(errors="replace"))  # it may have lone surrogates
        return self._reasoning_frame(TextReasoning(step.id, title, None, None, text, "loading"), "in_progress")

    def _end_thinking(self) -> Iterator[Item]:
        if self._thinking:
            step, pieces = self._thinking
            self._thinking = None
            yield self.add_reasoning(_whole_thought(step, pieces), "completed")

    def _end_answering(self) -> Iterator[Item]:
        if self._answering:
            part, pieces = self._answering
            self._answering = None
            yield self.add_response(_whole_answer(part, pieces), "completed")

    def _end_title(self, whole: str) -> Item:
        request = self.message.request_message
        self.wants_title = False
        self.size += 1
        self.chat.title = storable(whole) or title_from(request.request if request else None)
        return self._title_frame(self.chat.title, None, "completed")

    def _title_frame(self, title: str | None, chunk: str | None, progress: Progress) -> Item:
        frame = GeneratingTitle(self.chat.id, self.message.id, title, chunk, progress)
        return frame, ThreadEvent.GENERATING_TITLE

    def _response_frame(self, part: ResponseMessage, progress: Progress) -> Item:
        frame = GeneratingResponseMessage(part, self.chat.id, self.message.id, progress)
        return frame, ThreadEvent.GENERATING_RESPONSE_MESSAGE

    def _reasoning_frame(self, step: ReasoningMessage, progress: Progress) -> Item:
        frame = GeneratingReasoningMessage(step, self.chat.id, self.message.id, progress)
        return frame, ThreadEvent.GENERATING_REASONING_MESSAGE


def _whole_answer(part: TextResponse, pieces: list[str]) -> TextResponse:
    return replace(part, message="".join(pieces), is_final_message=True)


def _whole_thought(step: TextReasoning, pieces: list[str]) -> TextReasoning:
    return replace(step, message="".join(pieces), status="completed")


def _pills(found: AssetsFound) -> PillsReasoning:
    groups: dict[str, list[Pill]] = {}
    for asset in found.assets:
        groups.setdefault(str(asset.asset_type), []).append(Pill(asset.id, asset.name, str(asset.asset_type)))
    containers = [PillContainer(title, pills) for title, pills in groups.items()]
    return PillsReasoning(uuid4(), found.title, None, containers, "completed")
