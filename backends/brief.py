"""A chat of a stream without its other messages, for clients that have them: connections with `&messages=new`.

It is made of the frame's text, since the frames of another node, and those of long chats, are nothing else.
"""

import msgspec

from schemas.frames import encode

# The frames of streams are known without decoding them: their keys have a fixed order, and a quote inside a text is escaped.
STREAM = b'{"route":"/chats/post","event":"'
BEGIN, END = STREAM + b'initializeChat"', STREAM + b'complete"'

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_IDS = msgspec.json.Decoder(list[str])


def has_chat(text: bytes) -> bool:
    """Whether a frame's text has the chat of a stream."""
    return text.startswith((BEGIN, END))


def brief(text: bytes, about: str) -> bytes:
    """The text of a frame that has a chat, with only one of its messages: `about`, or the newest if it has no such message."""
    frame = _OBJECT.decode(text)
    chat = _OBJECT.decode(frame["payload"])
    messages = _OBJECT.decode(chat["messages"])
    if about not in messages:
        about = _IDS.decode(chat["message_ids"])[-1]
    chat["messages"] = msgspec.Raw(encode({about: messages[about]}))
    frame["payload"] = msgspec.Raw(encode(chat))
    return encode(frame)
