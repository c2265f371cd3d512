"""A client of the protocol, written from PROTOCOL.md alone: it knows nothing of the server's structs."""

import json
from contextlib import suppress
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

Frame = dict[str, Any]
TIMEOUT_S = 30  # for what hangs: on a busy machine all that is waited for comes much later than on a quiet one
RETRIED = ("TOO_MANY_REQUESTS", "SERVICE_UNAVAILABLE")
FOR_THE_USER = ("stopped before its turn came", "get the chat for what there is")  # to decide whether to ask again
ENDS = ("complete", "postThread")  # the events of an end; the second only as an error


class Client:
    """One connection of a user."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.hears_heartbeats = False  # which come whenever a test takes long

    async def send(self, payload: object, route: object = "/chats/post", **rest: object) -> None:
        """Send one request frame."""
        await self.socket.send(json.dumps({"route": route, "payload": payload, **rest}))

    async def frame(self) -> Frame:
        """The next frame, or a failure when none comes."""
        with anyio.fail_after(TIMEOUT_S):
            while is_heartbeat(frame := json.loads(await self.socket.recv())) and not self.hears_heartbeats:
                pass
        assert list(frame)[:6] == ["route", "event", "payload", "sent_by", "error", "send_method"]
        assert (frame["payload"] is None) == (frame["error"] is not None)
        if frame["error"]:
            check_error(frame["error"])
        return dict(frame)

    async def stream(self) -> list[Frame]:
        """The frames of one stream, up to and with its end. Only for a connection on which nothing else goes on."""
        frames = [await self.frame()]
        while not is_end(frames[-1]):
            frames.append(await self.frame())
        return frames

    async def until(self, event: str) -> list[Frame]:
        """The frames up to and with the first of this event."""
        frames = [await self.frame()]
        while frames[-1]["event"] != event:
            frames.append(await self.frame())
        return frames

    async def close_code(self) -> int | None:
        """Read on until the server closes, and return the code that it gave: None when it gave none."""
        with anyio.fail_after(TIMEOUT_S):
            with suppress(ConnectionClosedError):
                async for _ in self.socket:
                    pass
        return self.socket.protocol.close_rcvd.code if self.socket.protocol.close_rcvd else None

    async def post(self, **payload: object) -> list[Frame]:
        """Post, and return the whole stream that answers."""
        await self.send(payload)
        return await self.stream()

    async def refusal(self, payload: object, **envelope: Any) -> dict[str, Any]:
        """Send what is to be refused, and return the error of the one frame that answers."""
        await self.send(payload, **envelope)
        error: dict[str, Any] | None = (await self.frame())["error"]
        assert error is not None
        return error


def check_error(error: dict[str, Any]) -> None:
    """Check that an error says after how many seconds to retry if and only if a retry makes sense."""
    is_retried = error["code"] in RETRIED and not error["message"].endswith(FOR_THE_USER)
    assert list(error) == ["code", "message", *(["retry_after"] if is_retried else [])]
    assert not is_retried or 0 < error["retry_after"] <= 60


def is_heartbeat(frame: Frame) -> bool:
    """Whether this is what a connection gets that gets nothing else."""
    return (frame["route"], frame["event"]) == ("/stream", "heartbeat")


def is_end(frame: Frame) -> bool:
    """Whether nothing of its stream can follow this frame."""
    return frame["event"] in ENDS


def fold(frames: list[Frame]) -> dict[str, Any]:
    """The chat as a client has it that applies each frame of one good stream in turn, without looking at `complete`."""
    first, *deltas, last = frames
    assert first["event"] == "initializeChat"
    assert last["event"] == "complete"
    chat: dict[str, Any] = json.loads(json.dumps(first["payload"]))
    for frame in deltas:
        apply(chat, frame)
    return chat


def apply(chat: dict[str, Any], frame: Frame) -> None:
    """Apply one frame between the beginning and the end of a stream."""
    payload = frame["payload"]
    assert payload["chat_id"] == chat["id"]
    message = chat["messages"][payload["message_id"]]
    match frame["event"]:
        case "generatingTitle":
            chat["title"] = payload["title"] if payload["title"] is not None else chat["title"] + payload["title_chunk"]
        case "generatingResponseMessage":
            add(message["response_messages"], message["response_message_ids"], payload["response_message"])
        case "generatingReasoningMessage":
            add(message["reasoning_messages"], message["reasoning_message_ids"], payload["reasoning"])
        case event:
            raise AssertionError(f"{event} in the middle of a stream")


def add(parts: dict[str, Any], ids: list[str], part: dict[str, Any]) -> None:
    """Add a part, or what is new of it. A whole text must be what its deltas have added up to."""
    before = parts.get(part["id"])
    if before is None:
        ids.append(part["id"])
    if part["type"] == "text":
        text = (before["message"] if before else "") or ""
        chunk = part["message_chunk"] or ""
        is_taken_back = part["message"] == ""  # it was a thought, which has become one
        assert part["message"] is None or not before or is_taken_back or part["message"] == text
        part = {**part, "message": part["message"] if part["message"] is not None else text + chunk, "message_chunk": None}
    if part["type"] == "files":
        assert set(part["files"]) <= set(part["file_ids"])
        files = dict(before["files"]) if before else {}
        part = {**part, "files": files | {id: written(files.get(id), file) for id, file in part["files"].items()}}
    parts[part["id"]] = part


def written(before: dict[str, Any] | None, file: dict[str, Any]) -> dict[str, Any]:
    """The file with what is new of it. A whole text must be what its deltas have added up to."""
    text = before["file"]["text"] if before else ""
    assert file["file"]["text"] is None or not before or file["file"]["text"] == text
    whole = file["file"]["text"] if file["file"]["text"] is not None else text + (file["file"]["text_chunk"] or "")
    return {**file, "file": {"text": whole, "text_chunk": None, "modified": None}}


def untitled(frames: list[Frame]) -> list[Frame]:
    """The frames without those of the title, which comes beside the answer in no fixed order."""
    return [frame for frame in frames if frame["event"] != "generatingTitle"]


# What only the end tells.
SETTLED_LATER = ("updated_at", "final_reasoning_message", "is_completed", "finish_reason", "usage", "approvals")


def unsettled(chat: dict[str, Any]) -> dict[str, Any]:
    """The chat without what only the end tells, for comparing a fold with a `complete`."""
    bare = {key: value for key, value in chat.items() if key not in SETTLED_LATER}
    messages = bare["messages"].items()
    bare["messages"] = {id: {k: v for k, v in message.items() if k not in SETTLED_LATER} for id, message in messages}
    return bare
