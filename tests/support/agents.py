"""Agents for the tests, which say what they are told to."""

from collections.abc import AsyncGenerator

import anyio

from backends.agent import AgentTask
from backends.agent_events import AgentEvent, ResponseChunk


class ScriptedAgent:
    """Says the events, then raises the error when there is one. `gate` holds it up before the last event."""

    def __init__(self, *events: AgentEvent, error: Exception | None = None, title: str | None = "A title") -> None:
        self.events = events
        self.made_title = title
        self.error = error
        self.gate = anyio.Event()
        self.gate.set()
        self.closed = 0

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        if self.made_title is None:
            raise RuntimeError("no title today")
        yield self.made_title

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        try:
            for number, event in enumerate(self.events, 1):
                if number == len(self.events):
                    await self.gate.wait()
                yield event
            if self.error:
                raise self.error
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        pass


class HeldAgent:
    """Answers each prompt with "<prompt> begins", waits to be let go by that prompt, and ends with ", and ends"."""

    def __init__(self) -> None:
        self.tasks: list[AgentTask] = []
        self.gates: dict[str, anyio.Event] = {}
        self.running = 0

    def let_go(self, prompt: str) -> None:
        """Let the answer to this prompt, also of a run to come, go on to its end."""
        self.gates.setdefault(prompt, anyio.Event()).set()

    async def title(self, task: AgentTask) -> AsyncGenerator[str, None]:
        yield f"About {task.prompt}"

    async def answer(self, task: AgentTask) -> AsyncGenerator[AgentEvent, None]:
        self.tasks.append(task)
        self.running += 1
        try:
            yield ResponseChunk(f"{task.prompt} begins")
            await self.gates.setdefault(task.prompt, anyio.Event()).wait()
            yield ResponseChunk(", and ends")
        finally:
            self.running -= 1

    async def aclose(self) -> None:
        pass
