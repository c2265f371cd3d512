"""A compiled graph of LangGraph: each run is one `astream` of its messages and updates. An interrupt ends it with questions."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.types import Command, Interrupt

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ApprovalNeeded, ReasoningChunk, ResponseChunk
from backends.agents.frameworks import TITLE_CHARACTERS, Calls, about, as_text, talk
from backends.agents.thoughts import TITLE
from schemas.chats import Usage

ABOUT = "threadcast-about"  # the id of the message with the assets: in a graph's state the newest replaces the one before
NO_CHECKPOINTER = "the graph has interrupted itself, and cannot be gone on with: it must be compiled with a checkpointer"


class Adapter:
    """Streams the graph. With a checkpointer the graph itself remembers the chat, which is its thread."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        config = {"configurable": {"thread_id": str(task.chat_id)}} if self._graph.checkpointer else None
        run, asked = _Run(), dict[str, Interrupt]()
        stream = self._graph.astream(self._input(task), config, stream_mode=["messages", "updates"], subgraphs=True)
        async with aclosing(stream) as parts:
            async for _, mode, data in parts:
                if mode == "messages":
                    for event in run.tell(*data):
                        yield event
                else:
                    asked |= {each.id: each for each in data.get("__interrupt__", ())}
        if run.usage:
            yield run.usage
        if asked and not self._graph.checkpointer:
            raise RuntimeError(NO_CHECKPOINTER)
        for each in asked.values():
            yield _question(each)

    def _input(self, task: AgentTask) -> Any:
        if task.approvals:
            # A value that came with a denial could be taken for an approval.
            values = {each.id: each.approved and (True if each.value is None else each.value) for each in task.approvals}
            return Command(resume=values)
        text = about(task)
        first = [SystemMessage(text, id=ABOUT)] if text else []
        if self._graph.checkpointer:
            return {"messages": [*first, HumanMessage(task.prompt)]}
        said = [(HumanMessage if part["role"] == "user" else AIMessage)(part["content"]) for part in talk(task)]
        return {"messages": [*first, *said]}


class _Run:
    """What is told of the messages of one run. A message comes in chunks, or whole, or once more whole after its chunks."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self._calls = Calls()
        self._ids: dict[tuple[str | None, Any], str] = {}  # of a message and an index in it: the call that its chunks are of
        self._said: dict[str, str] = {}  # by the step of the graph: what has been told of it

    def tell(self, message: BaseMessage, metadata: dict[str, Any]) -> Iterator[AgentEvent]:
        if isinstance(message, ToolMessage):
            failed = message.status == "error"
            yield from self._calls.ended(message.tool_call_id, message.name, _text(message), failed=failed)
        elif isinstance(message, AIMessage):
            step = str(metadata.get("langgraph_checkpoint_ns"))
            if isinstance(message, AIMessageChunk) or message.text != self._said.get(step):
                yield from self._words(message, step)
                self._count(message, metadata)
            yield from self._tools(message)

    def _words(self, message: AIMessage, step: str) -> Iterator[AgentEvent]:
        for block in message.content_blocks:
            if block["type"] == "reasoning" and block.get("reasoning"):
                yield ReasoningChunk(TITLE, block["reasoning"])
            elif block["type"] == "text" and block["text"]:
                self._said[step] = self._said.get(step, "") + block["text"]
                yield ResponseChunk(block["text"])

    def _tools(self, message: AIMessage) -> Iterator[AgentEvent]:
        if not isinstance(message, AIMessageChunk):
            for call in message.tool_calls:
                yield from self._calls.called(call["id"] or call["name"], call["name"], call["args"])
            return
        for piece in message.tool_call_chunks:
            place = message.id, piece.get("index")
            if piece["id"]:
                self._ids[place] = piece["id"]
                yield from self._calls.began(piece["id"], piece["name"])
            if place in self._ids:
                yield from self._calls.piece(self._ids[place], piece["args"] or "")

    def _count(self, message: AIMessage, metadata: dict[str, Any]) -> None:
        if used := message.usage_metadata:
            model = message.response_metadata.get("model_name") or metadata.get("ls_model_name")
            thought = used.get("output_token_details", {}).get("reasoning")
            before = self.usage or Usage("", 0, 0)
            self.usage = Usage(
                model or before.model or "unknown",
                (before.input_tokens or 0) + used["input_tokens"],
                (before.output_tokens or 0) + used["output_tokens"],
                before.reasoning_tokens if thought is None else (before.reasoning_tokens or 0) + thought,
            )


def _question(asked: Interrupt) -> ApprovalNeeded:
    value = asked.value
    fields = value if isinstance(value, dict) else {}
    titles = (title for key in ("title", "question", "description") if isinstance(title := fields.get(key), str) and title)
    title = next(titles, None) or as_text(value) or "Go on?"
    return ApprovalNeeded(asked.id, title[:TITLE_CHARACTERS], fields.get("schema", asked.response_schema))


def _text(message: ToolMessage) -> str:
    return message.text or as_text(message.content)
