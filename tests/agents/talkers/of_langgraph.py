"""The example of LangGraph with such a model."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from examples.agents import langgraph_agent
from examples.agents.langgraph_agent import graph
from tests.agents.talkers import WORD_S, WORDS

__all__ = ["graph"]


class Talker(BaseChatModel):
    """Rolls dice, then talks."""

    @property
    def _llm_type(self) -> str:
        return "talker"

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, messages: list[BaseMessage], *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        if not isinstance(messages[-1], ToolMessage):
            dice = {"name": "roll_dice", "args": '{"count": 2}', "type": "tool_call_chunk"}
            call = {"index": 0, "id": f"call-{len(messages)}", **dice}
            yield ChatGenerationChunk(message=AIMessageChunk("", tool_call_chunks=[call]))
            return
        for word in WORDS:
            await asyncio.sleep(WORD_S)
            yield ChatGenerationChunk(message=AIMessageChunk(word))


langgraph_agent.model = Talker
