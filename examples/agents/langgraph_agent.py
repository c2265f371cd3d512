"""A graph of LangGraph that rolls dice.

.venv/bin/pip install langgraph langchain-openai
OPENAI_API_KEY=sk-... THREADCAST_AGENT=examples.agents.langgraph_agent:graph make run
"""

import os
import random
from typing import Any

from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


async def roll_dice(count: int) -> list[int]:
    """Roll so many dice."""
    return [random.randint(1, 6) for _ in range(count)]  # noqa: S311


def model() -> Any:
    from langchain_openai import ChatOpenAI

    return ChatOpenAI(model=os.environ.get("EXAMPLE_MODEL", "gpt-5-mini")).bind_tools([roll_dice])


async def ask(state: MessagesState) -> dict[str, Any]:
    return {"messages": [await model().ainvoke(state["messages"])]}


builder = StateGraph(MessagesState).add_node("ask", ask).add_node("tools", ToolNode([roll_dice]))
builder.add_edge(START, "ask").add_conditional_edges("ask", tools_condition).add_edge("tools", "ask")
graph = builder.compile()
