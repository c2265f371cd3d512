"""An agent that does a bit of everything, in a server of its own: `THREADCAST_AGENT=tests.support.busy:answer`.

It goes on from one point to the next when there is a file of that point's name in the server's folder.
"""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from threadcast import (
    AgentTask,
    ApprovalNeeded,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    Remembered,
    SourcesFound,
    ToolEnded,
    ToolInput,
    ToolStarted,
)

Said = AsyncGenerator[Any, None]

AGENT = "tests.support.busy:answer"
HOSTILE = "<img src=x onerror=alert(1)>\x1b]0;owned\x07\x1b[31m\x9b31mred\r\x08"
SCHEMA = {"type": "object", "properties": {"limit": {"type": "integer"}}}
SOURCES = [
    ("The handbook", "https://docs.example.com/handbook?q=1#top"),
    ("A mirror of it", "https://docs.example.com/handbook?q=1#top"),
    ("Upper case", "HTTP://example.com/"),
    ("A script", "javascript:alert(1)"),
    ("A hidden script", " JaVaScRiPt:alert(1)"),
    ("A page of its own", "data:text/html,<script>alert(1)</script>"),
    ("No host", "https://"),
]


async def reached(point: str) -> None:
    while not Path(point).exists():  # noqa: ASYNC110, ASYNC240 - another process makes it, and looking takes no time
        await asyncio.sleep(0.01)


async def answer(task: AgentTask) -> Said:
    for said in task.approvals:
        yield f"{said.id}: {said.approved}, {said.value}. "
    if not task.approvals:
        async for event in {"work": work, "sources": sources, "hostile": hostile}.get(task.prompt, ask)(task):
            yield event


async def work(task: AgentTask) -> Said:
    yield ReasoningChunk("Thinking", "First I look at what there is.")
    yield ToolStarted("1", "Searching the tables", "search")
    yield ToolInput("1", '{"query": "reve')
    yield ToolStarted("2", "Counting rows")
    yield ToolInput("1", 'nue"}')
    await reached("tools")
    yield ToolEnded("2", "no such table", True)
    yield ToolEnded("1", "\n".join(f"row {number}" for number in range(40)))
    yield FileChunk("files", "Writing 2 files", "one", "metric", "revenue.yml", 2, "name: ")
    yield FileChunk("files", "Writing 2 files", "two", "dashboard", "board.yml", 1, "title: Board\n")
    yield FileChunk("files", "Writing 2 files", "one", "metric", "revenue.yml", 2, "revenue\n")
    await reached("files")
    yield FileChunk("files", "Writing 2 files", "one", "metric", "revenue.yml", 2, "sql: select 1\n")
    yield FilesEnded("files", "Wrote 2 files")
    yield SourcesFound("Found 1 source", SOURCES[:1])
    yield "Revenue was 40 rows. I may publish it."


async def sources(task: AgentTask) -> Said:
    yield SourcesFound("Found sources", SOURCES)
    yield "Read them."


async def hostile(task: AgentTask) -> Said:
    yield ReasoningChunk(HOSTILE, HOSTILE)
    yield ToolStarted("1", HOSTILE, HOSTILE)
    yield ToolEnded("1", HOSTILE)
    yield SourcesFound(HOSTILE, [(HOSTILE, f"https://example.com/{HOSTILE}"), (HOSTILE, HOSTILE)])
    yield FileChunk("files", HOSTILE, "1", "metric", HOSTILE, 1, HOSTILE)
    yield HOSTILE
    yield ApprovalNeeded(HOSTILE, HOSTILE, {HOSTILE: HOSTILE})


async def ask(task: AgentTask) -> Said:
    """One question, or as many as the prompt says; with `value` in it each wants one."""
    schema = SCHEMA if "value" in task.prompt else None
    yield ToolStarted("delete", "Deleting the report", "delete")
    yield ToolInput("delete", '{"report": 7}')
    yield Remembered("the report")
    yield ApprovalNeeded("delete", "Delete the report?", schema)
    if "two" in task.prompt:
        yield ApprovalNeeded("tell", "Tell everybody?", schema)
