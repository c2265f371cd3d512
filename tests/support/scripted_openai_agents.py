"""A model for the tests of the OpenAI Agents SDK, which says what a script has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from agents.testing.model import _stream_events_for_step


def call(number: int, name: str, arguments: str) -> Any:
    return function_call(name, arguments, call_id=f"call-{number}")


def content(call: Any) -> list[str]:
    """What the model was given, item by item."""
    return [f"{item.get('role', item.get('type'))}: {text_of(item)}" for item in call.input]


def text_of(item: Any) -> str:
    text = item.get("content", item.get("output", item.get("arguments")))
    return str(text) if isinstance(text, str) else "".join(part["text"] for part in text)


def forever() -> tuple[ScriptedModel, asyncio.Event]:
    """A model that never ends, and whether it has been closed."""
    closed = asyncio.Event()

    async def stream(_: Any) -> AsyncIterator[Any]:
        try:
            for event in _stream_events_for_step(ModelStep([assistant_message("Well. ")]), preserve_raw_usage=False)[:5]:
                yield event
            await asyncio.sleep(1000)
        finally:
            closed.set()

    return ScriptedModel([ModelStep.stream(stream)]), closed
