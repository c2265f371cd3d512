# Made of schemas/events.py by `make structs`, which overwrites what is changed here.
"""The events of `/chats/post` and their payloads. Protocol section 5."""

import enum
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec

from .chats import ChatListItem, ChatWithMessages, DeletedChats, MessageFeedback, ReasoningMessage, ResponseMessage

Progress = str  # in_progress, completed


class GeneratingTitle(msgspec.Struct, frozen=True):
    """A piece of the title, or, when completed, the whole."""

    chat_id: UUID
    message_id: UUID
    title: str | None
    title_chunk: str | None
    progress: Progress


class GeneratingReasoningMessage(msgspec.Struct, frozen=True):
    """A delta or the end of one step of the reasoning. `finished_reasoning` is there when the answer begins after this step."""

    reasoning: ReasoningMessage
    chat_id: UUID
    message_id: UUID
    progress: Progress
    finished_reasoning: Literal[True] | msgspec.UnsetType = msgspec.UNSET


class GeneratingResponseMessage(msgspec.Struct, frozen=True):
    """A delta or the end of one part of the answer."""

    response_message: ResponseMessage
    chat_id: UUID
    message_id: UUID
    progress: Progress


class Resumed(msgspec.Struct, frozen=True):
    """The first frame of a connection that can resume. Not `recovered`: frames are missing, and the chats are to be got."""

    epoch: str
    offset: int
    recovered: bool


class GoingAway(msgspec.Struct, frozen=True):
    """The server restarts: within `retry_after` seconds the connection is closed with 1012."""

    retry_after: float


class Heartbeat(msgspec.Struct, frozen=True):
    """Nothing else was sent for so many `seconds`. A connection that is silent for twice as long is dead."""

    seconds: float


Container = ChatWithMessages | GeneratingTitle | GeneratingReasoningMessage | GeneratingResponseMessage


class ThreadEvent(enum.Enum):
    """What can happen in a thread, by the requirements' names."""

    INITIALIZE_CHAT = "InitializeChat"
    GENERATING_TITLE = "GeneratingTitle"
    GENERATING_REASONING_MESSAGE = "GeneratingReasoningMessage"
    GENERATING_RESPONSE_MESSAGE = "GeneratingResponseMessage"
    COMPLETED = "Completed"


Item = tuple[Container, ThreadEvent]  # an entry of a stream: its payload, and the event's name


class WsEvent(enum.Enum):
    """The `event` of a frame."""

    POST_THREAD = "postThread"
    INITIALIZE_CHAT = "initializeChat"
    GENERATING_TITLE = "generatingTitle"
    GENERATING_REASONING_MESSAGE = "generatingReasoningMessage"
    GENERATING_RESPONSE_MESSAGE = "generatingResponseMessage"
    COMPLETE = "complete"
    GET_CHAT = "getChat"
    GET_CHATS_LIST = "getChatsList"
    STOP_CHAT = "stopChat"
    UPDATE_CHAT = "updateChat"
    DELETE_CHATS = "deleteChats"
    DUPLICATE_CHAT = "duplicateChat"
    UPDATE_MESSAGE = "updateMessage"
    RESUMED = "resumed"
    GOING_AWAY = "goingAway"
    HEARTBEAT = "heartbeat"
    ERROR = "error"


WS_EVENTS = {
    ThreadEvent.INITIALIZE_CHAT: WsEvent.INITIALIZE_CHAT,
    ThreadEvent.GENERATING_TITLE: WsEvent.GENERATING_TITLE,
    ThreadEvent.GENERATING_REASONING_MESSAGE: WsEvent.GENERATING_REASONING_MESSAGE,
    ThreadEvent.GENERATING_RESPONSE_MESSAGE: WsEvent.GENERATING_RESPONSE_MESSAGE,
    ThreadEvent.COMPLETED: WsEvent.COMPLETE,
}

if unmapped := set(ThreadEvent) - set(WS_EVENTS):
    raise ImportError(f"WS_EVENTS has no wire event for {sorted(event.name for event in unmapped)}")


class Told(NamedTuple):
    """What an event tells: the type of its payload, and in words."""

    payload: Any
    meaning: str


TOLD = {
    WsEvent.INITIALIZE_CHAT: Told(
        ChatWithMessages, "A stream begins. Once, first, and after the chat and its new message have been stored."
    ),
    WsEvent.GENERATING_TITLE: Told(GeneratingTitle, "The chat gets a title: chunks of it, then the whole."),
    WsEvent.GENERATING_REASONING_MESSAGE: Told(
        GeneratingReasoningMessage, "What the agent does and thinks. Chunks under one id are to be appended."
    ),
    WsEvent.GENERATING_RESPONSE_MESSAGE: Told(
        GeneratingResponseMessage, "The answer. Chunks under one id are to be appended; several may come as one."
    ),
    WsEvent.COMPLETE: Told(
        ChatWithMessages,
        "A stream ends, once, unless it ends with an error: the whole chat, which is what the deltas add up to, and is stored.",
    ),
    WsEvent.GET_CHAT: Told(ChatWithMessages, "The chat; if it is being answered, as it stands at this point of its stream."),
    WsEvent.GET_CHATS_LIST: Told(list[ChatListItem], "One page of the chats that the user may see, the newest first."),
    WsEvent.UPDATE_CHAT: Told(ChatListItem, "The chat's title has changed, or whether it is one of the user's favourites."),
    WsEvent.DELETE_CHATS: Told(DeletedChats, "These chats are gone."),
    WsEvent.DUPLICATE_CHAT: Told(ChatWithMessages, "There is a new chat of the user's, a copy of another."),
    WsEvent.UPDATE_MESSAGE: Told(MessageFeedback, "What the user thinks of a message's answer."),
    WsEvent.RESUMED: Told(Resumed, "The first frame of a connection that was made with `since`."),
    WsEvent.GOING_AWAY: Told(GoingAway, "The server is about to restart. It takes no more posts; what runs may still finish."),
    WsEvent.HEARTBEAT: Told(
        Heartbeat, "A connection that was made with `since` is alive: sent when nothing else was sent for `seconds`."
    ),
}
