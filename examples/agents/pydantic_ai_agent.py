"""An agent of Pydantic AI. It rolls dice, and asks before it throws them away.

.venv/bin/pip install 'pydantic-ai-slim[openai]'
OPENAI_API_KEY=sk-... THREADCAST_AGENT=examples.agents.pydantic_ai_agent:agent make run
"""

import os
import random

from pydantic_ai import Agent, DeferredToolRequests

model = os.environ.get("EXAMPLE_MODEL", "openai:gpt-5-mini")
agent = Agent(model, output_type=[str, DeferredToolRequests], instructions="Answer briefly.", defer_model_check=True)


@agent.tool_plain
def roll_dice(count: int) -> list[int]:
    return [random.randint(1, 6) for _ in range(count)]  # noqa: S311


@agent.tool_plain(requires_approval=True)
def throw_away(what: str) -> str:
    return f"{what} is gone"
