"""What a client makes of a stream: the chat that its deltas add up to, and what is the same however they were joined."""

import json
from collections.abc import Iterable
from typing import Any

from conformance.rule import expect, quoted
from conformance.wire import Heard, Payload

SETTLED_LATER = ("updated_at", "final_reasoning_message", "is_completed", "finish_reason", "usage")  # what only the end tells
PARTS = {"generatingResponseMessage": "response_message", "generatingReasoningMessage": "reasoning"}
TABLES = {"response_message": "response_message", "reasoning": "reasoning_message"}


def fold(frames: list[Heard]) -> Payload:
    """The chat as a client has it that begins with a whole chat and applies each frame, up to the end of the stream."""
    expect(frames[0].event == "initializeChat", f"a stream that begins with {frames[0]}")
    return folded(frames[0].payload, frames[1:-1])


def folded(begun: Payload, frames: list[Heard]) -> Payload:
    """A chat after these frames of its stream."""
    chat: Payload = json.loads(json.dumps(begun))
    for heard in frames:
        payload: Payload = heard.payload
        expect(heard.event == "generatingTitle" or heard.event in PARTS, f"in the middle of a stream {heard}")
        if heard.event == "generatingTitle":
            chat["title"] = payload["title"] if payload["title"] is not None else chat["title"] + payload["title_chunk"]
        else:
            name = PARTS[str(heard.event)]
            message = chat["messages"][payload["message_id"]]
            add(message[f"{TABLES[name]}s"], message[f"{TABLES[name]}_ids"], payload[name])
    return chat


def add(parts: Payload, ids: list[str], part: Payload) -> None:
    """Add a part, or what is new of it. A whole text must be what its deltas have added up to, if there were any."""
    before = parts.get(part["id"])
    if before is None:
        ids.append(part["id"])
    if part["type"] == "text":
        so_far = ((before or {}).get("message") or "") + (part["message_chunk"] or "")
        whole = so_far if part["message"] is None else part["message"]
        expect(not before or whole == so_far, difference(so_far, whole))
        part = {**part, "message": whole, "message_chunk": None}
    elif part["type"] == "files":
        part = {
            **part,
            "files": {id: _file((before or {}).get("files", {}).get(id), file) for id, file in part["files"].items()},
        }
    parts[part["id"]] = part


def _file(before: Payload | None, file: Payload) -> Payload:
    so_far = ((before or {}).get("file", {}).get("text") or "") + (file["file"]["text_chunk"] or "")
    whole = so_far if file["file"]["text"] is None else file["file"]["text"]
    expect(not before or whole == so_far, difference(so_far, whole))
    return {**file, "file": {**file["file"], "text": whole, "text_chunk": None}}


def difference(added: str, whole: str) -> str:
    """What to say of two texts that should be the same, such as what deltas add up to and the whole."""
    at = next(
        (at for at, pair in enumerate(zip(added, whole, strict=False)) if pair[0] != pair[1]), min(len(added), len(whole))
    )
    one, other = quoted(added[at:][:30]), quoted(whole[at:][:30])
    return f"after {at} characters one goes on with {one} and the other with {other}"


def expect_adds_up(frames: list[Heard]) -> None:
    """Go on only if the deltas of a stream add up to the chat of its end."""
    expect_equal_chats(fold(frames), frames[-1].payload)


def expect_goes_on(begun: Payload, frames: list[Heard]) -> None:
    """Go on only if a chat and what follows of its stream, up to its end, add up to the chat of that end."""
    expect_equal_chats(folded(begun, frames[:-1]), frames[-1].payload)


def expect_equal_chats(one: Payload, other: Payload) -> None:
    """Go on only if they are the same but for what only the end tells."""
    told, end = unsettled(one), unsettled(other)
    for key in told | end:
        expect(told.get(key) == end.get(key), f"{key}: told {quoted(told.get(key))}, in the end {quoted(end.get(key))}")


def unsettled(chat: Payload) -> Payload:
    """The chat without what only the end tells."""
    bare = {key: value for key, value in chat.items() if key not in SETTLED_LATER}
    messages = bare["messages"].items()
    bare["messages"] = {id: {k: v for k, v in message.items() if k not in SETTLED_LATER} for id, message in messages}
    return bare


def part_of(heard: Heard) -> Any:
    """The part of an answer or of the reasoning that a frame brings, or None."""
    return heard.payload[PARTS[heard.event]] if heard.event in PARTS else None


def chunk_of(heard: Heard) -> tuple[str, str] | None:
    """Of a delta the text that it belongs to, and its new characters."""
    if heard.event == "generatingTitle" and heard.payload["title_chunk"] is not None:
        return "title", heard.payload["title_chunk"]
    part = part_of(heard)
    if part and part["type"] == "text" and part["message_chunk"] is not None:
        return part["id"], part["message_chunk"]
    if part and part["type"] == "files":
        chunks = [(id, file["file"]["text_chunk"]) for id, file in part["files"].items()]
        return next((chunk for chunk in chunks if chunk[1] is not None), None)
    return None


def retold(frames: Iterable[Heard]) -> tuple[list[str], dict[str, str]]:
    """The frames that are no deltas, byte by byte but for their offset, and each text as its deltas add up.

    That is the same for all connections, while deltas may be joined for each as is best.
    """
    whole: list[str] = []
    texts: dict[str, str] = {}
    for heard in frames:
        if chunk := chunk_of(heard):
            texts[chunk[0]] = texts.get(chunk[0], "") + chunk[1]
        else:
            whole.append(heard.unnumbered)
    return whole, texts
