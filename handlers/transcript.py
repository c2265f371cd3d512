"""One message as it grows: an agent's events become the containers that clients get, and are kept.

What is stored at the end is so exactly what was streamed. Texts are kept as pieces and put together once.
"""

import math
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

from msgspec import UNSET
from msgspec.structs import replace

from backends.agent_events import AgentEvent, Finished, ReasoningChunk, ResponseChunk, TitleChunk, TitleEnd, WasThought
from backends.messages import title_from
from backends.statements import storable, to_json
from handlers.growing import Delta, Growing, paragraph
from handlers.open_steps import QUESTION, Key, OpenStep, questions_of
from handlers.steps import take_step
from schemas.assets import Asset
from schemas.chats import ChatMessage, ChatWithMessages, ReasoningMessage, ResponseMessage, TextReasoning, TextResponse
from schemas.events import (
    Container,
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
        self._ids = ids = chat.id, message.id
        self._title = Growing(ThreadEvent.GENERATING_TITLE, lambda chunk: GeneratingTitle(*ids, None, chunk, "in_progress"))
        self.open: dict[Key, OpenStep] = {}  # what an agent does beside talking, until it ends
        self.shown: dict[UUID, Asset] = {}  # the assets that the answer has opened
        self.state: str | None = None  # JSON that the chat's next run is given; never told
        self.is_parted = False  # a tool call parts the answer so far from the text that comes
        self._thinking: tuple[TextReasoning, Growing] | None = None
        self._answering: tuple[TextResponse, Growing] | None = None

    @property
    def words(self) -> int:
        """About how many words the closed parts have. Blanks are counted, since a split would make a string of each word."""
        texts = (part.message for part in self.message.response_messages.values() if isinstance(part, TextResponse))
        return sum(1 + text.count(" ") + text.count("\n") for text in texts if text)

    def close(self, *, ended: bool = False) -> Iterator[Item]:
        """End, with their whole text, all parts that are still open. As lazy as `apply`.

        `ended`: the agent came to its own end. Only then its questions stand, and their steps wait.
        """
        if ended and self.open and (questions := questions_of(self.open.values())):
            self.message.approvals = questions
            self.open = {key: step for key, step in self.open.items() if key[0] != QUESTION}
        if self.wants_title:
            yield self._end_title("")
        yield from self.end_thinking()
        for key in list(self.open):
            yield self.add_reasoning(self.open.pop(key).ended(failed=True), "completed")
        yield from self._end_answering()

    def snapshot(self) -> ChatWithMessages:
        """The chat as it stands, apart from what comes: what is open has its text so far."""
        message = self._copied(ended=False)
        return replace(self.chat, messages={**self.chat.messages, message.id: message})

    def ended(self) -> ChatMessage:
        """The message as it would be if nothing more came: every part is closed."""
        return self._copied(ended=True)

    def _copied(self, *, ended: bool) -> ChatMessage:
        parts, steps = dict(self.message.response_messages), dict(self.message.reasoning_messages)
        if self._answering:
            part, text = self._answering
            parts[part.id] = _whole_answer(part, text) if ended else replace(part, message="".join(text.pieces))
        if self._thinking:
            step, text = self._thinking
            steps[step.id] = _whole_thought(step, text) if ended else replace(step, message="".join(text.pieces))
        for open in self.open.values():
            steps[open.step.id] = open.ended(failed=True) if ended else open.so_far()
        return replace(
            self.message,
            response_message_ids=list(self.message.response_message_ids),
            response_messages=parts,
            reasoning_message_ids=list(self.message.reasoning_message_ids),
            reasoning_messages=steps,
        )

    def apply(self, event: AgentEvent) -> Iterator[Delta | Item]:
        """Yield what clients are told of the event. Each entry is kept in the message when it is taken, and not before.

        So a snapshot that is taken while one of several entries waits to be sent holds those that were sent, and no other.
        """
        if isinstance(event, ResponseChunk):  # by far the most frequent, and `match` takes longer
            if self._thinking:
                yield from self.end_thinking(before_answer=True)
            _, answer = self._answering or self._begin_answer()
            text = event.text
            if self.is_parted:
                text, self.is_parted = paragraph("".join(answer.pieces), text), False
            yield self.grow(answer, text)
            return
        match event:
            case ReasoningChunk(title, text):
                if self._thinking and self._thinking[0].title != title:
                    yield from self.end_thinking()
                _, thought = self._thinking or self._begin_thought(title)
                yield self.grow(thought, text)
            case TitleChunk(text):
                yield Delta(self._title, [text])
            case TitleEnd(whole):
                yield self._end_title(whole if self.wants_title else self.chat.title)
            case WasThought(title):
                yield from self._take_back(title)
            case Finished(reason, usage):
                self.message.finish_reason, self.message.usage = reason, usage or self.message.usage
            case _:
                yield from take_step(self, event)

    def rename(self, title: str | None, is_favorited: bool | None) -> None:
        """The user has named the chat, so no title is made any more, or has it among their favourites now, or not."""
        if title:
            self.chat.title, self.wants_title = title, False
        if is_favorited is not None:
            self.chat.is_favorited = is_favorited

    def add_response(self, part: ResponseMessage, progress: Progress) -> Item:
        """Keep a part of the answer, or replace it by its newer self."""
        if part.id not in self.message.response_messages:
            self.message.response_message_ids.append(part.id)
            self.size += len(to_json(part))
        self.message.response_messages[part.id] = part
        self.size += 1
        return self._response_frame(part, progress)

    def add_reasoning(self, step: ReasoningMessage, progress: Progress, *, finished: bool = False) -> Item:
        """Keep a step of the reasoning, or replace it by its newer self. `finished`: the answer begins after it."""
        if step.id not in self.message.reasoning_messages:
            self.message.reasoning_message_ids.append(step.id)
            self.size += len(to_json(step))
        self.message.reasoning_messages[step.id] = step
        self.size += 1
        frame = GeneratingReasoningMessage(step, *self._ids, progress, finished_reasoning=True if finished else UNSET)
        return frame, ThreadEvent.GENERATING_REASONING_MESSAGE

    def grow(self, text: Growing, chunk: str) -> Delta:
        """Keep the next characters of a text, as far as there is room for them."""
        size = len(chunk) if chunk.isascii() else len(chunk.encode())
        if size > self.most - self.size:  # the chat is full with this, which ends the run
            size = max(0, int(self.most - self.size))
            chunk = chunk.encode()[:size].decode(errors="ignore")
        text.pieces.append(chunk)
        self.size += size
        return Delta(text, [chunk])

    def _take_back(self, title: str) -> Iterator[Item]:
        """The open answer was a thought: it becomes one, and the answer begins anew, in the same part."""
        if self._answering:
            part, text = self._answering
            thought = TextReasoning(uuid4(), title, None, "".join(text.pieces), None, "completed")
            text.pieces.clear()
            yield self.add_reasoning(thought, "completed", finished=True)
            yield self._response_frame(replace(part, message=""), "in_progress")

    def _growing(self, event: ThreadEvent, container: Callable[..., Container], part: TextResponse | TextReasoning) -> Growing:
        ids = self._ids  # not `self`: a cycle would keep the transcript in memory
        return Growing(event, lambda chunk: container(replace(part, message_chunk=chunk), *ids, "in_progress"))

    def _begin_answer(self) -> tuple[TextResponse, Growing]:
        part = TextResponse(uuid4(), message=None, message_chunk=None, is_final_message=False)
        self._answering = part, self._growing(ThreadEvent.GENERATING_RESPONSE_MESSAGE, GeneratingResponseMessage, part)
        self.add_response(part, "in_progress")
        return self._answering

    def _begin_thought(self, title: str) -> tuple[TextReasoning, Growing]:
        step = TextReasoning(uuid4(), title, None, message=None, message_chunk=None, status="loading")
        self._thinking = step, self._growing(ThreadEvent.GENERATING_REASONING_MESSAGE, GeneratingReasoningMessage, step)
        self.add_reasoning(step, "in_progress")
        return self._thinking

    def end_thinking(self, *, before_answer: bool = False) -> Iterator[Item]:
        """End the open thought, where there is one."""
        if self._thinking:
            whole = _whole_thought(*self._thinking)
            self._thinking = None
            yield self.add_reasoning(whole, "completed", finished=before_answer)

    def _end_answering(self) -> Iterator[Item]:
        if self._answering:
            whole = _whole_answer(*self._answering)
            self._answering = None
            yield self.add_response(whole, "completed")

    def _end_title(self, whole: str) -> Item:
        request = self.message.request_message
        self.wants_title = False
        self.size += 1
        self.chat.title = storable(whole) or title_from(request.request if request else None)
        return GeneratingTitle(*self._ids, self.chat.title, None, "completed"), ThreadEvent.GENERATING_TITLE

    def _response_frame(self, part: ResponseMessage, progress: Progress) -> Item:
        return GeneratingResponseMessage(part, *self._ids, progress), ThreadEvent.GENERATING_RESPONSE_MESSAGE


def _whole_answer(part: TextResponse, text: Growing) -> TextResponse:
    return replace(part, message="".join(text.pieces), is_final_message=True)


def _whole_thought(step: TextReasoning, text: Growing) -> TextReasoning:
    return replace(step, message="".join(text.pieces), status="completed")
