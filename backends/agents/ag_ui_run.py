"""One run of an agent over AG-UI while it comes: each of its events as what it says here."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from backends.agent_events import (
    JSON_BYTES,
    AgentEvent,
    ReasoningChunk,
    Remembered,
    ResponseChunk,
    ToolEnded,
    ToolInput,
    ToolStarted,
)
from backends.agents import ag_ui_events as wire
from backends.agents.ag_ui_state import Memory, RemoteState, Waiting
from backends.agents.ag_ui_texts import LONGEST_ID, LONGEST_TITLE, one_line, question_of, result_text, short
from backends.agents.failures import ModelBroken
from backends.agents.refusals import Cut, CutShort
from backends.agents.thoughts import TITLE, gather
from backends.agents.titles import tool_title
from backends.statements import to_json
from schemas.chats import Usage

MOST_OPEN = 1000  # calls, or messages of others, at once: with more the agent is broken
MOST_QUESTIONS = 100  # which is how many one post may answer
MOST_MODELS = 20  # whose tokens are counted


class RemoteRun:
    """Takes events and gives what is to be told. What comes in one read is told together.

    `memory` is what the chat has remembered, `known` are the ids of the messages that the agent was sent, and `names` those of
    the tools that have waited for an answer, by their calls.
    """

    def __init__(self, memory: Memory, known: Collection[str], names: Mapping[str, str]) -> None:
        self._gathered: list[AgentEvent] = []
        self._state = RemoteState(memory.state)
        self._has_waited = bool(memory.waiting)
        self._known = known
        self._names = names
        self._text = ""  # the message that a chunk without an id continues
        self._told: str | None = None  # the message that was last told of
        self._others: set[str] = set()  # messages that are not the assistant's
        self._thought = ""  # the thought that events without an id continue
        self._thoughts = 0
        self._thinks: str | None = None  # the thought that was told last, if nothing else has come since
        self._calls: dict[str, bool] = {}  # those without a result, and whether their input is whole
        self._call: str | None = None  # the one that a chunk without an id continues
        self._snapshot: Sequence[wire.Message] = ()

    def so_far(self) -> list[AgentEvent]:
        """Hand over the events that have come since the last call."""
        gathered, self._gathered = self._gathered, []
        return gathered

    def take(self, data: str) -> bool:
        """Take one event. True when nothing follows it. Raises Cut or ModelBroken."""
        try:
            event = wire.read_event(data)
        except ValueError as error:
            raise Cut("the agent sent an event that is none", str(error)) from None
        if len(self._calls) > MOST_OPEN or len(self._others) > MOST_OPEN:
            raise ModelBroken(f"the agent has more than {MOST_OPEN} calls or messages open")
        match event:
            case wire.TextContent(id, delta):
                self._say(id, delta)
            case wire.TextStart(id, role):
                self._begin(id, role)
            case wire.TextChunk(id, role, delta):
                if id is not None:
                    self._begin(id, role)
                self._say(self._text, delta or "")
            case wire.TextEnd(id):
                self._others.discard(id)
            case wire.ThoughtStart(id):
                self._thoughts += 1
                self._thought = id or f"the {self._thoughts}. thought"
            case wire.ThoughtContent(delta, id):
                self._think(id or self._thought, delta)
            case wire.ThoughtChunk(delta, id):
                self._thought = id or self._thought
                self._think(self._thought, delta or "")
            case wire.StateSnapshot(state):
                self._state.keep(state)
            case wire.StateDelta(patch):
                self._state.patch(patch)
            case wire.MessagesSnapshot(messages):
                self._snapshot = messages
            case wire.RunError(message, code):
                raise ModelBroken(f"the agent has failed: {one_line(f'{code}: {message}' if code else message)}")
            case wire.RunFinished():
                self._finish(event)
                return True
            case None:
                pass
            case _:
                self._use(event)
        return False

    def _use(self, event: wire.Event) -> None:
        match event:
            case wire.ToolStart(id, name):
                self._start(id, name)
            case wire.ToolArgs(id, delta):
                self._add(ToolInput(short(id), delta))
            case wire.ToolEnd(id):
                if id in self._calls:
                    self._calls[id] = True
            case wire.ToolChunk(id, name, delta):
                if id is not None and id not in self._calls:
                    self._start(id, name or "")
                    self._calls[id] = True  # no event says that its input ends
                self._call = id or self._call
                if self._call is not None and delta:
                    self._add(ToolInput(short(self._call), delta))
            case wire.ToolResult(id, content):
                if id not in self._calls:
                    self._start(id, self._names.get(id, ""))
                del self._calls[id]
                self._add(ToolEnded(short(id), result_text(content)))

    def _begin(self, id: str, role: str | None) -> None:
        self._text = id
        if role not in (None, "assistant"):
            self._others.add(id)

    def _say(self, id: str, text: str) -> None:
        """The next characters of a message. Another message is a paragraph of its own."""
        if text and id not in self._others:
            self._add(ResponseChunk(text if self._told in (None, id) else f"\n\n{text}"))
            self._told = id

    def _think(self, id: str, text: str) -> None:
        if text:
            self._add(ReasoningChunk(TITLE, text if self._thinks in (None, id) else f"\n\n{text}"))
            self._thinks = id

    def _start(self, id: str, name: str) -> None:
        self._call = id
        self._calls[id] = False
        self._add(ToolStarted(short(id), tool_title(name), name[:LONGEST_TITLE] or None))

    def _add(self, event: AgentEvent) -> None:
        self._thinks = None
        gather(self._gathered, event)

    def _finish(self, event: wire.RunFinished) -> None:
        outcome = event.outcome or wire.Outcome()
        if outcome.type == "cancelled":
            raise CutShort("the agent's run was cancelled where it runs")
        interrupts = outcome.interrupts if outcome.type == "interrupt" else []
        if self._told is None and not interrupts:
            self._say("", self._unstreamed())
        waiting = self._waiting(interrupts)
        open = {*(outcome.pending_tool_call_ids or ()), *(each.call for each in waiting)}
        for id, is_whole in self._calls.items():
            if is_whole and id not in open:
                self._add(ToolEnded(short(id), ""))  # many agents never say what came of a call
        for tokens in (event.usage or ())[:MOST_MODELS]:
            model = (tokens.model or tokens.provider or "unknown")[:LONGEST_ID]
            self._add(Usage(model, tokens.input_tokens, tokens.output_tokens, tokens.reasoning_tokens))
        if (size := len(to_json(Memory(self._state.value, waiting)))) > JSON_BYTES:
            self._state.drop(size)
        if self._state.has_changed or self._has_waited or waiting:
            self._add(Remembered(msgspec.to_builtins(Memory(self._state.value, waiting))))
        for interrupt, each in zip(interrupts, waiting, strict=True):
            self._add(question_of(interrupt, each.question))

    def _waiting(self, interrupts: Sequence[wire.Interrupt]) -> tuple[Waiting, ...]:
        if len(interrupts) > MOST_QUESTIONS:
            raise ModelBroken(f"the agent asks {len(interrupts)} questions at once, and may ask {MOST_QUESTIONS}")
        waiting: dict[str, Waiting] = {}
        for each in interrupts:
            question = short(each.tool_call_id or each.id)
            question = short(each.id) if question in waiting else question
            waiting[question] = Waiting(question, each.id, each.tool_call_id)
        if len(waiting) < len(interrupts) or len(to_json(Memory(None, tuple(waiting.values())))) > JSON_BYTES:
            raise ModelBroken("the agent's questions cannot be told apart, or have ids that are too long")
        return tuple(waiting.values())

    def _unstreamed(self) -> str:
        """The text of this run in the last snapshot: an agent that has streamed none may have said it there."""
        said: list[str] = []
        for message in self._snapshot:
            if message.role == "user":
                said = []
            elif message.role == "assistant" and message.id not in self._known and isinstance(message.content, str):
                said.append(message.content)
        return "\n\n".join(filter(None, said))
