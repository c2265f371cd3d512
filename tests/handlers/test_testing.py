"""`threadcast.testing`: an agent answers without a server."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from backends.agents.own import NoAgent
from schemas.chats import TextReasoning
from schemas.errors import BadRequest
from threadcast import AgentTask, ApprovalNeeded, Remembered, ToolEnded, ToolStarted
from threadcast.testing import run

Said = AsyncGenerator[Any, None]


async def delete(task: AgentTask) -> Said:
    for question in task.approvals:
        yield f"{question.approved} {question.value} {task.state} {len(task.history)}"
    if not task.approvals:
        yield ToolStarted("1", "Deleting", "delete")
        yield ToolEnded("1", "not yet")
        yield Remembered(["a plan"])
        yield ApprovalNeeded("1", "Delete it?")
        yield "too late"


async def test_what_an_agent_does_can_be_looked_at() -> None:
    answer = await run(delete, "Delete it")
    tool, waiting = answer.steps
    assert isinstance(tool, TextReasoning)
    assert (tool.title, tool.message, tool.status) == ("Deleting", "not yet", "completed")
    assert (answer.text, waiting.status, answer.state, answer.approvals[0].title) == ("", "loading", ["a plan"], "Delete it?")


async def test_a_chat_goes_on_with_what_was_approved() -> None:
    asked = await run(delete, "Delete it")
    answer = await run(delete, after=asked, approvals={"1": True}, values={"1": 3})
    assert answer.text == "True 3 ['a plan'] 1"
    assert asked.approvals[0].approved is None
    with pytest.raises(BadRequest, match="already answered"):
        await run(delete, after=answer, approvals={"1": True})


async def test_what_is_wrong_is_raised() -> None:
    async def odd(task: AgentTask) -> Said:
        yield ToolStarted("", "x")

    with pytest.raises(TypeError, match=r"\$\.id"):
        await run(odd, "Hi")
    with pytest.raises(NoAgent, match="must be"):
        await run(7, "Hi")
