"""The events of AG-UI that say something here, as docs.ag-ui.com/spec/1.0 has them; thoughts also as before 1.0."""

import json
from typing import Any, get_args

import msgspec


class Event(msgspec.Struct, rename="camel", tag_field="type"):
    """One event. Keys that it does not know are skipped."""


class TextStart(Event, tag="TEXT_MESSAGE_START"):
    """A message begins. Without a role it is the assistant's."""

    message_id: str
    role: str | None = None


class TextContent(Event, tag="TEXT_MESSAGE_CONTENT"):
    """The next characters of a message."""

    message_id: str
    delta: str


class TextEnd(Event, tag="TEXT_MESSAGE_END"):
    """A message is whole."""

    message_id: str


class TextChunk(Event, tag="TEXT_MESSAGE_CHUNK"):
    """A beginning, next characters, or both. Without an id it belongs to the last message."""

    message_id: str | None = None
    role: str | None = None
    delta: str | None = None


class ThoughtStart(Event, tag="REASONING_MESSAGE_START"):
    """A thought begins."""

    message_id: str = ""


class ThoughtContent(Event, tag="REASONING_MESSAGE_CONTENT"):
    """The next characters of a thought."""

    delta: str
    message_id: str = ""


class ThoughtChunk(Event, tag="REASONING_MESSAGE_CHUNK"):
    """A beginning, next characters, or both. Without an id it belongs to the last thought."""

    delta: str | None = None
    message_id: str | None = None


class ThinkingStart(ThoughtStart, tag="THINKING_TEXT_MESSAGE_START"):
    """Before 1.0: without an id."""


class ThinkingContent(ThoughtContent, tag="THINKING_TEXT_MESSAGE_CONTENT"):
    """Before 1.0: without an id."""


class ToolStart(Event, tag="TOOL_CALL_START"):
    """A tool is called."""

    tool_call_id: str
    tool_call_name: str


class ToolArgs(Event, tag="TOOL_CALL_ARGS"):
    """The next characters of what it is given."""

    tool_call_id: str
    delta: str


class ToolEnd(Event, tag="TOOL_CALL_END"):
    """What it is given is whole."""

    tool_call_id: str


class ToolChunk(Event, tag="TOOL_CALL_CHUNK"):
    """A beginning, next characters, or both. Without an id it belongs to the last call."""

    tool_call_id: str | None = None
    tool_call_name: str | None = None
    delta: str | None = None


class ToolResult(Event, tag="TOOL_CALL_RESULT"):
    """What has come of it: a text, or parts of several kinds."""

    tool_call_id: str
    content: Any = ""


class StateSnapshot(Event, tag="STATE_SNAPSHOT"):
    """The whole state."""

    snapshot: Any


class StateDelta(Event, tag="STATE_DELTA"):
    """What becomes of the state: a JSON Patch."""

    delta: list[dict[str, Any]]


class Message(msgspec.Struct, frozen=True):
    """A message of a snapshot. Only an assistant's text is looked at."""

    id: Any = ""
    role: Any = ""
    content: Any = None


class MessagesSnapshot(Event, tag="MESSAGES_SNAPSHOT"):
    """All messages of the chat, as the agent has them."""

    messages: list[Message]


class Tokens(msgspec.Struct, frozen=True, rename="camel"):
    """What one model has taken."""

    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None


class Interrupt(msgspec.Struct, frozen=True, rename="camel"):
    """A question that a run ends with, and that its next one is answered."""

    id: str
    reason: str = ""
    message: str | None = None
    tool_call_id: str | None = None
    response_schema: Any = None


class Outcome(msgspec.Struct, frozen=True, rename="camel"):
    """Why a run ends. A type that is not known here is a success, as the protocol has it."""

    type: str = "success"
    interrupts: list[Interrupt] = []
    pending_tool_call_ids: list[str] | None = None


class RunFinished(Event, tag="RUN_FINISHED"):
    """The run is over."""

    outcome: Outcome | None = None
    usage: list[Tokens] | None = None


class RunError(Event, tag="RUN_ERROR"):
    """The run has failed."""

    message: str = ""
    code: str | None = None


AnyEvent = (
    TextStart | TextContent | TextEnd | TextChunk
    | ThoughtStart | ThoughtContent | ThoughtChunk | ThinkingStart | ThinkingContent
    | ToolStart | ToolArgs | ToolEnd | ToolChunk | ToolResult
    | StateSnapshot | StateDelta | MessagesSnapshot
    | RunFinished | RunError
)  # fmt: skip
KNOWN = {each.__struct_config__.tag for each in get_args(AnyEvent)}
DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class Head(msgspec.Struct, frozen=True):
    """What each event has."""

    type: str


def read_event(data: str) -> AnyEvent | None:
    """The event; None for one of another type. Raises ValueError for what is none, which says what is wrong with it."""
    try:
        return DECODER.decode(data)
    except msgspec.ValidationError:
        if msgspec.json.decode(data, type=Head).type in KNOWN:
            raise
        return None
    except msgspec.DecodeError:
        pass  # Python's own reader takes half of a surrogate pair, which agents send that cut their text anywhere
    except RecursionError:
        raise ValueError("nested too deeply") from None
    try:
        found = json.loads(data)
        is_known = msgspec.convert(found, Head).type in KNOWN
        event: AnyEvent | None = msgspec.convert(found, AnyEvent) if is_known else None
        return event
    except RecursionError:
        raise ValueError("nested too deeply") from None
