"""What an agent says while it answers, event by event. What becomes of each on the wire stands in docs/agents.md."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from schemas.assets import Asset
from schemas.chats import FinishReason, Usage

MOST_FOUND = 1000  # sources, or assets, of one event: more is no answer to anybody
MOST_QUESTIONS = 100  # of one run: a post answers all of them
JSON_BYTES = 2**16  # of what a chat remembers, and of the schema of what is asked

Heading = Annotated[str, msgspec.Meta(max_length=500)]
Url = Annotated[str, msgspec.Meta(max_length=8000)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


class TitleChunk(msgspec.Struct, frozen=True):
    """The next characters of the chat's title."""

    text: str


class TitleEnd(msgspec.Struct, frozen=True):
    """The title as a whole; empty when none could be made."""

    text: str


class AssetsFound(msgspec.Struct, frozen=True):
    """The agent looked things up and found these."""

    title: Heading
    assets: Annotated[tuple[Asset, ...], msgspec.Meta(max_length=MOST_FOUND)]


class SourcesFound(msgspec.Struct, frozen=True):
    """The agent looked things up and found these, each as its text and its URL. Only `http` and `https` become links."""

    title: Heading
    sources: Annotated[Sequence[tuple[Heading, Url]], msgspec.Meta(max_length=MOST_FOUND)]


class ReasoningChunk(msgspec.Struct, frozen=True):
    """The next characters of what the agent thinks, under the heading `title`. Any other step ends it."""

    title: Heading
    text: str


class ToolStarted(msgspec.Struct, frozen=True):
    """The agent calls a tool: `title` says what is done, `name` is the tool's. Several may run at once, each by its `id`."""

    id: Id
    title: Heading
    name: Heading | None = None


class ToolInput(msgspec.Struct, frozen=True):
    """The next characters of what an open tool is given."""

    id: Id
    text: str


class ToolEnded(msgspec.Struct, frozen=True):
    """A tool has ended, with this result. One that was not open is opened by it."""

    id: Id
    text: str
    failed: bool = False


class FileChunk(msgspec.Struct, frozen=True):
    """The next characters of a file that the agent writes. All files of one `step` stand under its first `title`.

    `id` is an asset's as text, or any other text that differs from those of the step's other files.
    """

    step: Id
    title: Heading
    id: Id
    file_type: Heading
    file_name: Heading
    version_number: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    text: str


class FilesEnded(msgspec.Struct, frozen=True):
    """The files of a step are written, or could not be. `title` replaces the step's."""

    step: Id
    title: Heading
    failed: bool = False


class AssetShown(msgspec.Struct, frozen=True):
    """The answer opens this asset, and the chat is about it from now on. `message` says what happened to it."""

    asset: Asset
    message: Heading


class ResponseChunk(msgspec.Struct, frozen=True):
    """The next characters of the answer."""

    text: str


class WasThought(msgspec.Struct, frozen=True):
    """All that the answer has said so far was a thought, under the heading `title`."""

    title: Heading


class Alive(msgspec.Struct, frozen=True):
    """The agent is at work, and has nothing to say yet: no silence, and nobody is told."""


class Remembered(msgspec.Struct, frozen=True):
    """What the chat's next run gets as `task.state`: JSON of at most 64 KiB, stored with the message, and never told."""

    state: Any


class ApprovalNeeded(msgspec.Struct, frozen=True):
    """The run ends here, and waits for its user: `title` is the question, `schema` the JSON Schema of a value that it wants.

    Several may follow one another. The chat's next run has the answers as `task.approvals`. `id` is that of the tool that
    waits, or any other.
    """

    id: Id
    title: Heading
    schema: Any = None


class Finished(msgspec.Struct, frozen=True):
    """Why the answer ends, and what it has taken. An agent that ends without it has come to its own end."""

    reason: FinishReason = "stop"
    usage: Usage | None = None


# `Usage`: the tokens that a part of the answer has taken. Several add up.
AgentEvent = (
    TitleChunk
    | TitleEnd
    | AssetsFound
    | SourcesFound
    | ReasoningChunk
    | ToolStarted
    | ToolInput
    | ToolEnded
    | FileChunk
    | FilesEnded
    | AssetShown
    | ResponseChunk
    | WasThought
    | Alive
    | Usage
    | Remembered
    | ApprovalNeeded
    | Finished
)
