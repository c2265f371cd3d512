"""An agent whose answer its prompt describes, in a server of its own: `THREADCAST_AGENT=tests.support.paced:Paced`.

A prompt is words such as `words=40 pause=5`; `said` is the text that it gets. `pause` is in milliseconds.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from backends.agent_events import WasThought
from tests.support.busy import reached
from threadcast import (
    AgentTask,
    ApprovalNeeded,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    SourcesFound,
    ToolEnded,
    ToolInput,
    ToolStarted,
)

AGENT = "tests.support.paced:Paced"


def told(prompt: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in prompt.split() if "=" in word)


def words_of(prompt: str) -> list[str]:
    """The pieces of the answer: of each size in UTF-8 and UTF-16, so that a cut can come within a character."""
    plan = told(prompt)
    return [f"{plan.get('n', '')}wörd{number}🙂€ " for number in range(int(plan.get("words", "0")))]


def said(prompt: str) -> str:
    """The text of the whole answer."""
    return "".join(words_of(prompt))


class Paced:
    """The agent."""

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        """What the prompt has as `title`, in pieces; otherwise its beginning."""
        for piece in told(task.prompt).get("title", task.prompt[:40]).split("_"):
            yield f"{piece} "
            await asyncio.sleep(0.01)

    async def answer(self, task: AgentTask) -> AsyncGenerator[Any, None]:
        async for event in answer(task):
            yield event


async def answer(task: AgentTask) -> AsyncGenerator[Any, None]:
    """Say the words, with what else the prompt has: steps, thought, wait, fail, ask. `until`: words without an end."""
    plan, words = told(task.prompt), words_of(task.prompt)
    pause = float(plan.get("pause", "0")) / 1000
    for given in task.approvals:
        yield f"{given.id}: {given.approved}"
    if "steps" in plan:
        async for event in steps(pause):
            yield event
    if "thought" in plan:
        yield "This was "
        await asyncio.sleep(pause)
        yield "a thought."
        await asyncio.sleep(pause)
        yield WasThought("Thinking")
    while "until" in plan and not Path(plan["until"]).exists():  # noqa: ASYNC240 - looking takes no time
        yield f"wörd{len(words)}🙂€ "
        words.append("")
        await asyncio.sleep(pause)
    for number, word in enumerate(words):
        if "wait" in plan and number == len(words) // 2:
            await reached(plan["wait"])
        await asyncio.sleep(pause)
        yield word
    if "fail" in plan:
        raise RuntimeError("the prompt says so")
    if "ask" in plan:
        yield ApprovalNeeded("publish", "Publish it?")


async def steps(pause: float) -> AsyncGenerator[Any, None]:
    """Of each kind one, the tools beside each other."""
    yield ReasoningChunk("Thinking", "First I look ")
    await asyncio.sleep(pause)
    yield ReasoningChunk("Thinking", "at what there is.")
    yield ToolStarted("1", "Searching", "search")
    yield ToolStarted("2", "Counting")
    for piece in ('{"query"', ': "révenue"}'):
        yield ToolInput("1", piece)
        await asyncio.sleep(pause)
    yield ToolEnded("2", "no such table", True)
    yield ToolEnded("1", "3 rows")
    for piece in ("name: ", "revenue\n", "sql: select 1\n"):
        yield FileChunk("files", "Writing", "one", "metric", "revenue.yml", 2, piece)
        await asyncio.sleep(pause)
    yield FileChunk("files", "Writing", "two", "dashboard", "board.yml", 1, "title: Board\n")
    yield FilesEnded("files", "Wrote 2 files")
    yield SourcesFound("Found 1 source", [("The handbook", "https://docs.example.com/")])
