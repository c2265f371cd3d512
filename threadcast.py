"""What an agent of one's own imports: `from threadcast import AgentTask, ResponseChunk`. docs/agents.md says how to write one.

These names, their fields and the order of those stay as they are; everything else in this repository may change.
"""

from backends.agent import (
    AgentEvent,
    AgentTask,
    AgentUser,
    Alive,
    AssetsFound,
    Finished,
    ReasoningChunk,
    ResponseChunk,
    TitleChunk,
    TitleEnd,
)
from schemas.chats import Usage

__all__ = [
    "AgentEvent",
    "AgentTask",
    "AgentUser",
    "Alive",
    "AssetsFound",
    "Finished",
    "ReasoningChunk",
    "ResponseChunk",
    "TitleChunk",
    "TitleEnd",
    "Usage",
]
