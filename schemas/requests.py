"""Requests of clients: the payloads of the routes. Protocol sections 2 and 4."""

from typing import Annotated, Any
from uuid import UUID

import msgspec

from schemas.assets import AssetType
from schemas.chats import Feedback, Text

PROMPT_CHARACTERS = 32_000
ESCAPED_BYTES = 12  # the most that JSON takes for one character: an emoji as `\ud83d\ude00`, RFC 8259 section 7
# The largest valid post: the longest prompt with each character escaped, and 16 KiB for the rest. All other fields, the keys
# and the envelope take 4 KiB with each character escaped, which leaves room for the keys of older clients and for spaces.
LARGEST_POST_BYTES = PROMPT_CHARACTERS * ESCAPED_BYTES + 2**14

Prompt = Annotated[
    Text,
    msgspec.Meta(max_length=PROMPT_CHARACTERS, description="What the user asks: text without NUL. Blank counts as absent."),
]


ChatTitle = Annotated[Text, msgspec.Meta(min_length=1, max_length=200)]
PageToken = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Query = Annotated[
    Text,
    msgspec.Meta(
        max_length=200,
        description="Words of the title, the prompts and the answers: chats that have them all. "
        "The last may be the beginning of one. Blank counts as absent.",
    ),
]


class ApprovalAnswer(msgspec.Struct, frozen=True):
    """What the user says to one question of an agent."""

    id: Annotated[Text, msgspec.Meta(min_length=1, max_length=200)]
    approved: bool
    value: Annotated[Any, msgspec.Meta(description="Any JSON, as the question's `schema` wants it.")] = None


class ChatCreateNewChat(msgspec.Struct, frozen=True):
    """What is asked, where and about what. Unknown keys are ignored: older clients send more.

    `asset_id` and `asset_type` come together. At most one of `chat_id`, `asset_id`, `metric_id` and `dashboard_id` is given.
    Without an asset a prompt is required; without a prompt the asset is opened and no agent runs. `approvals` need a `chat_id`
    and no prompt.
    """

    prompt: Prompt | None = None
    chat_id: Annotated[UUID, msgspec.Meta(description="Follow up in this chat.")] | None = None
    message_id: (
        Annotated[UUID, msgspec.Meta(description="The new message's id, which makes the post safe to send again.")] | None
    ) = None
    once: Annotated[
        bool, msgspec.Meta(description="A message that exists is never replaced: the post is then a retry of its own.")
    ] = False
    asset_id: Annotated[UUID, msgspec.Meta(description="What the chat is about.")] | None = None
    asset_type: AssetType | None = None
    metric_id: Annotated[UUID, msgspec.Meta(description="Older clients' asset_id of a metric.")] | None = None
    dashboard_id: Annotated[UUID, msgspec.Meta(description="Older clients' asset_id of a dashboard.")] | None = None
    model: (
        Annotated[Text, msgspec.Meta(max_length=200, description="The model that is to answer, one of the server's.")] | None
    ) = None
    approvals: (
        Annotated[
            tuple[ApprovalAnswer, ...],
            msgspec.Meta(max_length=100, description="The answers to all that the chat's last message asks."),
        ]
        | None
    ) = None


class GetChat(msgspec.Struct, frozen=True):
    """Which chat to get, and which of its messages: all, or the `last` ones, of those `before` one. `message_ids` has all."""

    id: UUID
    last: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None
    before: Annotated[UUID, msgspec.Meta(description="A message of the chat: only those before it.")] | None = None


class GetChatsList(msgspec.Struct, frozen=True):
    """Which page, counted from 0, how many chats a page has, and which words the chats have."""

    page_token: PageToken = 0
    page_size: Annotated[int, msgspec.Meta(ge=1, le=100)] = 25
    query: Query | None = None


class StopChat(msgspec.Struct, frozen=True):
    """Which chat's answer to stop, and which of its messages when not the one that is being answered."""

    id: UUID
    message_id: UUID | None = None


class UpdateChat(msgspec.Struct, frozen=True):
    """A chat's new title, and whether it is one of the user's favourites. What is left out stays as it is."""

    id: UUID
    title: ChatTitle | None = None
    is_favorited: bool | None = None


Ids = Annotated[tuple[UUID, ...], msgspec.Meta(min_length=1, max_length=100)]


class DeleteChats(msgspec.Struct, frozen=True):
    """The chats to delete. They are gone for everybody."""

    ids: Ids


class DuplicateChat(msgspec.Struct, frozen=True):
    """The chat to copy, up to and with a message, or all of it. The copy is the user's own."""

    id: UUID
    message_id: UUID | None = None


class UpdateMessage(msgspec.Struct, frozen=True):
    """What the user thinks of a message's answer; null takes it back."""

    id: UUID
    feedback: Feedback | None
