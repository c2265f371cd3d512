"""An agent of the OpenAI Agents SDK: each run is one `run_streamed`. Tools that need an approval end it with questions."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from agents import RunConfig, Runner, RunState

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ApprovalNeeded, Finished, ReasoningChunk, Remembered, ResponseChunk
from backends.agents.frameworks import Calls, about, as_text, question, remembered, talk
from backends.agents.thoughts import TITLE
from schemas.chats import Usage

THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
WORDS = ("response.output_text.delta", "response.refusal.delta")


class Adapter:
    """Runs the agent. A chat that waits remembers its run as the SDK writes it down."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        run, text, has_said = _Run(), about(task), False
        given: Any = [*([{"role": "system", "content": text}] if text else []), *talk(task)]
        if task.approvals:
            given = await RunState.from_json(self._agent, remembered(task))
            said = {each.id: each.approved for each in task.approvals}
            for asked in given.get_interruptions():
                (given.approve if said[_id(asked.raw_item)] else given.reject)(asked)
                for each in run.called(asked.raw_item):
                    yield each
        failed = run.failed.add  # which returns None, so that the model gets the SDK's own text
        config = RunConfig(tracing_disabled=True, tool_error_formatter=lambda error: failed(error.call_id))
        result = Runner.run_streamed(self._agent, given, run_config=config)
        async with aclosing(result.stream_events()) as events:
            try:
                async for event in events:
                    for each in run.tell(event):
                        has_said = has_said or isinstance(each, ResponseChunk)
                        yield each
            finally:  # before the events are closed, which waits for the run to end by itself
                if not result.is_complete:
                    result.cancel()
                    await asyncio.wait([result.run_loop_task], timeout=0.5)
        if (used := result.context_wrapper.usage).requests:
            yield Usage(run.model, used.input_tokens, used.output_tokens, used.output_tokens_details.reasoning_tokens or None)
        if result.interruptions:
            state = result.to_state().to_json()
            state["context"].pop("usage", None)  # the next run would count it again
            yield Remembered(state)
            for asked in result.interruptions:
                yield ApprovalNeeded(_id(asked.raw_item), question(asked.tool_name, _field(asked.raw_item, "arguments")))
            return
        if not has_said:  # an object, as the agent's output type has it
            yield ResponseChunk(as_text(result.final_output))
        if task.approvals:
            yield Remembered(None)
        if run.has_refused:
            yield Finished("refusal")


class _Run:
    """What is told of the events of one run. What comes in pieces comes once more as a whole."""

    def __init__(self) -> None:
        self.model, self.has_refused = "unknown", False
        self._calls = Calls()
        self._ids: dict[int, str] = {}  # by the place in the model's response: the call that is there
        self._streamed, self.failed = "", set[str]()  # the second: the calls that raised, or were denied

    def tell(self, event: Any) -> Iterator[AgentEvent]:
        if event.type == "raw_response_event":
            yield from self._piece(event.data)
        elif event.type == "run_item_stream_event":
            yield from self._item(event.item, event.item.raw_item)

    def _piece(self, data: Any) -> Iterator[AgentEvent]:
        if data.type in WORDS and data.delta:
            self._streamed += data.delta
            self.has_refused |= data.type == "response.refusal.delta"
            yield ResponseChunk(data.delta)
        elif data.type in THOUGHTS:
            yield ReasoningChunk(TITLE, data.delta)
        elif data.type == "response.output_item.added" and data.item.type == "function_call":
            self._ids[data.output_index] = data.item.call_id
            yield from self._calls.began(data.item.call_id, data.item.name)
        elif data.type == "response.function_call_arguments.delta" and data.output_index in self._ids:
            yield from self._calls.piece(self._ids[data.output_index], data.delta)
        elif data.type == "response.completed":
            self.model, self._ids = data.response.model or self.model, {}

    def _item(self, item: Any, raw: Any) -> Iterator[AgentEvent]:
        if item.type == "message_output_item":
            text = "".join(getattr(part, "text", "") or getattr(part, "refusal", "") for part in raw.content)
            if text in self._streamed:
                self._streamed = self._streamed.replace(text, "", 1)
            else:
                yield ResponseChunk(text)
        elif item.type in ("tool_call_output_item", "handoff_output_item"):
            output = getattr(item, "output", None) or _field(raw, "output")
            yield from self._calls.ended(_id(raw), None, output, failed=_id(raw) in self.failed)
        elif item.type in ("tool_call_item", "handoff_call_item"):
            yield from self.called(raw)
            if not _field(raw, "call_id"):  # run by the model's server, and over
                yield from self._calls.ended(_id(raw), None, _field(raw, "output"), failed=False)

    def called(self, raw: Any) -> Iterator[AgentEvent]:
        yield from self._calls.called(_id(raw), _field(raw, "name", "type"), _field(raw, "arguments"))


def _id(raw: Any) -> str:
    return str(_field(raw, "call_id", "id"))


def _field(raw: Any, *names: str) -> Any:
    """The first of the fields that there is: what the SDK hands on may be a dictionary or an object."""
    return next(filter(None, (raw.get(name) if isinstance(raw, dict) else getattr(raw, name, None) for name in names)), None)
