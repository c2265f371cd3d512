# Made of schemas/chats.py by `make structs`, which overwrites what is changed here.
"""A chat: its parts, and what it looks like whole. Protocol section 5."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

# PostgreSQL's text type refuses NUL, so no engine gets it. Lone surrogates do not pass a JSON decoder.
Text = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]*$")]
Utc = Annotated[datetime, msgspec.Meta(tz=True)]


class ChatUserMessage(msgspec.Struct, frozen=True):
    """What the user asked."""

    request: str
    sender_id: UUID
    sender_name: str
    sender_avatar: str | None


class TextResponse(msgspec.Struct, tag_field="type", tag="text", frozen=True):
    """A part of the answer. A delta has only `message_chunk`, the last frame only `message`, the whole text."""

    id: UUID
    message: str | None
    message_chunk: str | None
    is_final_message: bool


class FileMetadata(msgspec.Struct, frozen=True):
    """What happened to a file; `timestamp` in Unix seconds."""

    status: str  # loading, completed, failed
    message: str
    timestamp: int


class FileResponse(msgspec.Struct, tag_field="type", tag="file", frozen=True):
    """An asset that the answer opens. `id` and `version_id` are the asset's id: clients open the file by `id`."""

    id: UUID
    file_type: str
    file_name: str
    version_number: int
    version_id: UUID
    filter_version_id: UUID | None
    metadata: list[FileMetadata]


ResponseMessage = TextResponse | FileResponse
Status = str  # loading, completed, failed


class Pill(msgspec.Struct, frozen=True):
    """One thing that was found: `type` is its asset type, or `url` for a source, which has its address in `url`."""

    id: str
    text: str
    type: str
    url: str | msgspec.UnsetType = msgspec.UNSET


class PillContainer(msgspec.Struct, frozen=True):
    """Pills under one heading."""

    title: str
    pills: list[Pill]


class PillsReasoning(msgspec.Struct, tag_field="type", tag="pills", frozen=True):
    """A step of the reasoning that found things."""

    id: UUID
    title: str
    secondary_title: str | None
    pill_containers: list[PillContainer]
    status: Status


class Tool(msgspec.Struct, frozen=True):
    """The tool that a step calls: its name, where the agent says it, and the agent's id of the call."""

    name: str | None
    call_id: str


class TextReasoning(msgspec.Struct, tag_field="type", tag="text", frozen=True):
    """A step of the reasoning in words, or a call of a tool; deltas as in `TextResponse`."""

    id: UUID
    title: str
    secondary_title: str | None
    message: str | None
    message_chunk: str | None
    status: Status
    tool: Tool | msgspec.UnsetType = msgspec.UNSET


class FileContent(msgspec.Struct, frozen=True):
    """The text of a file that the reasoning wrote; deltas in `text_chunk`."""

    text: str | None
    text_chunk: str | None
    modified: list[tuple[int, int]] | None


class ReasoningFile(msgspec.Struct, frozen=True):
    """One file of a `FilesReasoning`."""

    id: UUID
    file_type: str
    file_name: str
    version_number: int
    version_id: UUID
    status: Status
    file: FileContent


class FilesReasoning(msgspec.Struct, tag_field="type", tag="files", frozen=True):
    """A step of the reasoning that wrote files."""

    id: UUID
    title: str
    secondary_title: str | None
    status: Status
    file_ids: list[UUID]
    files: dict[UUID, ReasoningFile]


ReasoningMessage = PillsReasoning | TextReasoning | FilesReasoning


Tokens = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]  # which JavaScript reads exactly
FinishReason = str  # stop, length, content_filter, refusal, stopped, interrupted, failed


class Usage(msgspec.Struct, frozen=True):
    """The tokens that an answer has taken, where the model's server says so."""

    model: str
    input_tokens: Tokens | None
    output_tokens: Tokens | None
    reasoning_tokens: Tokens | None = None


Feedback = str  # positive, negative


class Approval(msgspec.Struct, frozen=True):
    """A question that an agent waits for, and its answer. `schema` is the JSON Schema of a `value` that may come with it."""

    id: str
    title: str
    schema: Any
    approved: bool | None = None
    value: Any = None


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn: the request, the reasoning, the answer. The id lists give the order of the two tables.

    `finish_reason` is null while it is being answered, and for what no agent has answered. `approvals` is there only where the
    agent has asked for some.
    """

    id: UUID
    request_message: ChatUserMessage | None
    response_message_ids: list[UUID]
    response_messages: dict[UUID, ResponseMessage]
    reasoning_message_ids: list[UUID]
    reasoning_messages: dict[UUID, ReasoningMessage]
    created_at: Utc
    final_reasoning_message: str | None
    is_completed: bool
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    feedback: Feedback | None = None
    approvals: list[Approval] | msgspec.UnsetType = msgspec.UNSET


class ChatWithMessages(msgspec.Struct, frozen=True):
    """A chat, whole. Times are UTC."""

    id: UUID
    title: str
    is_favorited: bool
    message_ids: list[UUID]
    messages: dict[UUID, ChatMessage]
    created_at: Utc
    updated_at: Utc
    created_by: UUID
    created_by_id: UUID
    created_by_name: str
    created_by_avatar: str | None
    individual_permissions: None = None
    publicly_accessible: bool = False
    public_expiry_date: Utc | None = None
    public_enabled_by: str | None = None
    public_password: str | None = None


class DeletedChats(msgspec.Struct, frozen=True):
    """The chats that are gone."""

    ids: list[UUID]


class MessageFeedback(msgspec.Struct, frozen=True):
    """What a user thinks of a message's answer."""

    chat_id: UUID
    message_id: UUID
    feedback: Feedback | None


class ChatListItem(msgspec.Struct, frozen=True):
    """A chat without its messages: a row of `getChatsList`. `is_favorited` is the reader's own."""

    id: UUID
    title: str
    is_favorited: bool
    created_at: Utc
    updated_at: Utc
    last_edited: Utc
    created_by: UUID
    created_by_id: UUID
    created_by_name: str
    created_by_avatar: str | None
    latest_file_id: UUID | None = None
    latest_file_type: str | None = None
    latest_version_number: int | None = None
