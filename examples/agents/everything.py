"""Every kind of event that an agent can yield: `THREADCAST_AGENT=examples.agents.everything:answer make run`."""

import asyncio

from threadcast import (
    AgentTask,
    AssetShown,
    FileChunk,
    FilesEnded,
    ReasoningChunk,
    Remembered,
    SourcesFound,
    ToolEnded,
    ToolInput,
    ToolStarted,
    Usage,
)


async def answer(task: AgentTask):
    yield ReasoningChunk("Thinking", "Two tools can look at once.")
    yield ToolStarted("1", "Searching the documents", "search")
    yield ToolInput("1", '{"words": "revenue"}')
    yield ToolStarted("2", "Asking the weather", "weather")
    await asyncio.sleep(0.2)
    yield ToolEnded("2", "It does not answer.", failed=True)
    yield ToolEnded("1", "1 document")
    yield SourcesFound("Found 1 source", [("The documents", "https://example.com/documents")])
    for asset in task.assets[:1]:
        yield FileChunk("notes", "Writing notes", str(asset.id), "text", "notes.md", 1, f"# {asset.name}\n")
        yield FileChunk("notes", "Writing notes", "more", "text", "more.md", 1, "Nothing more.")
        yield FilesEnded("notes", "Wrote 2 notes")
        yield AssetShown(asset, "Read the definition")
    for word in f"You asked: {task.prompt} This is prompt {len(task.history) + 1} of the chat.".split():
        await asyncio.sleep(0.02)
        yield f"{word} "
    yield Usage("none", 100, 20)
    yield Remembered({"prompts": len(task.history) + 1})
