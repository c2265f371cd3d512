"""An agent of Pydantic AI: each run is one `run_stream_events`. Deferred tools end it with the question whether to run them."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pydantic_ai as ai
from msgspec.structs import replace
from pydantic_ai.capabilities import ReinjectSystemPrompt
from pydantic_ai.messages import BaseToolCallPart, BaseToolReturnPart
from pydantic_core import to_jsonable_python

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ApprovalNeeded, Finished, ReasoningChunk, Remembered, ResponseChunk
from backends.agents.frameworks import Calls, about, as_text, question, remembered, talk
from backends.agents.thoughts import TITLE
from schemas.chats import Usage


class Adapter:
    """Asks the agent. A chat that waits remembers what its run has said, and how many messages there were before."""

    def __init__(self, agent: Any) -> None:
        self._agent = agent

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        before, said, results = len(task.history), [], None
        prompt, run = task.prompt or None, _Run()
        if task.approvals:
            before, said = remembered(task)["before"], ai.ModelMessagesTypeAdapter.validate_python(task.state["said"])
            results = ai.DeferredToolResults(approvals={each.id: each.approved or ai.ToolDenied() for each in task.approvals})
        history = talk(replace(task, history=task.history[:before], prompt="" if results else task.prompt))
        if not results:
            prompt = history.pop()["content"]
        async with self._agent.run_stream_events(
            prompt,
            message_history=[*map(_message, history), *said],
            deferred_tool_results=results,
            instructions=about(task),
            capabilities=[ReinjectSystemPrompt()],  # Pydantic AI leaves it out where there is a history
        ) as events:
            async for event in events:
                for each in run.tell(event):
                    yield each
            result = events.result
        yield _usage(result)
        if isinstance(asked := result.output, ai.DeferredToolRequests):
            if asked.calls:
                raise RuntimeError(f"nobody can run {asked.calls[0].tool_name}, a tool that is run outside of the agent")
            yield Remembered({"before": before, "said": _kept([*said, *result.new_messages()])})
            for call in asked.approvals:
                yield ApprovalNeeded(call.tool_call_id, question(call.tool_name, call.args_as_json_str()))
            return
        if not run.has_said:  # an object, as the agent's output type has it
            yield ResponseChunk(as_text(to_jsonable_python(asked)))
        if results:
            yield Remembered(None)
        if (reason := result.response.finish_reason) in ("length", "content_filter"):
            yield Finished(reason)


class _Run:
    """What is told of a run's events. A call begins with the event after its first one, which may say that it is the output."""

    def __init__(self) -> None:
        self.has_said = False
        self._calls = Calls()
        self._parts: dict[int, BaseToolCallPart[Any]] = {}  # of the model's message: the calls that are told
        self._new: tuple[int, BaseToolCallPart[Any]] | None = None

    def tell(self, event: Any) -> Iterator[AgentEvent]:
        new, self._new = self._new, None
        if new and not isinstance(event, ai.FinalResultEvent):
            index, call = new
            self._parts[index] = call
            yield from self._calls.began(call.tool_call_id, call.tool_name)
            yield from self._calls.piece(call.tool_call_id, as_text(call.args))
        match event:
            case ai.PartStartEvent(index=index, part=BaseToolCallPart() as call):
                self._parts.pop(index, None)
                self._new = index, call
            case ai.PartStartEvent(part=BaseToolReturnPart() as part) | ai.FunctionToolResultEvent(part=part):
                failed, text = part.outcome != "success", part.model_response_str()
                yield from self._calls.ended(part.tool_call_id, part.tool_name, text, failed=failed)
            case (
                ai.PartStartEvent(part=ai.TextPart(content=text))
                | ai.PartDeltaEvent(delta=ai.TextPartDelta(content_delta=text))
            ) if text:
                self.has_said = True
                yield ResponseChunk(text)
            case (
                ai.PartStartEvent(part=ai.ThinkingPart(content=text))
                | ai.PartDeltaEvent(delta=ai.ThinkingPartDelta(content_delta=text))
            ) if text:
                yield ReasoningChunk(TITLE, text)
            case ai.PartDeltaEvent(index=index, delta=ai.ToolCallPartDelta(args_delta=args)) if index in self._parts:
                yield from self._calls.piece(self._parts[index].tool_call_id, as_text(args))
            case ai.FunctionToolCallEvent(part=call):
                yield from self._calls.called(call.tool_call_id, call.tool_name, call.args)


def _message(part: dict[str, str]) -> ai.ModelMessage:
    if part["role"] == "user":
        return ai.ModelRequest.user_text_prompt(part["content"])
    return ai.ModelResponse([ai.TextPart(part["content"])])


def _kept(messages: list[ai.ModelMessage]) -> list[dict[str, Any]]:
    """The messages as JSON, without what Pydantic AI does without: the agent's instructions are given anew to each run."""
    left_out = ("instructions", "usage")
    whole = ai.ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    return [{key: value for key, value in each.items() if value is not None and key not in left_out} for each in whole]


def _usage(result: ai.AgentRunResult[Any]) -> Usage:
    used = result.usage
    model = result.response.model_name or "unknown"
    return Usage(model, used.input_tokens, used.output_tokens, used.output_reasoning_tokens or None)
