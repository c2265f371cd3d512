"""Frames of the server, decoded so that a newer server's additions do no harm."""

from typing import Any

import msgspec

from threadcast_client.schemas.chats import FileResponse, FilesReasoning, PillsReasoning, TextReasoning, TextResponse
from threadcast_client.schemas.events import TOLD


class Failure(msgspec.Struct, frozen=True):
    """The `error` of a frame."""

    code: str
    message: str
    retry_after: float | None = None


class Sender(msgspec.Struct, frozen=True):
    """The user whose request a frame answers."""

    id: str
    name: str = ""


class Frame(msgspec.Struct, frozen=True):
    """A frame. `by_http`: it was not sent in the order of the others, since it answers a request over HTTP."""

    route: str
    event: str
    payload: msgspec.Raw = msgspec.Raw(b"null")
    sent_by: Sender | None = None
    error: Failure | None = None
    request_id: str | None = None
    offset: int | None = None
    by_http: bool = False


# What a part of a message can be. A newer server's other kinds are passed over.
PARTS = {
    "response_messages": {TextResponse.__struct_config__.tag, FileResponse.__struct_config__.tag},
    "reasoning_messages": {struct.__struct_config__.tag for struct in (TextReasoning, PillsReasoning, FilesReasoning)},
}
IDS = {"response_messages": "response_message_ids", "reasoning_messages": "reasoning_message_ids"}

_FRAMES = msgspec.json.Decoder(Frame)
_PAYLOADS = {event.value: msgspec.json.Decoder(told.payload) for event, told in TOLD.items()}
encode = msgspec.json.Encoder().encode


def decode(text: str | bytes) -> Frame:
    """A frame, its payload not yet decoded. Raises msgspec.DecodeError."""
    return _FRAMES.decode(text)


def payload_of(frame: Frame) -> Any:
    """The payload as its struct; None for an event that is not known here, and for what has an unknown kind or form."""
    decoder = _PAYLOADS.get(frame.event)
    if decoder is None or frame.error:
        return None
    try:
        return decoder.decode(frame.payload)
    except msgspec.ValidationError:
        pass
    try:
        return msgspec.convert(_known(msgspec.json.decode(frame.payload)), decoder.type)
    except msgspec.ValidationError:
        return None


def _known(payload: Any) -> Any:
    """A chat without the parts whose kind is not known here."""
    for message in payload.get("messages", {}).values() if isinstance(payload, dict) else ():
        for name, kinds in PARTS.items():
            parts = message[name] = {id: part for id, part in message[name].items() if part.get("type") in kinds}
            message[IDS[name]] = [id for id in message[IDS[name]] if id in parts]
    return payload
