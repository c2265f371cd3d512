"""The envelope, in both directions. Protocol sections 2 and 3."""

import enum
from typing import Annotated
from uuid import UUID

import msgspec

from schemas.chats import ChatListItem, DeletedChats, MessageFeedback, Text
from schemas.errors import WsError
from schemas.events import TOLD, Container, GoingAway, Heartbeat, Resumed, WsEvent

# A client's own label. It goes back on every frame, so it is short; a UUID with a prefix fits into 64 characters.
RequestId = Annotated[
    Text,
    msgspec.Meta(max_length=64, description="The client's own label: each frame that answers has it as its `request_id`."),
]
Offset = Annotated[
    int,
    msgspec.Meta(ge=1, description="The frame's number, on connections made with `since`, while the log is there."),
]


Payload = Container | list[ChatListItem] | ChatListItem | DeletedChats | MessageFeedback | Resumed | GoingAway | Heartbeat


class WsRoutes(enum.Enum):
    """The `route` of a frame; `ROOT` answers a frame whose own route cannot be read."""

    ROOT = "/"
    CHATS_POST = "/chats/post"
    CHATS_GET = "/chats/get"
    CHATS_LIST = "/chats/list"
    CHATS_STOP = "/chats/stop"
    CHATS_UPDATE = "/chats/update"
    CHATS_DELETE = "/chats/delete"
    CHATS_DUPLICATE = "/chats/duplicate"
    MESSAGES_UPDATE = "/messages/update"
    STREAM = "/stream"


class WsRequest(msgspec.Struct, frozen=True):
    """A frame from a client, its payload not yet decoded: an error in it can so be answered on the frame's own route."""

    route: str
    payload: msgspec.Raw
    event: str | None = None
    id: RequestId | None = None


class WsSendMethod(enum.Enum):
    """Who receives a frame, of the open connections of its user."""

    ALL = "All"
    ALL_BUT_SENDER = "AllButSender"
    SENDER_ONLY = "SenderOnly"


class SentBy(msgspec.Struct, frozen=True):
    """The user whose request a frame answers."""

    id: UUID
    name: str


class WsResponseMessage(msgspec.Struct):
    """A frame to clients. The order of the fields is the order on the wire; without a request id there is no such key.

    `route` and `event` are plain strings where an error quotes those of a request that no route of ours fits, and the
    payload is raw in another node's frame that is no delta.
    """

    route: WsRoutes | str
    event: WsEvent | str
    payload: Payload | msgspec.Raw | None
    sent_by: SentBy
    error: WsError | None
    send_method: WsSendMethod
    request_id: str | msgspec.UnsetType = msgspec.UNSET


class WsNumberedMessage(WsResponseMessage):
    """A frame as a connection gets it that can resume."""

    offset: Offset | msgspec.UnsetType = msgspec.UNSET


encode = msgspec.json.Encoder().encode


class _Encoded(msgspec.Struct):
    route: str
    event: str
    payload: msgspec.Raw
    sent_by: SentBy
    error: WsError | None
    send_method: WsSendMethod
    request_id: str | msgspec.UnsetType = msgspec.UNSET


_FRAMES = msgspec.json.Decoder(_Encoded)
_DELTAS: dict[str, msgspec.json.Decoder[Container]] = {
    event.value: msgspec.json.Decoder(TOLD[event].payload)
    for event in (WsEvent.GENERATING_TITLE, WsEvent.GENERATING_REASONING_MESSAGE, WsEvent.GENERATING_RESPONSE_MESSAGE)
}


def decode(text: bytes | str) -> WsResponseMessage:
    """What was encoded; only what can be joined has its payload decoded."""
    it = _FRAMES.decode(text)
    delta = _DELTAS.get(it.event)
    payload = delta.decode(it.payload) if delta and not it.error else it.payload
    return WsResponseMessage(it.route, it.event, payload, it.sent_by, it.error, it.send_method, it.request_id)
