"""The example of the OpenAI Agents SDK with such a model."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from agents.testing.model import _stream_events_for_step

from examples.agents.openai_agents_agent import agent
from tests.agents.talkers import WORD_S, WORDS

TURNS = 10_000  # of all chats together


async def talk(call: Any) -> AsyncIterator[Any]:
    has_rolled = call.input[-1].get("type") == "function_call_output"
    dice = function_call("roll_dice", '{"count":2}', call_id=f"call-{len(call.input)}")
    step = ModelStep([assistant_message("".join(WORDS)) if has_rolled else dice])
    for event in _stream_events_for_step(step, preserve_raw_usage=False):
        if event.type != "response.output_text.delta":
            yield event
            continue
        for word in WORDS:
            await asyncio.sleep(WORD_S)
            yield event.model_copy(update={"delta": word})


agent.model = ScriptedModel([ModelStep.stream(talk)] * TURNS)
