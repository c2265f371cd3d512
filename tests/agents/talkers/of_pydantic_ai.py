"""The example of Pydantic AI with such a model, and the same over AG-UI."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from examples.agents.pydantic_ai_agent import agent
from tests.agents.talkers import WORD_S, WORDS


async def talk(messages: list[Any], info: AgentInfo) -> AsyncIterator[Any]:
    if not isinstance(messages[-1].parts[-1], ToolReturnPart):
        yield {0: DeltaToolCall(name="roll_dice", json_args='{"count": 2}', tool_call_id=f"call-{len(messages)}")}
        return
    for word in WORDS:
        await asyncio.sleep(WORD_S)
        yield word


agent.model = FunctionModel(stream_function=talk)


async def run(request: Request) -> Response:
    answer: Response = await AGUIAdapter.dispatch_request(request, agent=agent)
    return answer


app = Starlette(routes=[Route("/agent", run, methods=["POST"])])
