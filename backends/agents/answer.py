"""One answer of a model while it comes: what it says, why it ends, and what it has taken."""

from collections.abc import Mapping

from backends.agent_events import AgentEvent, Finished, ReasoningChunk, ResponseChunk, WasThought
from backends.agents.chunks import Chunk, Tokens, read_chunk, said, tokens
from backends.agents.completions import Event
from backends.agents.failures import ModelBroken
from backends.agents.refusals import Cut, CutShort, refused_within
from backends.agents.thoughts import TITLE, Thoughts, gather
from schemas.chats import FinishReason, Usage

DONE = "[DONE]"

# The servers' words for why an answer ends, in small letters; whatever else they say, it has come to its own end.
REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "refusal": "refusal",
}
FAILURES = ("error", "insufficient_system_resource", "malformed_function_call")


class Answer:
    """Takes events and gives what is to be told. What comes in one read is told together."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._thoughts = Thoughts()
        self._gathered: list[AgentEvent] = []
        self._has_answered = False  # something of the answer has been given
        self._has_thought = False
        self._refuses = False
        self._finish = ""
        self._is_done = False
        self._tokens: Tokens | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it has come to an end, after which only what it has taken may follow."""
        return bool(self._finish) or self._is_done

    def take(self, event: Event) -> bool:
        """Take one event. True when nothing follows it. Raises Refused, or Cut for what is no chunk."""
        if event.data.strip() == DONE:
            self._is_done = True
            return True
        if not event.data.strip():
            return False
        try:
            chunk = read_chunk(event.data)
        except ValueError:
            raise Cut("the model's server sent what is no JSON") from None
        if event.is_error or (chunk and (chunk.error or chunk.object == "error")):
            raise refused_within(chunk.error if chunk and chunk.error else event.data)
        if chunk:
            self._take(chunk)
        self._is_done = event.is_whole
        return event.is_whole

    def so_far(self) -> list[AgentEvent]:
        """Hand over the events that have come since the last call."""
        gathered, self._gathered = self._gathered, []
        self._has_answered = self._has_answered or any(isinstance(event, ResponseChunk) for event in gathered)
        return gathered

    def end(self) -> list[AgentEvent]:
        """What is left, and why it ended. Raises Cut when it has not, and ModelBroken when nothing was said."""
        for event in self._thoughts.end():
            self._add(event)
        if not self.has_ended:
            raise CutShort("the model's stream ended without a finish_reason")
        if self._finish in FAILURES:
            raise refused_within({"message": self._finish})
        reason = "refusal" if self._refuses else REASONS.get(self._finish, "stop")
        left = self.so_far()
        if reason == "stop" and not self._has_answered and not self._has_thought:
            raise ModelBroken(f"the model has said nothing, and ended with {self._finish or DONE!r}")
        return [*left, Finished(reason, self._usage())]

    def _take(self, chunk: Chunk) -> None:
        self._tokens = tokens(chunk) or self._tokens
        part = said(chunk)
        if part is None:
            return
        if part.thought:
            self._add(ReasoningChunk(TITLE, part.thought))
        if part.text:
            for event in self._thoughts.feed(part.text):
                self._add(event)
        if part.refusal:
            self._refuses = True
            self._add(ResponseChunk(part.refusal))
        self._finish = part.finish.lower() or self._finish

    def _add(self, event: AgentEvent) -> None:
        if isinstance(event, WasThought) and not self._has_answered:  # nobody has been told
            self._gathered = [_as_thought(each) for each in self._gathered]
        else:
            gather(self._gathered, event)
        self._has_thought = self._has_thought or not isinstance(event, ResponseChunk)

    def _usage(self) -> Usage | None:
        return self._tokens and Usage(self._model, self._tokens.read, self._tokens.written, self._tokens.thought)


def _as_thought(event: AgentEvent) -> AgentEvent:
    return ReasoningChunk(TITLE, event.text) if isinstance(event, ResponseChunk) else event
