"""A model for the tests of LangGraph, which says what a script has."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition


class Script(BaseChatModel):  # type: ignore[misc]
    """A model that says the next of what it is to say, and keeps what it was asked."""

    turns: list[Any]
    asked: list[Any]
    closed: list[bool]

    @property
    def _llm_type(self) -> str:
        return "script"

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, messages: list[BaseMessage], *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        self.asked.append(messages)
        try:
            for piece in self.turns.pop(0):
                if isinstance(piece, Exception):
                    raise piece
                if piece is None:
                    await asyncio.sleep(1000)
                chunk = piece if isinstance(piece, AIMessageChunk) else AIMessageChunk(piece)
                yield ChatGenerationChunk(message=chunk)
        finally:
            self.closed.append(True)


def script(*turns: list[Any]) -> Script:
    return Script(turns=list(turns), asked=[], closed=[])


def call(index: int, name: str, *pieces: str) -> list[AIMessageChunk]:
    first, *others = pieces
    start: dict[str, Any] = {"index": index, "id": f"call-{index}", "name": name, "args": first}
    more = ({"index": index, "id": None, "name": None, "args": piece} for piece in others)
    return [AIMessageChunk("", tool_call_chunks=[{**each, "type": "tool_call_chunk"}]) for each in (start, *more)]


def used(input: int, output: int) -> AIMessageChunk:
    usage = {"input_tokens": input, "output_tokens": output, "total_tokens": input + output}
    return AIMessageChunk(
        "", usage_metadata={**usage, "output_token_details": {"reasoning": 1}}, response_metadata={"model_name": "scripted"}
    )


def graph(model: Any, given: list[Callable[..., Any]] | tuple[Any, ...] = (), checkpointer: Any = None) -> Any:
    """An agent: the model, and its tools again and again."""

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    if given:
        builder.add_node("tools", ToolNode([tool(each) for each in given]))
        builder.add_conditional_edges("ask", tools_condition)
        builder.add_edge("tools", "ask")
    return builder.compile(checkpointer=checkpointer)


def content(messages: list[BaseMessage]) -> list[str]:
    return [f"{message.type}: {message.text}" for message in messages]
