"""An agent of the OpenAI Agents SDK. It rolls dice, and asks before it throws them away.

.venv/bin/pip install openai-agents
OPENAI_API_KEY=sk-... THREADCAST_AGENT=examples.agents.openai_agents_agent:agent make run
"""

import os
import random

from agents import Agent, function_tool


@function_tool
def roll_dice(count: int) -> list[int]:
    return [random.randint(1, 6) for _ in range(count)]  # noqa: S311


@function_tool(needs_approval=True)
def throw_away(what: str) -> str:
    return f"{what} is gone"


model = os.environ.get("EXAMPLE_MODEL", "gpt-5-mini")
agent = Agent("Dice", instructions="Answer briefly.", model=model, tools=[roll_dice, throw_away])
