"""Agents of frameworks, named as a user names them, and what stands in a message that one has answered."""

import sys
import time
from types import ModuleType
from typing import Any

import anyio
import pytest

from backends.agent import Agent, AgentTask
from backends.agent_events import ResponseChunk
from backends.agents.own import load_agent
from tests.support.client import TIMEOUT_S, Client, Frame
from tests.support.modelled import message_of

Answers = list[dict[str, Any]]


def named(framed: object) -> Agent:
    """The agent that the server makes of the object, when a setting names it."""
    module = ModuleType("mine_of_a_framework")
    module.agent = framed  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        patch.setattr(sys, "path", list(sys.path))
        return load_agent(f"{module.__name__}:agent")


def tools(message: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """The title, name, status and text of each call of a tool in the message."""
    steps = (step for step in message["reasoning_messages"].values() if step.get("tool"))
    return [(step["title"], step["tool"]["name"], step["status"], step["message"]) for step in steps]


def thoughts(message: dict[str, Any]) -> list[str]:
    return [step["message"] for step in message["reasoning_messages"].values() if not step.get("tool")]


def answers(frames: list[Frame], approved: bool) -> Answers:
    """The answers to all that the stream's message asks."""
    return [{"id": question["id"], "approved": approved} for question in message_of(frames)["approvals"]]


async def left(agent: Agent) -> float:
    """Close an answer after its first word, and return the seconds that took."""
    events = agent.answer(AgentTask("Go on"))
    with anyio.fail_after(TIMEOUT_S):
        assert isinstance(await anext(events), ResponseChunk)
    began = time.monotonic()
    with anyio.move_on_after(TIMEOUT_S):
        await events.aclose()
    return time.monotonic() - began


async def stopped(client: Client) -> tuple[dict[str, Any], float]:
    """The message of a prompt that is stopped after its first word, and the seconds that took."""
    await client.send({"prompt": "Go on"})
    begun = await client.until("generatingResponseMessage")
    began = time.monotonic()
    await client.send({"id": begun[0]["payload"]["id"]}, "/chats/stop")
    return message_of(await client.stream()), time.monotonic() - began
