"""A model for the tests of Pydantic AI, which says what a script has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel


class Script:
    """A model that says the next of what it is to say, and keeps what it was asked."""

    def __init__(self, *turns: list[Any]) -> None:
        self.turns = list(turns)
        self.asked: list[Any] = []
        self.told: list[AgentInfo] = []
        self.model = FunctionModel(stream_function=self.stream)

    async def stream(self, messages: list[Any], info: AgentInfo) -> AsyncIterator[Any]:
        self.asked.append(messages)
        self.told.append(info)
        for piece in self.turns.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield piece


def call(index: int, name: str, *pieces: str, id: str = "") -> list[dict[int, DeltaToolCall]]:
    first, *others = pieces
    start = {index: DeltaToolCall(name=name, json_args=first, tool_call_id=id or f"call-{index}")}
    return [start, *({index: DeltaToolCall(json_args=piece)} for piece in others)]


def content(messages: list[Any]) -> list[str]:
    """What the model was given, part by part, without the system's."""
    parts = (part for message in messages for part in message.parts)
    return [f"{part.part_kind}: {part.content}" for part in parts if hasattr(part, "content")]


def forever() -> tuple[FunctionModel, asyncio.Event]:
    """A model that never ends, and whether it has been closed."""
    closed = asyncio.Event()

    async def stream(messages: list[Any], info: AgentInfo) -> AsyncIterator[str]:
        try:
            yield "Well. "
            await asyncio.sleep(1000)
        finally:
            closed.set()

    return FunctionModel(stream_function=stream), closed
