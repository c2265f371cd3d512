"""Any agent that speaks AG-UI 1.0 over HTTP: a chat is a thread, an answer a run. docs/agents.md says what becomes of what.

Needs the extra `openai`, for HTTP. A run is asked for once: it may have done things before it failed.
"""

import json
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

from backends.agent import Agent, AgentTask
from backends.agent_events import AgentEvent, Alive
from backends.agents.ag_ui_run import RemoteRun
from backends.agents.ag_ui_state import Memory, Waiting, memory_of
from backends.agents.ag_ui_texts import short
from backends.agents.completions import Server
from backends.agents.failures import ModelBroken
from backends.agents.own import OwnAgent
from backends.agents.refusals import Cut, CutShort, Refused, told
from schemas.assets import Asset
from schemas.chats import Approval, ChatMessage, TextReasoning, TextResponse

VERSION = "1.0"
NAME = "the agent's server"

logger = logging.getLogger("threadcast")


def open_remote(url: str, headers: Mapping[str, str]) -> Agent:
    """The agent there. What it says is held against what it is to be. Raises Misconfigured for an address that is none."""
    agent = RemoteAgent(AgentServer(url, headers))
    return OwnAgent(agent.answer, close=agent.aclose)


class AgentServer(Server):
    """A server that runs an agent. What it says when it refuses may quote what it was sent, so only the status counts."""

    name = NAME
    setting = "THREADCAST_AGENT"
    says_why = False

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        others = {name: value for name, value in headers.items() if name.lower() != "accept"}
        super().__init__(url, {**others, "accept": "text/event-stream"})


class RemoteAgent:
    """Asks the agent of a server."""

    def __init__(self, server: AgentServer) -> None:
        self._server = server

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        memory = memory_of(task.state)
        request = request_of(task, memory)
        calls = {call["id"]: call["function"]["name"] for each in request["messages"] for call in each.get("toolCalls", ())}
        run = RemoteRun(memory, {each["id"] for each in request["messages"]}, calls)
        try:
            async with aclosing(self._run(run, request)) as events:
                async for event in events:
                    yield event
        except (Refused, Cut, ModelBroken) as trouble:
            for event in run.so_far():
                yield event
            if isinstance(trouble, ModelBroken):
                raise
            logger.warning("trouble with the agent's server", extra={"host": self._server.host, "trouble": str(trouble)})
            if isinstance(trouble, Refused):
                logger.debug("the agent's server says", extra={"body": trouble.body})  # it may quote the prompt
            raise told(trouble, NAME) from None

    async def _run(self, run: RemoteRun, request: dict[str, Any]) -> AsyncGenerator[AgentEvent, None]:
        async with aclosing(self._server.ask(request)) as events:
            async for event in events:
                if event and event.is_whole:
                    raise ModelBroken("the agent's server answered with JSON, and not with events")
                has_ended = event is not None and bool(event.data.strip()) and run.take(event.data)
                if has_ended or event is None or not event.more:
                    for said in run.so_far():
                        yield said
                    if has_ended:
                        return
                    yield Alive()
        raise CutShort("the agent's stream ended without RUN_FINISHED")

    async def aclose(self) -> None:
        await self._server.aclose()


def request_of(task: AgentTask, memory: Memory) -> dict[str, Any]:
    """RunAgentInput: the chat, what it is about, and the answers to what the last run has asked."""
    calls = dict(_waiting_calls(task, memory.waiting)) if memory.waiting else {}
    messages = [each for message in task.history for each in _messages(message, calls)]
    if task.prompt:
        messages.append({"id": str(task.message_id), "role": "user", "content": task.prompt})
    answers = {approval.id: approval for approval in task.approvals}
    resume = [_answer(each, answers.get(each.question)) for each in memory.waiting]
    return {
        "threadId": str(task.chat_id),
        "runId": str(task.message_id),
        "protocolVersion": VERSION,
        "state": {} if memory.state is None else memory.state,
        "messages": messages,
        "tools": [],
        "context": [_context(asset) for asset in task.assets],
        "forwardedProps": {},
        **({"resume": resume} if resume else {}),
    }


def _messages(message: ChatMessage, calls: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """The texts of one turn, and the calls in it that wait for an answer: an agent that keeps nothing goes on with those."""
    id = str(message.id)
    if message.request_message and message.request_message.request:
        yield {"id": id, "role": "user", "content": message.request_message.request}
    parts = (message.response_messages[part] for part in message.response_message_ids)
    for part in parts:
        if isinstance(part, TextResponse) and part.message:
            yield {"id": str(part.id), "role": "assistant", "content": part.message}
    if id in calls:
        yield {"id": f"{id}-calls", "role": "assistant", "toolCalls": calls[id]}


def _waiting_calls(task: AgentTask, waiting: tuple[Waiting, ...]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """By its message: the calls that the last run has left waiting, with what the tools were to be given."""
    ids = {short(each.call): each.call for each in waiting if each.call}
    for message in task.history:
        steps = (message.reasoning_messages[id] for id in message.reasoning_message_ids)
        tools = [(step, step.tool) for step in steps if isinstance(step, TextReasoning) and step.tool]
        calls = [
            {
                "id": ids[tool.call_id],
                "type": "function",
                "function": {"name": tool.name or "", "arguments": step.message or "{}"},
            }
            for step, tool in tools
            if tool.call_id in ids and message.approvals
        ]
        if calls:
            yield str(message.id), calls


def _answer(waiting: Waiting, approval: Approval | None) -> dict[str, Any]:
    """What the user has said to one interrupt. One that was passed over is cancelled: an agent wants to hear of each.

    Where the agent's schema has a place for whether it was approved, or says nothing, it is told there. Else the value alone
    is what it wants, and one that is not approved is cancelled.
    """
    if approval is None:
        return {"interruptId": waiting.interrupt, "status": "cancelled"}
    schema, value = approval.schema, approval.value
    properties = schema.get("properties") if isinstance(schema, dict) else None
    is_told = not schema or (isinstance(properties, dict) and "approved" in properties)
    if is_told and (value is None or isinstance(value, dict)):
        payload = {**(value or {}), "approved": approval.approved}
    elif approval.approved:
        payload = value
    else:
        return {"interruptId": waiting.interrupt, "status": "cancelled"}
    return {"interruptId": waiting.interrupt, "status": "resolved", "payload": payload}


def _context(asset: Asset) -> dict[str, str]:
    definition = {
        "id": str(asset.id),
        "type": asset.asset_type,
        "name": asset.name,
        "version": asset.version_number,
        "definition": asset.content,
    }
    description = f"The definition of the {asset.asset_type} “{asset.name}”, which the chat is about, as JSON"
    return {"description": description, "value": json.dumps(definition, ensure_ascii=False)}
