"""What an agent of one's own imports: `from threadcast import AgentTask, ResponseChunk`. docs/agents.md says how to write one.

These names, their fields and the order of those stay as they are; everything else in this repository may change.
"""

from backends.agent import AgentTask, AgentUser
from backends.agent_events import (
    AgentEvent,
    Alive,
    ApprovalNeeded,
    AssetsFound,
    AssetShown,
    FileChunk,
    FilesEnded,
    Finished,
    ReasoningChunk,
    Remembered,
    ResponseChunk,
    SourcesFound,
    TitleChunk,
    TitleEnd,
    ToolEnded,
    ToolInput,
    ToolStarted,
)
from schemas.chats import Approval, Usage

__all__ = [
    "AgentEvent",
    "AgentTask",
    "AgentUser",
    "Alive",
    "Approval",
    "ApprovalNeeded",
    "AssetShown",
    "AssetsFound",
    "FileChunk",
    "FilesEnded",
    "Finished",
    "ReasoningChunk",
    "Remembered",
    "ResponseChunk",
    "SourcesFound",
    "TitleChunk",
    "TitleEnd",
    "ToolEnded",
    "ToolInput",
    "ToolStarted",
    "Usage",
]
